"""An open file of this machine, read and written in worker threads."""

import errno
import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar, TypeVarTuple

import trio

from odxfs.client.metadata import Lost, Metadata, is_users_own
from odxfs.errors import ExitCode, UserError
from odxfs.types import Buffer

Arguments = TypeVarTuple("Arguments")
Result = TypeVar("Result")

NO_LIMIT = 1 << 62

MAX_RANGES = 4096
"""Ranges of data that are looked for in one go."""

_EXIT_CODES = {
    FileNotFoundError: ExitCode.NOT_FOUND,
    FileExistsError: ExitCode.EXISTS,
}
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}
_USER = "user."


class LocalFile:
    """An open local file; the owner closes it."""

    def __init__(self, path: Path, descriptor: int, *, created: bool, lacks_mode: bool) -> None:
        status = os.fstat(descriptor)
        self.size = status.st_size
        self.created = created
        self.metadata = metadata_of(status)
        self.max_read_bytes = NO_LIMIT
        self.max_write_bytes = NO_LIMIT
        self.descriptor = descriptor
        self.sparse = False  # Linux has no such mark; and Hyper-V attaches no disk that a copy has given one
        self._path = path
        self._lacks_mode = lacks_mode

    @property
    def name(self) -> str:
        """What messages call this file."""
        return str(self._path)

    async def read(self, offset: int, length: int) -> Buffer:
        """At most `length` bytes; empty at the end of file. Raises UserError."""
        return await self._run(os.pread, self.descriptor, length, offset)

    async def write(self, offset: int, data: Buffer) -> int:
        """How many bytes were taken. Raises UserError."""
        return await self._run(os.pwrite, self.descriptor, data, offset)

    async def set_end_of_file(self, size: int) -> None:
        """Cut or extend the file; what is new reads as zeros."""
        await self._run(os.ftruncate, self.descriptor, size)

    async def find_data(self, offset: int, length: int) -> tuple[list[tuple[int, int]], int]:
        """Where the range holds data, by SEEK_DATA; see `File.find_data`."""
        return await self._run(_find_data, self.descriptor, offset, offset + length)

    async def mark_sparse(self) -> bool:
        """Nothing to do: any file of Linux may have holes."""
        return True

    async def lock(self, *, is_needed: bool) -> None:
        """Keep other copies away until it is closed. Raises UserError; where locks do not work, only when one `is_needed`."""
        await self._run(_lock, self.descriptor, is_needed)
        self.size = os.fstat(
            self.descriptor
        ).st_size  # a copy that had it locked until now may have changed it

    def is_at(self, path: Path) -> bool:
        """Whether it still has this name."""
        try:
            return os.path.samestat(os.fstat(self.descriptor), os.stat(path))
        except FileNotFoundError:
            return False

    async def flush(self) -> None:
        """On stable storage on return."""
        await self._run(os.fsync, self.descriptor)

    async def set_metadata(self, metadata: Metadata) -> set[Lost]:
        """Give the file these times and permission bits; what was not kept. Not the set-id bits: the owner may be another.

        A file that has been private until now, since it was being filled, gets the mode of a new file where the source has none.
        """
        lost = metadata.lost_on_local()
        mode = metadata.mode
        if mode is None and self._lacks_mode:
            mode = 0o666 & ~_umask()
        try:
            if mode is not None:
                await self._run(os.fchmod, self.descriptor, mode & 0o777)
            await self._run(set_times, self.descriptor, metadata)
        except UserError:
            lost |= {Lost.TIMES, Lost.MODE}
        return lost

    async def streams(self) -> list[str]:
        """None: Linux knows no named streams."""
        return []

    async def attributes(self) -> dict[bytes, bytes]:
        """The extended attributes of the namespace `user.`, without that. Raises UserError."""
        return await self._run(_attributes, self.descriptor)

    async def set_attributes(self, attributes: dict[bytes, bytes]) -> None:
        """Add extended attributes, or replace them. Raises UserError."""
        for name, value in attributes.items():
            await self._run(os.setxattr, self.descriptor, _USER.encode() + name, value)

    async def close(self) -> None:
        """Close the descriptor, once; a delayed write error is told now."""
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            with trio.CancelScope(shield=True):  # a number that is forgotten but not closed would leak
                await self._run(os.close, descriptor)

    async def _run(self, function: Callable[[*Arguments], Result], *arguments: *Arguments) -> Result:
        try:
            return await trio.to_thread.run_sync(function, *arguments)
        except OSError as error:
            raise user_error(self._path, error) from error


def metadata_of(status: os.stat_result) -> Metadata:
    """What stat(2) tells; it knows no creation time."""
    return Metadata(
        status.st_mtime_ns, status.st_atime_ns, None, status.st_ctime_ns, None, status.st_mode & 0o7777
    )


def set_times(file: int | Path, metadata: Metadata) -> None:
    """Set access and write time, where known."""
    written = metadata.written_ns
    if written is not None:
        os.utime(file, ns=(metadata.accessed_ns or written, written))


def user_error(path: Path, error: OSError) -> UserError:
    """An operating system's error as one line and an exit code."""
    code = _EXIT_CODES.get(type(error), ExitCode.REFUSED)
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        code = ExitCode.NO_SPACE
    reason = "another copy is writing it" if error.errno == errno.EWOULDBLOCK else error.strerror or error
    return UserError(f"{path}: {reason}", code)


def _lock(descriptor: int, is_needed: bool) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if is_needed or error.errno not in _NO_LOCKS:
            raise


def _find_data(descriptor: int, offset: int, end: int) -> tuple[list[tuple[int, int]], int]:
    ranges = list[tuple[int, int]]()
    while offset < end and len(ranges) < MAX_RANGES:
        try:
            start = os.lseek(descriptor, offset, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            return ranges, end
        if start >= end:
            return ranges, end
        offset = min(os.lseek(descriptor, start, os.SEEK_HOLE), end)
        ranges.append((start, offset - start))
    return ranges, offset


def _attributes(descriptor: int) -> dict[bytes, bytes]:
    try:
        names = [name.removeprefix(_USER) for name in os.listxattr(descriptor) if name.startswith(_USER)]
    except OSError as error:
        if error.errno == errno.EOPNOTSUPP:
            return {}
        raise
    kept = (name for name in names if is_users_own(os.fsencode(name)))
    return {os.fsencode(name): os.getxattr(descriptor, _USER + name) for name in kept}


def _umask() -> int:
    """Of this process. umask(2) tells only who sets it, for all threads."""
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(fields["Umask"], 8)
