"""What `odxfs cp` prints, by the functions that print it."""

import json
import os
import signal
from pathlib import Path

import pytest

from odxfs.cli.copy_output import Document, many_lines, one_line
from odxfs.cli.main import main
from odxfs.client.errors import NetworkFailed, RequestRefused
from odxfs.client.explain import Cause, ChunkCause
from odxfs.client.job import Job
from odxfs.client.metadata import Lost
from odxfs.client.result import CopyResult, Tally
from odxfs.client.summary import Record, Summary
from odxfs.errors import ExitCode
from odxfs.ntstatus import Status

TOKEN = CopyResult(Tally(1000, 1000, 1000, tokens=2), None, None, 0.5)
PLAIN = CopyResult(
    Tally(50, 50, plain_bytes=50), Cause.LOCAL_FILE, ChunkCause.LOCAL_FILE, 0.5, frozenset({Lost.MODE})
)
REFUSED = RequestRefused(Status.ACCESS_DENIED, "//nas/vm/secret")


def summary_of(*records: Record) -> Summary:
    summary = Summary()
    for record in records:
        summary.add(record)
    return summary


def test_one_file_that_was_offloaded_is_one_line() -> None:
    assert one_line(TOKEN) == (
        "1000 B in 0.500 s, mechanism token: 100 % offloaded by 2 tokens; on the wire 0 B sent, 0 B received"
    )


def test_a_reason_is_said_once() -> None:
    lines = one_line(PLAIN).splitlines()
    assert [line.partition(":")[0] for line in lines[1:]] == ["not offloaded", "not kept"]


def test_many_files_are_a_few_lines() -> None:
    records = [Record("a", "b", TOKEN), *[Record("c", "d", PLAIN)] * 3, Record("e", "f", error=REFUSED)]
    lines = many_lines(summary_of(*records)).splitlines()
    assert lines[0].startswith("4 files, 1.1 KiB in 0.000 s: 3 plainly, 1 by token; on the wire")
    assert lines[1].startswith("not offloaded: 3 files: one side is a local file")
    assert lines[2:] == ["not kept: mode", "not copied: 1, see above"]
    assert summary_of(*records).exit_code is ExitCode.INCOMPLETE
    assert summary_of(records[0]).exit_code is ExitCode.OK


@pytest.mark.parametrize("error", [None, "the connection broke"])
def test_the_document_is_json_however_the_copy_ends(
    capsys: pytest.CaptureFixture[str], error: str | None
) -> None:
    records = [Record("a", "b", TOKEN), Record("e", "f", error=REFUSED)]
    document = Document()
    for record in records:
        document.add(record)
    document.end(summary_of(*records), error)
    printed = json.loads(capsys.readouterr().out)
    assert [entry["source"] for entry in printed["files"]] == ["a", "e"]
    assert printed["files"][1]["exit_code"] == ExitCode.REFUSED
    assert (printed["mechanism"], printed["failed_count"], printed["error"]) == ("token", 1, error)


def test_nothing_is_printed_of_a_copy_that_never_began(capsys: pytest.CaptureFixture[str]) -> None:
    Document().end(Summary(), str(NetworkFailed("nobody there")))
    assert capsys.readouterr().out == ""
    Document().end(Summary())
    assert json.loads(capsys.readouterr().out)["files"] == []


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_the_document_of_an_interrupted_copy_is_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], end: signal.Signals
) -> None:
    (tmp_path / "source").mkdir()
    for number in range(100):
        (tmp_path / "source" / str(number)).write_bytes(b"x")
    report, reported = Job._report, 0

    def report_and_end(job: Job, record: Record) -> None:
        nonlocal reported
        report(job, record)
        reported += 1
        if reported == 3:
            os.kill(os.getpid(), end)

    monkeypatch.setattr(Job, "_report", report_and_end)
    code = main(["cp", "-r", "--json", str(tmp_path / "source"), str(tmp_path / "copy")])
    assert code == ExitCode.INTERRUPTED
    document = json.loads(capsys.readouterr().out)
    assert document["error"] == "interrupted"
    assert 3 <= len(document["files"]) == document["file_count"] < 100
