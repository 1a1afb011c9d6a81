"""The disk's state and its rules: nodes in memory, room, faults, and the log. No FUSE in here."""

import errno
import os
from dataclasses import dataclass, field

from tests.crash.disk.log import (
    ROOT,
    SECTOR_BYTES,
    Enter,
    Failure,
    Fault,
    Mark,
    Punch,
    ReadFailure,
    Record,
    Remove,
    Resize,
    Sync,
    SyncFailed,
    Write,
)
from tests.volume.model.content import CHUNK_BYTES, Content

_CAPACITY_BYTES = 4 << 30

_UNRECORDED = ("-shm", "lock")
"""Ends of names of files that no crash leaves anything of: SQLite rebuilds its shared memory, the lock file tells of people."""


@dataclass(eq=False)
class Node:
    """A file or directory."""

    number: int
    is_directory: bool
    is_recorded: bool
    content: Content = field(default_factory=Content)
    children: "dict[str, Node]" = field(default_factory=dict)
    reserved_bytes: int = 0
    """Disk space given by fallocate."""
    names: int = 1
    opens: int = 0

    @property
    def disk_bytes(self) -> int:
        return max(len(self.content.chunks) * CHUNK_BYTES, self.reserved_bytes)


class Disk:
    """Every method is one operation; what fails raises OSError and, a short write apart, has changed nothing."""

    def __init__(self) -> None:
        self.root = Node(ROOT, is_directory=True, is_recorded=True)
        self._next = ROOT + 1
        self._clear()

    def start(self, name: str) -> None:
        """Forget everything, and have one empty directory, durably; the log begins with what is done to that.

        Numbers go on, so that what the kernel still knows of before is not taken for something new.
        """
        self.root.children.clear()
        self._clear()
        self.enter(self.root, name, is_directory=True)
        self.log.clear()
        self.fail(None)

    def _clear(self) -> None:
        self.nodes = {ROOT: self.root}
        self.log: list[Record] = []
        self.fail(None)

    def fail(self, failure: Failure | ReadFailure | None) -> None:
        """Have an operation fail from now on, counted from here; None: everything works, and there is room."""
        self.changes = self.reads = 0
        """Operations counted since then."""
        self.failure = failure if isinstance(failure, Failure) else None
        self.read_failure = failure if isinstance(failure, ReadFailure) else None
        self.capacity_bytes = _CAPACITY_BYTES

    @property
    def room_bytes(self) -> int:
        """Free disk space."""
        return self.capacity_bytes - sum(node.disk_bytes for node in self.nodes.values())

    def mark(self, note: str) -> None:
        """Write a note into the log."""
        self.log.append(Mark(note))

    # -- operations -------------------------------------------------------------------------------------------------

    def enter(self, directory: Node, name: str, *, is_directory: bool) -> Node:
        """Make a file or directory."""
        is_recorded = not name.endswith(_UNRECORDED)
        if is_recorded:
            self._count(takes_bytes=CHUNK_BYTES)
        node = Node(self._next, is_directory, is_recorded)
        self._next += 1
        self.nodes[node.number] = directory.children[name] = node
        self._note(node, Enter(directory.number, name, node.number, is_directory))
        return node

    def remove(self, directory: Node, name: str) -> None:
        """Take a name away."""
        node = directory.children[name]
        if node.children:
            raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY))
        if node.is_recorded:
            self._count()
        del directory.children[name]
        node.names -= 1
        self._note(node, Remove(directory.number, name))
        self._forget_unused(node)

    def close(self, node: Node) -> None:
        """One user less."""
        node.opens -= 1
        self._forget_unused(node)

    def write(self, node: Node, offset: int, data: bytes) -> int:
        """Write; returns how many bytes."""
        if node.is_recorded:
            data = data[: self._writable(node, offset, data)]
        node.content.write(offset, data)
        self._note(node, Write(node.number, offset, data))
        return len(data)

    def read(self, node: Node, offset: int, length: int) -> bytes:
        """Read, clipped at the end."""
        if node.is_recorded:
            self.reads += 1
            failure = self.read_failure
            if failure and (self.reads == failure.at or (failure.lasting and self.reads > failure.at)):
                raise OSError(errno.EIO, os.strerror(errno.EIO))
        return node.content.read(offset, length)

    def resize(self, node: Node, size: int) -> None:
        """Move the end."""
        if node.is_recorded:
            self._count()
        node.content.resize(size)
        self._note(node, Resize(node.number, size))

    def punch(self, node: Node, offset: int, length: int) -> None:
        """Make a hole."""
        if node.is_recorded:
            self._count()
        node.content.zero(offset, length)
        self._note(node, Punch(node.number, offset, length))

    def reserve(self, node: Node, offset: int, length: int) -> None:
        """Give a file disk space."""
        self._count(takes_bytes=offset + length - node.disk_bytes)
        node.reserved_bytes = max(node.reserved_bytes, offset + length)
        node.content.size = max(node.content.size, offset + length)
        self._note(node, Resize(node.number, node.content.size))

    def sync(self, node: Node) -> None:
        """Make durable what a file or directory holds."""
        if not node.is_recorded:
            return
        try:
            self._count()
        except OSError:
            self._note(node, SyncFailed(node.number))
            raise
        self._note(node, Sync(node.number))

    # -- inside -----------------------------------------------------------------------------------------------------

    def _note(self, node: Node, record: Record) -> None:
        if node.is_recorded:
            self.log.append(record)

    def _forget_unused(self, node: Node) -> None:
        if not (node.names or node.opens):
            self.nodes.pop(node.number, None)

    def _count(self, takes_bytes: int = 0) -> None:
        """Count a changing operation and raise if it has to fail."""
        self.changes += 1
        fault = self._fault()
        if fault is Fault.ERROR:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        if takes_bytes > max(0, self.room_bytes):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _fault(self) -> Fault | None:
        failure = self.failure
        if failure is None or self.changes < failure.at:
            return None
        if failure.fault is Fault.FULL:
            if self.changes == failure.at:
                self.capacity_bytes -= self.room_bytes
            elif not failure.lasting:
                self.capacity_bytes = _CAPACITY_BYTES
            return None
        return failure.fault if self.changes == failure.at or failure.lasting else None

    def _writable(self, node: Node, offset: int, data: bytes) -> int:
        """How many bytes of a write are written."""
        first, last = offset // CHUNK_BYTES, (offset + len(data) - 1) // CHUNK_BYTES
        fresh = sum(number not in node.content.chunks for number in range(first, last + 1))
        reserved = node.reserved_bytes > len(node.content.chunks) * CHUNK_BYTES
        self._count(takes_bytes=0 if reserved else fresh * CHUNK_BYTES)
        if self._fault() is Fault.SHORT and len(data) > 1:
            half = len(data) // 2
            return half // SECTOR_BYTES * SECTOR_BYTES or half
        return len(data)
