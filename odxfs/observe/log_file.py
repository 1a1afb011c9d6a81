"""Logs that keep nobody waiting: a file may lie on the very disk that does not answer, and nobody may read what stderr leads to.

Nor does a file fill that disk, since those who are refused have a line each: at LOG_BYTES it becomes FILE.1, which replaces the
one before.
"""

import logging
import os
import queue
import threading
from abc import ABC, abstractmethod
from pathlib import Path

from odxfs.file_owner import open_or_create
from odxfs.observe.moved import has_moved

_PATIENCE_SECONDS = 0.1
"""How long who logs waits for its line to be written, so that it is there when he goes on; a disk that works takes 50 us."""

_CLOSING_SECONDS = 2.0
"""How long the end of the process waits for the last lines."""

LOG_BYTES = 64 * 1024 * 1024

_MOST_WAITING = 1_000
"""Lines kept while none is taken; what comes then is counted."""


class PatientLog(logging.Handler, ABC):
    """Has lines written from a thread of its own. What cannot be written is lost, and counted in the next line that can."""

    def __init__(self) -> None:
        super().__init__()
        self._lines: queue.Queue[tuple[str, threading.Event] | None] = queue.Queue(_MOST_WAITING)
        self._is_behind = False
        self._overflowed = 0
        """Lines for which there was no room in memory; counted by those who log, all else by the thread."""
        self._thread = threading.Thread(target=self._write_all, name="log", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Have the line written; returns when it is, or has not been taken for a moment."""
        written = threading.Event()
        try:
            self._lines.put_nowait((self.format(record), written))
        except queue.Full:
            self._overflowed += 1
            return
        if not self._is_behind:
            self._is_behind = not written.wait(_PATIENCE_SECONDS)

    def close(self) -> None:
        """Write what waits, if that goes soon."""
        if self._thread.is_alive():
            try:
                self._lines.put_nowait(None)
                self._thread.join(_CLOSING_SECONDS)
            except queue.Full:
                return
        super().close()

    @abstractmethod
    def _write(self, text: bytes) -> None:
        """Write lines, in the thread. Raises OSError."""

    def _end(self) -> None:
        """Nothing more will be written."""

    def _write_all(self) -> None:
        try:
            self._write_until_closed()
        finally:
            self._end()

    def _write_until_closed(self) -> None:
        refused = told = 0
        while (item := self._lines.get()) is not None:
            line, written = item
            lost = self._overflowed + refused
            notice = f"({lost - told} lines of this log could not be written)\n" if lost > told else ""
            try:
                self._write(f"{notice}{line}\n".encode(errors="backslashreplace"))
                told = lost
            except Exception:  # whatever one line meets, the next ones are written
                refused += 1
            written.set()
            self._is_behind = self._is_behind and not self._lines.empty()


class LogFile(PatientLog):
    """Appends to a file, readable by its owner only. One that somebody moves away or removes is made anew."""

    def __init__(self, file: Path, largest_bytes: int = LOG_BYTES) -> None:
        self._path = file
        self._largest_bytes = largest_bytes
        self._descriptor = self._open()
        super().__init__()

    def _open(self) -> int:
        return open_or_create(self._path, os.O_WRONLY | os.O_APPEND)

    def _write(self, text: bytes) -> None:
        moved = has_moved(self._descriptor, self._path)
        if moved or os.fstat(self._descriptor).st_size + len(text) > self._largest_bytes:
            if not moved:
                self._path.replace(self._path.with_name(f"{self._path.name}.1"))
            fresh = self._open()
            os.close(self._descriptor)
            self._descriptor = fresh
        os.write(self._descriptor, text)

    def _end(self) -> None:
        os.close(self._descriptor)


class LogStream(PatientLog):
    """Writes to a descriptor of the caller's, as stderr is one."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        super().__init__()

    def _write(self, text: bytes) -> None:
        while text:
            text = text[os.write(self._descriptor, text) :]
