"""How `odxfs cp` shows what it does: the progress bar, the lines for people, and the JSON document."""

import json
import sys
import time
from typing import TYPE_CHECKING, Self

from odxfs.cli.output import format_bytes, say
from odxfs.client.explain import ChunkCause

if TYPE_CHECKING:
    from odxfs.client.result import CopyResult, Tally
    from odxfs.client.summary import Record, Summary

REFRESH_SECONDS = 0.1


class Bar:
    """The progress bar on standard error: files, logical bytes, wire bytes, offloaded percent."""

    def __init__(self, *, many: bool) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        first = TextColumn("{task.fields[files]} files") if many else TextColumn("{task.percentage:3.0f} %")
        self._many = many
        self._progress = Progress(
            BarColumn(),
            first,
            TextColumn("{task.fields[logical]}"),
            TextColumn("wire {task.fields[wire]}"),
            TextColumn("{task.fields[offloaded]:.0f} % offloaded"),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._progress.add_task("", total=None, files=0, logical="", wire="0 B", offloaded=0.0)
        self._next = 0.0

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def complain(self, text: str) -> None:
        """A line above the bar."""
        self._progress.console.print(f"odxfs: {text}", markup=False, highlight=False, soft_wrap=True)

    def observe(self, summary: "Summary", running: "Tally") -> None:
        """Show a count; most calls come too soon after the last to be worth drawing.

        How much there will be of many files is not known before they have all been seen, so there the bar only moves.
        """
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + REFRESH_SECONDS
        done = summary.tally.done_bytes + running.done_bytes
        total = summary.tally.logical_bytes + running.logical_bytes
        offloaded = summary.tally.offloaded_bytes + running.offloaded_bytes
        wire = summary.tally.wire_sent_bytes + summary.tally.wire_received_bytes
        self._progress.update(
            self._task,
            completed=done,
            total=None if self._many else total,
            files=summary.files,
            logical=format_bytes(done) if self._many else f"{format_bytes(done)} of {format_bytes(total)}",
            wire=format_bytes(wire),
            offloaded=100.0 * offloaded / done if done else 0.0,
        )


class Document:
    """The JSON document, written while files are done: the list of `files` first, then the sum.

    So the memory of a copy does not grow with its files. Nothing is written of a copy that fails before its first file.
    """

    def __init__(self) -> None:
        self._begun = False

    def add(self, record: "Record") -> None:
        """One element of `files`."""
        text = json.dumps(record.as_json(), indent=2).replace("\n", "\n    ")
        say(("," if self._begun else _OPENING) + "\n    " + text)
        self._begun = True

    def end(self, summary: "Summary", error: str | None = None) -> None:
        """The sum; `error` is what ended the copy early."""
        if not self._begun:
            if error is not None:
                return
            say(_OPENING)
        told = json.dumps({**summary.as_json(), "error": error}, indent=2)
        say("  ]," + told.removeprefix("{"))


_SAID = {ChunkCause.LOCAL_FILE.sentence, ChunkCause.NOT_WANTED.sentence}
"""What the reason against tokens has said before."""

_OPENING = '{\n  "files": ['


def one_line(result: "CopyResult") -> str:
    """What a person reads when one file is done: a line, and one more for each thing that there is to tell."""
    tally = result.tally
    percent = 100.0 * tally.offloaded_bytes / tally.logical_bytes if tally.logical_bytes else 0.0
    lines = [
        f"{format_bytes(tally.logical_bytes)} in {result.seconds:.3f} s, mechanism {result.mechanism}: "
        f"{percent:.0f} % offloaded by {tally.tokens} tokens; {_wire(tally)}"
    ]
    if tally.resumed_bytes:
        lines.append(f"{format_bytes(tally.resumed_bytes)} were there from an earlier run")
    if result.reason is not None:
        lines.append(f"not {'all ' if tally.offloaded_bytes else ''}offloaded: {result.reason}")
    if result.copychunk_reason is not None and tally.plain_bytes and result.copychunk_reason not in _SAID:
        lines.append(
            f"not {'all ' if tally.copychunk_bytes else ''}copied by the server: {result.copychunk_reason}"
        )
    if result.not_kept:
        lines.append("not kept: " + ", ".join(sorted(lost.value for lost in result.not_kept)))
    if result.sha256 is not None:
        lines.append(f"verified: sha256 {result.sha256}")
    return "\n".join(lines)


def many_lines(summary: "Summary") -> str:
    """The same of many files: the sum, and how many files each reason holds for."""
    ways = ", ".join(f"{count} {_way(name)}" for name, count in sorted(summary.mechanisms.items()))
    folders = f", {_counted(summary.folders, 'new director', 'y', 'ies')}" if summary.folders else ""
    lines = [
        f"{_counted(summary.files, 'file')}{folders}, {format_bytes(summary.tally.logical_bytes)} in {summary.seconds:.3f} s"
        f"{': ' if ways else ''}{ways}; {_wire(summary.tally)}"
    ]
    for reason, count in summary.reasons.most_common():
        lines.append(f"not offloaded: {_counted(count, 'file')}: {reason}")
    for reason, count in summary.copychunk_reasons.most_common():
        if summary.tally.plain_bytes and reason not in _SAID:
            lines.append(f"not copied by the server: {_counted(count, 'file')}: {reason}")
    if summary.not_kept:
        lines.append("not kept: " + ", ".join(sorted(lost.value for lost in summary.not_kept)))
    if summary.verified:
        lines.append("verified: all are equal by sha256")
    if summary.failed:
        lines.append(f"not copied: {summary.failed}, see above")
    return "\n".join(lines)


def complain(text: str) -> None:
    """One file's failure, as other complaints of the command look."""
    sys.stderr.write(f"odxfs: {text}\n")


def _way(mechanism: str) -> str:
    return {"plain": "plainly", "none": "there already"}.get(mechanism, f"by {mechanism}")


def _counted(count: int, noun: str, one: str = "", many: str = "s") -> str:
    return f"{count} {noun}{one if count == 1 else many}"


def _wire(tally: "Tally") -> str:
    sent, received = format_bytes(tally.wire_sent_bytes), format_bytes(tally.wire_received_bytes)
    return f"on the wire {sent} sent, {received} received"
