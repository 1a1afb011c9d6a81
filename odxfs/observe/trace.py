"""The trace of copies: one JSON line for each call that shares extents or was refused to, in DIR/offload.jsonl.

Lines are written a moment after the calls, so that no copy waits for them; a killed process loses that moment's. The file is
readable by its owner only: it names files and who copies them. At TRACE_BYTES it becomes offload.jsonl.1, which replaces the
one before.
"""

import json
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import MISSING, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from odxfs.file_owner import open_or_create
from odxfs.observe.moved import has_moved
from odxfs.offload import OffloadEvent

TRACE_FILE = "offload.jsonl"
TRACE_BYTES = 64 * 1024 * 1024
"""About 150,000 calls; 600 GiB of copies at 8 MiB a token."""

_FIELDS = tuple(field.name for field in fields(OffloadEvent))
_ADDED = {field.name: field.default for field in fields(OffloadEvent) if field.default is not MISSING}
"""What lines of older versions lack, and what they mean by that."""
_IN_EVERY_LINE = {"time", *_FIELDS} - _ADDED.keys()

MOST_WAITING = 4096
"""Events kept in memory for the next flush: some 3 MB."""

_encode = json.JSONEncoder(separators=(",", ":")).encode

log = logging.getLogger("odxfs.trace")


class OffloadTrace:
    """An observer of the offload engine. A full disk costs lines of the trace, never a copy."""

    def __init__(
        self,
        directory: Path,
        largest_bytes: int = TRACE_BYTES,
        *,
        may_write: Callable[[], bool] = lambda: True,
    ) -> None:
        self._file = directory / TRACE_FILE
        self._largest_bytes = largest_bytes
        self._may_write = may_write
        """False while the disk does not answer: whoever wrote now would wait with all others."""
        self._waiting: list[tuple[OffloadEvent, float]] = []
        self._descriptor: int | None = None
        self._size = 0
        self._is_cut = False
        """The disk was full in the middle of the last line: the next one must not be a part of it."""
        self.lost = 0
        """Lines that could not be written."""

    def record(self, event: OffloadEvent, now: float) -> None:
        """Take in one event, to be written by the next `flush`; `now` in seconds since 1970."""
        if len(self._waiting) >= MOST_WAITING:
            self.flush()
        if len(self._waiting) < MOST_WAITING:
            self._waiting.append((event, now))
        else:
            self.lost += 1

    def flush(self) -> None:
        """Write what was recorded since the last time: about 10 us an event."""
        if not self._may_write():
            return
        waiting, self._waiting = self._waiting, []
        if waiting:
            self._let_go_if_moved()
        for event, now in waiting:
            try:
                self._append(_encode(as_line(event, now)).encode() + b"\n")
            except OSError as error:
                self.lost += 1
                if self.lost == 1:
                    log.error("trace=%s lost=1 error=%s", self._file, error.strerror)

    def close(self) -> None:
        """Write all, and give up the file; the next event opens it again."""
        self.flush()
        self._let_go()

    def _let_go(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _let_go_if_moved(self) -> None:
        """So that who removes the file finds in the next one what happened since."""
        if self._descriptor is not None:
            with suppress(OSError):
                if has_moved(self._descriptor, self._file):
                    self._let_go()

    def _append(self, line: bytes) -> None:
        if self._descriptor is not None and self._size + len(line) > self._largest_bytes:
            self._let_go()
            self._file.replace(older(self._file))
        if self._descriptor is None:
            self._descriptor = open_or_create(self._file, os.O_WRONLY | os.O_APPEND)
            self._size = os.fstat(self._descriptor).st_size
        if self._is_cut:
            line = b"\n" + line
        written = os.write(self._descriptor, line)
        self._is_cut = written < len(line)
        self._size += written


def as_line(event: OffloadEvent, now: float) -> dict[str, Any]:
    """The event as a line of the trace shows it: its fields, the time in UTC first."""
    moment = datetime.fromtimestamp(now, tz=UTC).isoformat(timespec="milliseconds")
    line: dict[str, Any] = {"time": moment}
    for name in _FIELDS:
        line[name] = getattr(event, name)
    line["mechanism"] = event.mechanism.value
    return line


def older(file: Path) -> Path:
    """What the file is called once another has begun."""
    return file.with_name(file.name + ".1")


def read_trace(directory: Path) -> Iterator[dict[str, Any]]:
    """Every line that is kept, the oldest first, with all that `as_line` gives.

    Left out is what was cut off by a full disk or a power failure, and what is no such line at all.
    """
    file = directory / TRACE_FILE
    for part in (older(file), file):
        try:
            with part.open("rb") as lines:
                yield from filter(None, map(_parsed, lines))
        except FileNotFoundError:
            continue


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return {**_ADDED, **found} if isinstance(found, dict) and found.keys() >= _IN_EVERY_LINE else None
