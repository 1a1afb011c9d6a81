"""The operations on locks, which pyfuse3 has not: fcntl(2) and flock(2). They stand in the open table beside the share's."""

import errno
import fcntl

import pyfuse3
import trio

from odxfs.opens import AdvisoryLock, LockRange, OpenEntry
from odxfs.opens.advisory_locks import WHOLE_FILE

from .answers import answered
from .caching import changed
from .front_end import FrontEnd

LockAnswer = tuple[int, int, int, int]
"""l_type, l_start, l_len (0 is "to the end"), l_pid."""


class Waiter:
    """A program that may have to wait for a lock: what wakes it is a lock given up or a signal."""

    def __init__(self) -> None:
        self.interrupted = False
        self._event = trio.Event()

    def wake(self) -> None:
        """Have it look again."""
        self._event.set()

    def interrupt(self) -> None:
        """It was sent a signal."""
        self.interrupted = True
        self._event.set()

    async def woken(self) -> None:
        """Return when it shall look again, or was interrupted before or meanwhile."""
        await self._event.wait()
        self._event = trio.Event()


class LockOperations(FrontEnd):
    """Called by `range_requests`. `owner` is the kernel's number for a process or, for OFD locks, an open file description.

    Nobody looks for deadlocks: two programs that wait for each other wait until one of them is sent a signal.
    """

    @answered
    async def getlk(
        self, fh: int, owner: int, kind: int, offset: int, length: int, pid: int, wait: int
    ) -> LockAnswer:
        """F_GETLK and F_OFD_GETLK: a lock that is in the way, or F_UNLCK. One of the share has pid 0."""
        wanted = _lock(kind, offset, length, pid)
        found = self.opens.range_conflict(self.handles.file(fh).entry, owner, wanted)
        if found is None:
            return fcntl.F_UNLCK, offset, length, 0
        held = found.range
        length = 0 if held.end >= WHOLE_FILE.end else held.length
        return fcntl.F_WRLCK if found.exclusive else fcntl.F_RDLCK, held.offset, length, found.pid

    @answered
    async def setlk(
        self,
        waiter: Waiter,
        fh: int,
        owner: int,
        kind: int,
        offset: int,
        length: int,
        pid: int,
        wait: int,
    ) -> int:
        """F_SETLK and F_SETLKW, or their OFD kin; returns 0. EAGAIN where a lock is in the way, EINTR after a signal."""
        entry = self.handles.file(fh).entry
        lock = _lock(kind, offset, length, pid)
        if kind == fcntl.F_UNLCK:
            self.opens.unlock_range(entry, owner, lock.range)
            return 0
        changed(self.opens, entry.number)
        while not self.opens.lock_range(entry, owner, lock):
            if not wait:
                raise pyfuse3.FUSEError(errno.EAGAIN)
            await self._wait_for_release(entry, waiter)
        changed(self.opens, entry.number)  # who has come to cache the file while this one waited
        return 0

    @answered
    async def flock(self, waiter: Waiter, fh: int, operation: int) -> int:
        """flock(2); returns 0. EAGAIN where a lock is in the way, EINTR after a signal."""
        entry = self.handles.file(fh).entry
        if operation & fcntl.LOCK_UN:
            self.opens.unlock_whole(entry)
            return 0
        changed(self.opens, entry.number)
        while not self.opens.lock_whole(entry, exclusive=bool(operation & fcntl.LOCK_EX)):
            if operation & fcntl.LOCK_NB:
                raise pyfuse3.FUSEError(errno.EAGAIN)
            await self._wait_for_release(entry, waiter)
        changed(self.opens, entry.number)  # who has come to cache the file while this one waited
        return 0

    def closed(self, fh: int, owner: int) -> None:
        """A process closed a descriptor: it loses its fcntl locks of the file, whichever descriptor it was (POSIX)."""
        self.opens.forget_lock_owner(self.handles.file(fh).inode.number, owner)

    async def _wait_for_release(self, entry: OpenEntry, waiter: Waiter) -> None:
        """Wait until some lock of the file is given up; who comes first then is not arranged. EINTR after a signal."""
        withdraw = self.opens.when_released(entry.number, waiter.wake)
        try:
            await waiter.woken()
        finally:
            withdraw()
        if waiter.interrupted:
            raise pyfuse3.FUSEError(errno.EINTR)


def _lock(kind: int, offset: int, length: int, pid: int) -> AdvisoryLock:
    end = offset + length if length else WHOLE_FILE.end
    return AdvisoryLock(LockRange(offset, end - offset), kind == fcntl.F_WRLCK, pid)
