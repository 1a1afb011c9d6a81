"""Bytes that are fixed by the specifications: what another implementation would put on the wire."""

import pytest

from odxfs.errors import ProtocolError
from odxfs.ntstatus import Status
from odxfs.wire.fscc import filetime
from odxfs.wire.fscc.sid import Sid
from odxfs.wire.fsctl.codes import Fsctl
from odxfs.wire.fsctl.offload import (
    ALL_ZERO_BEYOND_CURRENT_RANGE,
    TOKEN_BYTES,
    OffloadReadInput,
    OffloadReadOutput,
    OffloadWriteInput,
    OffloadWriteOutput,
)

MIB = 1024 * 1024
ZERO_TOKEN = bytes.fromhex("ffff0001").ljust(TOKEN_BYTES, b"\0")

READ_INPUT = bytes.fromhex("20000000 00000000 00000000 00000000 0000000000000000 0000001000000000")
READ_OUTPUT = bytes.fromhex("10020000 01000000 0000800000000000") + ZERO_TOKEN
WRITE_INPUT = (
    bytes.fromhex("20020000 00000000 0000001000000000 0000800000000000 0000000000000000") + ZERO_TOKEN
)
WRITE_OUTPUT = bytes.fromhex("10000000 00000000 0000800000000000")

VECTORS = (
    (OffloadReadInput(file_offset=0, copy_length=256 * MIB), READ_INPUT),
    (
        OffloadReadOutput(flags=ALL_ZERO_BEYOND_CURRENT_RANGE, transfer_length=8 * MIB, token=ZERO_TOKEN),
        READ_OUTPUT,
    ),
    (OffloadWriteInput(file_offset=256 * MIB, copy_length=8 * MIB, token=ZERO_TOKEN), WRITE_INPUT),
    (OffloadWriteOutput(length_written=8 * MIB), WRITE_OUTPUT),
)


@pytest.mark.parametrize(("value", "wire"), VECTORS, ids=lambda each: type(each).__name__)
def test_offload_structures_have_the_bytes_of_the_specification(
    value: OffloadReadInput | OffloadReadOutput | OffloadWriteInput | OffloadWriteOutput, wire: bytes
) -> None:
    assert value.pack() == wire
    assert type(value).unpack(wire) == value


@pytest.mark.parametrize(("value", "wire"), VECTORS, ids=lambda each: type(each).__name__)
def test_a_short_offload_buffer_is_too_small(
    value: OffloadReadInput | OffloadReadOutput | OffloadWriteInput | OffloadWriteOutput, wire: bytes
) -> None:
    with pytest.raises(ProtocolError) as caught:
        type(value).unpack(wire[:-1])
    assert caught.value.status is Status.BUFFER_TOO_SMALL


def test_a_wrong_size_field_is_handed_on_for_the_engine_to_judge_in_its_turn() -> None:
    assert OffloadReadInput.unpack(b"\x21" + READ_INPUT[1:]).size == 33


def test_control_codes() -> None:
    assert (Fsctl.OFFLOAD_READ, Fsctl.OFFLOAD_WRITE) == (0x00094264, 0x00098268)
    assert (Fsctl.SRV_COPYCHUNK, Fsctl.SRV_COPYCHUNK_WRITE) == (0x001440F2, 0x001480F2)


def test_filetime_of_known_moments() -> None:
    assert filetime.from_ns(0) == 116_444_736_000_000_000
    assert filetime.to_ns(filetime.Filetime(116_444_736_000_000_000)) == 0
    moment_ns = 1_700_000_000_123_456_700
    assert filetime.to_ns(filetime.from_ns(moment_ns)) == moment_ns


def test_no_time_turns_into_one_of_the_values_that_are_no_times() -> None:
    long_ago_ns = -(400 * 366 * 86400 * 10**9)
    assert filetime.from_ns(long_ago_ns) == 1
    assert filetime.from_ns(2**80) == 2**63 - 1


def test_the_administrators_sid() -> None:
    wire = bytes.fromhex("01020000000000052000000020020000")
    assert Sid.unpack(wire) == Sid.parse("S-1-5-32-544")
    assert str(Sid.unpack(wire)) == "S-1-5-32-544"
    assert Sid.parse("S-1-5-32-544").pack() == wire


@pytest.mark.parametrize(
    "text", ["", "S-1", "S-1-5", "S-2-5-32", "S-1-5-", "S-1-5-4294967296", "S-1-5" + "-1" * 16]
)
def test_what_is_no_sid(text: str) -> None:
    with pytest.raises(ValueError, match="not a SID"):
        Sid.parse(text)


def test_a_large_authority_is_written_in_hexadecimal() -> None:
    sid = Sid(2**40, (7,))
    assert str(sid) == "S-1-0x010000000000-7"
    assert Sid.parse(str(sid)) == sid
