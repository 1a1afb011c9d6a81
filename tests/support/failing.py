"""A disk that fails or does not answer, as the store sees it: in the place of its class of system calls."""

import threading
from collections.abc import Callable, Sequence

import pytest

from odxfs.errors import StoreFailed
from odxfs.types import Buffer
from odxfs.volume.blocks.files import Files
from odxfs.volume.catalog.sqlite import SqliteEngine

PATIENCE_SECONDS = 60
"""Ends a test that has gone wrong; no test waits for it."""


class FailingFiles(Files):
    """Made on the trio thread. `failing` has the kinds of calls that answer EIO; `silence` keeps them all until `answer`."""

    def __init__(self) -> None:
        super().__init__()
        self.failing: set[str] = set()
        self.waiting = 0
        """Calls that the disk keeps."""
        self._answers = threading.Event()
        self._answers.set()
        self._trio_thread = threading.get_ident()

    def silence(self) -> None:
        """Answer nothing from now on. A call by the trio thread is a failure: it would keep everybody waiting."""
        self._answers.clear()

    def answer(self) -> None:
        """Answer again, all that waits included."""
        self._answers.set()

    def pass_gate(self, kind: str) -> None:
        """What each call begins with."""
        if not self._answers.is_set():
            assert threading.get_ident() != self._trio_thread, f"the trio thread waits for a {kind}"
            self.waiting += 1
            assert self._answers.wait(PATIENCE_SECONDS), "the test never let the disk answer"
            self.waiting -= 1
        if kind in self.failing:
            raise StoreFailed(f"the {kind} of a segment failed: Input/output error")

    def read(self, descriptor: int, buffer: memoryview, offset: int) -> None:
        self.pass_gate("read")
        super().read(descriptor, buffer, offset)

    def read_nowait(self, descriptor: int, buffer: memoryview | bytearray, offset: int) -> bool:
        is_sound = self._answers.is_set() and "read" not in self.failing
        return is_sound and super().read_nowait(descriptor, buffer, offset)

    def write(self, descriptor: int, buffers: Sequence[Buffer], offset: int) -> None:
        self.pass_gate("write")
        super().write(descriptor, buffers, offset)

    def sync(self, descriptor: int) -> None:
        self.pass_gate("sync")
        super().sync(descriptor)


def fail_catalog_with(files: FailingFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the catalog lie on the same disk: looks into it and commits pass the same gate."""

    def behind_gate(kind: str, call: Callable[..., object]) -> Callable[..., object]:
        def passing(*arguments: object) -> object:
            files.pass_gate(kind)
            return call(*arguments)

        return passing

    for name, kind in (("_fetch", "catalog read"), ("commit_blocking", "commit")):
        monkeypatch.setattr(SqliteEngine, name, behind_gate(kind, getattr(SqliteEngine, name)))
