"""The record at the end of a partial file."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odxfs.client.partial import RECORD_BYTES, PartialRecord, partial_size, record_offset

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
    assert partial_size(size) > size
