"""Files of this machine, read and written in worker threads."""

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISDIR
from typing import TypeVar, TypeVarTuple

import trio

from odxfs.client.places import File
from odxfs.client.plan import Side
from odxfs.errors import ExitCode, UserError
from odxfs.types import Buffer

Arguments = TypeVarTuple("Arguments")
Result = TypeVar("Result")

NO_LIMIT = 1 << 62

MOUNTS = Path("/proc/self/mountinfo")

_EXIT_CODES = {
    FileNotFoundError: ExitCode.NOT_FOUND,
    FileExistsError: ExitCode.EXISTS,
}


class LocalFile:
    """An open local file; the owner closes it."""

    def __init__(self, path: Path, descriptor: int, *, created: bool) -> None:
        self.size = os.fstat(descriptor).st_size
        self.created = created
        self.max_read_bytes = NO_LIMIT
        self.max_write_bytes = NO_LIMIT
        self.descriptor = descriptor
        self._path = path

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


@dataclass(frozen=True, slots=True)
class LocalPlace:
    """A path of this machine."""

    path: Path

    @property
    def side(self) -> Side:
        """No dialect, but perhaps an odxfs mount."""
        return Side(mount=odxfs_mount_of(self.path))

    @property
    def connection(self) -> None:
        """No connection."""
        return

    async def open_to_read(self) -> LocalFile:
        """Raises UserError when it is missing, may not be read or is a directory."""
        return self._open(os.O_RDONLY, created=False)

    async def open_to_write(self) -> LocalFile:
        """Made new when it is missing, otherwise left as it is. Raises UserError."""
        try:
            return self._open(os.O_RDWR | os.O_CREAT | os.O_EXCL, created=True)
        except UserError as error:
            if error.exit_code != ExitCode.EXISTS:
                raise
        return self._open(os.O_RDWR, created=False)

    async def delete(self) -> None:
        """Raises UserError."""
        try:
            self.path.unlink()
        except OSError as error:
            raise user_error(self.path, error) from error

    async def identity(self, file: File) -> tuple[object, ...]:
        """Device and inode."""
        assert isinstance(file, LocalFile)
        status = os.fstat(file.descriptor)
        return "local", status.st_dev, status.st_ino

    async def is_being_written(self) -> bool:
        """Taken for granted: a device and an inode number name one file."""
        return True

    def _open(self, flags: int, *, created: bool) -> LocalFile:
        try:
            descriptor = os.open(self.path, flags | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise user_error(self.path, error) from error
        file = LocalFile(self.path, descriptor, created=created)
        if S_ISDIR(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise UserError(f"{self.path}: it is a directory; directories are not copied")
        return file


def user_error(path: Path, error: OSError) -> UserError:
    """An operating system's error as one line and an exit code."""
    code = _EXIT_CODES.get(type(error), ExitCode.REFUSED)
    if error.errno == errno.ENOSPC:
        code = ExitCode.NO_SPACE
    return UserError(f"{path}: {error.strerror or error}", code)


def odxfs_mount_of(path: Path) -> int | None:
    """The device number of the odxfs mount that a path, or the folder it will be in, lies on; None elsewhere."""
    try:
        device = os.stat(path if path.exists() else path.parent).st_dev
        lines = MOUNTS.read_text().splitlines()
    except OSError:
        return None
    wanted = f"{os.major(device)}:{os.minor(device)}"
    mounted = any(line.split()[2] == wanted and " - fuse.odxfs " in line for line in lines)
    return device if mounted else None
