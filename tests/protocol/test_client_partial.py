"""The record at the end of a partial file."""

import json
import zlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odxfs.client.partial import (
    LONGEST_NAME,
    PARTIAL_SUFFIX,
    RECORD_BYTES,
    PartialRecord,
    partial_name,
    record_offset,
    source_key,
)

RECORD = PartialRecord("//nas/vm/ä disk.vhdx", "b'\\x01'", 10_000, 5, 6, 8192)


def test_a_record_is_read_back() -> None:
    assert PartialRecord.unpack(RECORD.pack()) == RECORD


@given(st.integers(0, RECORD_BYTES - 1), st.integers(1, 255))
def test_an_altered_record_is_never_another_one(at: int, change: int) -> None:
    block = bytearray(RECORD.pack())
    block[at] ^= change
    assert PartialRecord.unpack(block) in (None, RECORD)


@pytest.mark.parametrize(
    "other",
    [
        replace(RECORD, source="//nas/vm/other"),
        replace(RECORD, number="2"),
        replace(RECORD, size=10_001),
        replace(RECORD, written_ns=4),
        replace(RECORD, changed_ns=None),
    ],
)
def test_only_the_same_source_in_the_same_state_is_gone_on_with(other: PartialRecord) -> None:
    assert RECORD.is_of(replace(RECORD, reached=0))
    assert not RECORD.is_of(other)


@given(st.integers(0, 1 << 40))
def test_a_partial_file_is_never_as_long_as_the_file(size: int) -> None:
    assert record_offset(size) >= size
    assert record_offset(size) + RECORD_BYTES > size


@pytest.mark.parametrize("character", ["a", "文", "\x01", "\N{GRINNING FACE}", "\udcff"])
def test_the_longest_names_fit(character: str) -> None:
    for count in (LONGEST_NAME, LONGEST_NAME + 1, 4096):
        key = source_key(character * count)
        record = PartialRecord(key, str(1 << 64), 1 << 63, 1 << 63, 1 << 63)
        assert PartialRecord.unpack(record.pack()) == record
    assert source_key(character * 4096) != source_key(character * 4095)


@pytest.mark.parametrize(
    "content",
    [
        [1],
        5,
        {"x": 1},
        {"source": "a", "number": "1", "size": 1, "written_ns": None, "changed_ns": None, "reached": -5},
        {"source": "a", "number": "1", "size": 10, "written_ns": None, "changed_ns": None, "reached": 5.5},
        {"source": "a", "number": "1", "size": 10, "written_ns": "5", "changed_ns": None, "reached": 5},
        {"source": 5, "number": "1", "size": 10, "written_ns": 5, "changed_ns": True, "reached": 5},
    ],
)
def test_a_block_that_only_looks_like_a_record_is_none(content: object) -> None:
    text = json.dumps(content).encode()
    genuine = PartialRecord("a", "1", 1, None, None).pack()
    head = (
        genuine[: genuine.index(b"\n") + 1]
        + zlib.crc32(text).to_bytes(4, "big")
        + len(text).to_bytes(4, "big")
    )
    assert PartialRecord.unpack((head + text).ljust(RECORD_BYTES, b"\0")) is None


def test_a_block_of_brackets_is_none() -> None:
    text = b"[" * 4000
    head = b"odxfs-partial 1\n" + zlib.crc32(text).to_bytes(4, "big") + len(text).to_bytes(4, "big")
    assert PartialRecord.unpack((head + text).ljust(RECORD_BYTES, b"\0")) is None


@given(st.text(min_size=1, max_size=300), st.text(min_size=1, max_size=300))
def test_a_partial_file_has_a_name_of_its_own_that_is_not_too_long(first: str, second: str) -> None:
    for name in (first, second):
        partial = partial_name(name)
        assert partial.endswith(PARTIAL_SUFFIX)
        assert len(partial.encode()) <= 255
        if len(name.encode()) <= 255 - len(PARTIAL_SUFFIX):
            assert partial == name + PARTIAL_SUFFIX
    assert (partial_name(first) == partial_name(second)) == (first == second)


def test_long_names_that_begin_alike_have_different_partial_files() -> None:
    assert partial_name("n" * 254 + "a") != partial_name("n" * 254 + "b")
    assert len(partial_name("\udcff" * 255).encode(errors="surrogateescape")) <= 255
