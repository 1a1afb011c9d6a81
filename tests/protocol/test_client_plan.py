"""When tokens are tried, and how a refusal is told."""

import pytest

from odxfs.client.errors import NotOffloaded, RequestRefused
from odxfs.client.explain import Cause, ChunkCause, cause_of_read, cause_of_write
from odxfs.client.metadata import Lost
from odxfs.client.plan import Side, Wish, cause_against_chunks, cause_against_tokens
from odxfs.client.result import CopyResult, Tally
from odxfs.errors import ExitCode
from odxfs.ntstatus import Status

NEW, OLD, LOCAL = Side(0x0311), Side(0x0210), Side()
GIB = 1 << 30


@pytest.mark.parametrize(
    ("source", "destination", "size", "wish", "cause"),
    [
        (NEW, NEW, GIB, Wish.AUTO, None),
        (NEW, Side(0x0300), 256 * 1024, Wish.REQUIRED, None),
        (NEW, NEW, 256 * 1024 - 1, Wish.AUTO, Cause.FILE_TOO_SMALL),
        (NEW, NEW, 0, Wish.REQUIRED, Cause.FILE_TOO_SMALL),
        (NEW, OLD, GIB, Wish.AUTO, Cause.DIALECT_TOO_OLD),
        (OLD, NEW, GIB, Wish.AUTO, Cause.DIALECT_TOO_OLD),
        (LOCAL, NEW, GIB, Wish.AUTO, Cause.LOCAL_FILE),
        (NEW, LOCAL, GIB, Wish.AUTO, Cause.LOCAL_FILE),
        (LOCAL, LOCAL, GIB, Wish.AUTO, Cause.LOCAL_FILE),
        (NEW, NEW, GIB, Wish.OFF, Cause.NOT_WANTED),
    ],
)
def test_tokens_are_tried_where_they_can_work(
    source: Side, destination: Side, size: int, wish: Wish, cause: Cause | None
) -> None:
    assert cause_against_tokens(source, destination, size, wish) is cause


def test_refusals_are_told_apart() -> None:
    assert cause_of_read(Status.INVALID_DEVICE_REQUEST) is Cause.SOURCE_HAS_NO_OFFLOAD
    assert cause_of_read(Status.OFFLOAD_READ_FILE_NOT_SUPPORTED) is Cause.FILE_KIND
    assert cause_of_read(Status.FILE_LOCK_CONFLICT) is Cause.LOCKED
    assert cause_of_read(0xC0DEC0DE) is Cause.SERVER_ERROR
    assert cause_of_write(Status.INVALID_TOKEN, same_server=False) is Cause.OTHER_SERVER
    assert cause_of_write(Status.INVALID_TOKEN, same_server=True) is Cause.EXPIRED
    assert cause_of_write(Status.NOT_SUPPORTED, same_server=True) is Cause.DESTINATION_HAS_NO_OFFLOAD


def test_an_error_status_becomes_a_sentence_and_an_exit_code() -> None:
    missing = RequestRefused(Status.OBJECT_NAME_NOT_FOUND, "//nas/vm/x")
    assert str(missing) == "//nas/vm/x: there is no such file (STATUS_OBJECT_NAME_NOT_FOUND)"
    assert missing.exit_code == ExitCode.NOT_FOUND
    assert RequestRefused(Status.ACCESS_DENIED, "x").exit_code == ExitCode.REFUSED
    assert RequestRefused(Status.DISK_FULL, "x").exit_code == ExitCode.NO_SPACE
    assert RequestRefused(0xC0DEC0DE, "x").exit_code == ExitCode.REFUSED
    assert NotOffloaded(Cause.OTHER_SERVER).exit_code == ExitCode.NOT_OFFLOADED


def test_the_json_has_the_promised_keys() -> None:
    tally = Tally(100, 100, 60, 30, 7, 2, 1, 3, 11, 12)
    result = CopyResult(tally, Cause.EXPIRED, ChunkCause.LOCKED, 0.5, frozenset({Lost.MODE}))
    assert result.as_json() == {
        "mechanism": "token+copychunk+plain",
        "reason": "the token has expired or was withdrawn by the server",
        "copychunk_reason": "a byte-range lock stands in the way of the server's copying",
        "logical_bytes": 100,
        "offloaded_bytes": 60,
        "copychunk_bytes": 30,
        "plain_bytes": 7,
        "hole_bytes": 2,
        "resumed_bytes": 1,
        "tokens": 3,
        "wire_sent_bytes": 11,
        "wire_received_bytes": 12,
        "seconds": 0.5,
        "not_kept": ["mode"],
        "verified": None,
        "sha256": None,
    }


@pytest.mark.parametrize(
    ("source", "destination", "left", "wish", "same", "cause"),
    [
        (NEW, NEW, GIB, Wish.AUTO, True, None),
        (OLD, OLD, 64 * 1024, Wish.AUTO, True, None),
        (NEW, NEW, GIB, Wish.OFF, True, ChunkCause.NOT_WANTED),
        (NEW, NEW, GIB, Wish.AUTO, False, ChunkCause.OTHER_SERVER),
        (NEW, LOCAL, GIB, Wish.AUTO, False, ChunkCause.LOCAL_FILE),
        (NEW, NEW, 64 * 1024 - 1, Wish.AUTO, True, ChunkCause.FILE_TOO_SMALL),
    ],
)
def test_copychunk_is_tried_where_it_can_work(
    source: Side, destination: Side, left: int, wish: Wish, same: bool, cause: ChunkCause | None
) -> None:
    assert cause_against_chunks(source, destination, left, wish, same_session=same) is cause
