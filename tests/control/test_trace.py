"""The trace of copies, and what is told of it."""

import json
import os
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from odxfs.cli.output import format_bytes
from odxfs.errors import Refusal
from odxfs.observe.advice import advice_for
from odxfs.observe.explaining import copies_in, sentences_of
from odxfs.observe.trace import TRACE_FILE, OffloadTrace, as_line, older, read_trace
from odxfs.offload import Mechanism, OffloadEvent

MEBIBYTE = 1024**2
NOON = 1_800_000_000.0

READ = OffloadEvent(
    Mechanism.OFFLOAD, "read", "default", "vms", "alice", "10.0.0.5", "main", 12, 0, 8 * MEBIBYTE, "", "abc123",
    8 * MEBIBYTE, 0, 0, "", 0.001, path="a.vhdx",
)  # fmt: skip
WRITE = replace(READ, call="write", inode=15, path="b.vhdx")


def test_each_event_is_a_line_that_only_the_owner_may_read(tmp_path: Path) -> None:
    trace = OffloadTrace(tmp_path)
    trace.record(READ, NOON)
    trace.record(WRITE, NOON + 1)
    trace.close()
    first, second = read_trace(tmp_path)
    assert first["time"] == "2027-01-15T08:00:00.000+00:00"
    assert (first["call"], second["call"], second["path"], second["mechanism"]) == (
        "read", "write", "b.vhdx", "offload",
    )  # fmt: skip
    assert stat.S_IMODE((tmp_path / TRACE_FILE).stat().st_mode) == 0o600


def test_a_trace_goes_on_after_a_restart_and_is_bounded(tmp_path: Path) -> None:
    for number in range(100):
        trace = OffloadTrace(tmp_path, largest_bytes=4000)
        trace.record(replace(WRITE, offset=number), NOON)
        trace.close()
    trace = OffloadTrace(tmp_path, largest_bytes=4000)
    for number in range(100, 200):
        trace.record(replace(WRITE, offset=number), NOON)
    trace.close()
    offsets = [line["offset"] for line in read_trace(tmp_path)]
    assert offsets == list(range(offsets[0], 200))
    assert (tmp_path / TRACE_FILE).stat().st_size <= 4000
    assert older(tmp_path / TRACE_FILE).exists()


@pytest.mark.parametrize("move", [lambda file: file.rename(f"{file}.kept"), Path.unlink])
def test_a_trace_that_is_taken_away_begins_anew(tmp_path: Path, move: Callable[[Path], object]) -> None:
    trace = OffloadTrace(tmp_path)
    for offset in (1, 2):
        trace.record(replace(WRITE, offset=offset), NOON)
        trace.flush()
        if offset == 1:
            move(tmp_path / TRACE_FILE)
    trace.close()
    assert [line["offset"] for line in read_trace(tmp_path)] == [2]


def test_a_line_that_was_cut_off_hides_no_other(tmp_path: Path) -> None:
    lines = [json.dumps(as_line(WRITE, NOON)), '{"time": "2027', json.dumps(as_line(READ, NOON))]
    (tmp_path / TRACE_FILE).write_text("\n".join(lines) + "\n")
    assert [line["call"] for line in read_trace(tmp_path)] == ["write", "read"]


def test_lines_of_older_versions_are_told_and_what_is_no_line_hides_none(tmp_path: Path) -> None:
    older_line = as_line(WRITE, NOON)
    del older_line["peer"], older_line["path"]
    strange = ["5", "null", "[]", '{"call": "read"}', "[" * 100_000]
    (tmp_path / TRACE_FILE).write_text("\n".join([*strange, json.dumps(older_line)]) + "\n")
    (copy,) = copies_in(read_trace(tmp_path))
    assert (copy.destination, copy.peer) == ("main:inode 15", "")


def test_a_full_disk_costs_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, room = os.write, iter((40, 4096, 4096))
    trace = OffloadTrace(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda descriptor, line: write(descriptor, line[: next(room)]))
        for number in range(3):
            trace.record(replace(WRITE, offset=number), NOON)
        trace.close()
    assert [line["offset"] for line in read_trace(tmp_path)] == [1, 2]


def test_a_trace_that_cannot_be_written_fails_no_copy(
    tmp_path: Path, expect_log: Callable[[str], None]
) -> None:
    expect_log("trace=")
    trace = OffloadTrace(tmp_path / "missing")
    trace.record(READ, NOON)
    trace.record(READ, NOON)
    trace.flush()
    assert trace.lost == 2


def lines(*events: tuple[float, OffloadEvent]) -> list[dict[str, object]]:
    return [as_line(event, NOON + after) for after, event in events]


def test_calls_of_one_copy_are_told_as_one() -> None:
    calls = []
    for number in range(4):
        offset, token = number * 8 * MEBIBYTE, f"token {number}"
        calls.append((number * 0.1, replace(READ, offset=offset, token=token)))
        calls.append((number * 0.1 + 0.05, replace(WRITE, offset=offset, token=token)))
    (copy,) = copies_in(lines(*calls))
    headline, how = sentences_of(copy, format_bytes)
    assert headline.endswith("alice from 10.0.0.5, share vms: main:a.vhdx -> main:b.vhdx")
    assert how == "32.0 MiB by offload (4 calls), no data moved, 0.008 s in the server"
    assert copy.as_json()["tokens"] == 4


def test_the_same_file_copied_again_later_is_another_copy() -> None:
    again = replace(READ, token="later")
    copies = copies_in(lines((0, READ), (1, WRITE), (100, again), (101, replace(WRITE, token="later"))))
    assert [copy.logical_bytes for copy in copies] == [8 * MEBIBYTE, 8 * MEBIBYTE]


def test_a_refusal_says_what_happened_and_what_helps() -> None:
    late = replace(WRITE, logical_bytes=0, status=0xC0000465, reason="expired_token")
    (copy,) = copies_in(lines((0, READ), (90, late), (91, late)))
    _, told = sentences_of(copy, format_bytes)
    assert told.startswith("writing was refused, 2 times: the token has expired [expired_token]; ")
    assert "lifetime" in told


def test_a_token_that_is_refused_is_told_by_its_source() -> None:
    refused = replace(READ, token="", logical_bytes=0, status=0xC00000BB, reason="offload_disabled")
    (copy,) = copies_in(lines((0, refused)))
    headline, told = sentences_of(copy, format_bytes)
    assert headline.endswith("share vms: main:a.vhdx")
    assert told.startswith("reading a token was refused: copy offload is switched off")


@pytest.mark.parametrize("reason", Refusal)
def test_there_is_advice_for_every_refusal(reason: Refusal) -> None:
    assert advice_for(reason.label)


@pytest.mark.parametrize("name", ["a\x9b2Jb", "a\x1b]0;x\x07b", "a\nb", "a\udcffb", "a\u202eb"])
def test_a_name_is_told_without_what_a_terminal_obeys(tmp_path: Path, name: str) -> None:
    trace = OffloadTrace(tmp_path)
    trace.record(replace(WRITE, path=name), NOON)
    trace.close()
    (copy,) = copies_in(read_trace(tmp_path))
    headline, _ = sentences_of(copy, format_bytes)
    assert headline.isprintable()
    assert f"main:{ascii(name)[1:-1]}" in headline
