"""A path of this machine as the end of a copy."""

import errno
import os
import stat
from collections.abc import AsyncGenerator, Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path

import trio

from odxfs.client.closing import close_quietly, closing
from odxfs.client.entry import Entry, Kind
from odxfs.client.identity import LOCAL, Identity
from odxfs.client.local_file import (
    Arguments,
    LocalFile,
    Result,
    metadata_of,
    set_times,
    user_error,
)
from odxfs.client.metadata import Lost, Metadata
from odxfs.client.partial import PARTIAL_SUFFIX, partial_name
from odxfs.client.place import File
from odxfs.client.plan import Side
from odxfs.errors import ExitCode, UserError
from odxfs.pool_identity import IDENTITY, unpack_identity

MOUNTS = Path("/proc/self/mountinfo")

ENTRIES_PER_PAGE = 500

_PRIVATE = 0o600
"""The mode of a file while it is being filled; it gets its own with the rest of the metadata (`LocalFile.set_metadata`)."""

_PRIVATE_FOLDER, _ANY_FOLDER = 0o700, 0o777


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

    @property
    def name(self) -> str:
        """The path."""
        return str(self.path)

    def inside(self, name: str) -> "LocalPlace":
        """The place of that name in this folder."""
        return LocalPlace(self.path / name)

    def partial(self) -> "LocalPlace":
        """The place beside this one where a copy that can be resumed grows."""
        return LocalPlace(self.path.with_name(partial_name(self.path.name)))

    def stream(self, name: str) -> "LocalPlace":
        """Never: `File.streams` names none, and SMB streams are not kept."""
        raise UserError(f"{self.path}: there is no stream {name!r} of a local file", ExitCode.REFUSED)

    def refuse_name(self, name: str) -> str | None:
        """A name from a server must stay a name: with a slash or as `..` it would lead out of the folder."""
        if name in {"", ".", ".."} or "/" in name or "\0" in name:
            return "Linux cannot hold this name"
        return None

    async def look(self) -> Entry | None:
        """What is there, links followed; None when nothing is. Raises UserError."""
        try:
            return _entry(self.path.name, await self._run(os.stat, self.path))
        except UserError as error:
            if error.exit_code == ExitCode.NOT_FOUND:
                return None
            raise

    async def pages(self) -> AsyncGenerator[list[Entry], None]:
        """The entries of this folder. Raises UserError."""
        with await self._run(os.scandir, self.path) as listing:
            while page := await self._run(_page, listing):
                yield page

    async def folder_identity(self) -> Identity:
        """Device and inode."""
        return await self._run(_identity, self.path)

    async def make_folder(self, *, private: bool = False) -> bool:
        """Raises UserError."""
        try:
            await self._run(os.mkdir, self.path, _PRIVATE_FOLDER if private else _ANY_FOLDER)
        except UserError as error:
            if error.exit_code != ExitCode.EXISTS or not self.path.is_dir():
                raise
            return False
        return True

    async def set_folder_metadata(self, metadata: Metadata) -> set[Lost]:
        """Give the folder these times and permission bits; what was not kept."""
        lost = metadata.lost_on_local()
        try:
            if metadata.mode is not None:
                await self._run(os.chmod, self.path, metadata.mode & 0o777)
            await self._run(set_times, self.path, metadata)
        except UserError:
            lost |= {Lost.TIMES, Lost.MODE}
        return lost

    async def make_link(self, target: str) -> None:
        """A symbolic link, in the place of one that may be there. Raises UserError."""
        if self.path.is_symlink():
            await self.delete()
        await self._run(os.symlink, target, self.path)

    async def open_to_read(self) -> LocalFile:
        """Raises UserError when it is missing, may not be read or is a directory."""
        return self._open(os.O_RDONLY, created=False)

    async def open_to_write(self) -> LocalFile:
        """Made new when it is missing, otherwise left as it is; locked against another copy. Raises UserError."""
        return await self._open_locked(needs_lock=False)

    async def open_partial(self) -> LocalFile:
        """`open_to_write`, also what an earlier run has given the source's mode, and only where locks work. Raises UserError.

        Nobody has named this file, and in a folder that others write to they may have put it there: a link, and what is another
        user's, is refused.
        """
        try:
            return await self._open_locked(needs_lock=True, flags=os.O_NOFOLLOW)
        except UserError:
            if not await self._make_writable():
                raise
        return await self._open_locked(needs_lock=True, flags=os.O_NOFOLLOW)

    async def _open_locked(self, *, needs_lock: bool, flags: int = 0) -> LocalFile:
        file = self._open_or_make(flags)
        try:
            if flags & os.O_NOFOLLOW:
                await self._run(_refuse_planted, self.path, file.descriptor)
            await file.lock(is_needed=needs_lock)
            if not await self._run(file.is_at, self.path):
                raise UserError(
                    f"{self.path}: another copy has just finished or removed it", ExitCode.REFUSED
                )
        except BaseException:
            await file.close()
            raise
        return file

    def _open_or_make(self, flags: int) -> LocalFile:
        flags |= os.O_RDWR
        try:
            return self._open(flags | os.O_CREAT | os.O_EXCL, created=True)
        except UserError as error:
            if error.exit_code != ExitCode.EXISTS:
                raise
        return self._open(flags, created=False)

    async def rename(self, file: File, target: "LocalPlace") -> None:
        """Raises UserError."""
        await self._run(os.replace, self.path, target.path)

    async def delete(self) -> None:
        """Raises UserError."""
        await self._run(os.unlink, self.path)

    async def discard(self, file: File) -> None:
        """Raises UserError. A symbolic link to it stays. Unlinked while it is locked, so no other copy has begun to write it."""
        assert isinstance(file, LocalFile)
        try:
            path = await self._run(os.path.realpath, self.path)
            if await self._run(file.is_at, Path(path)):
                await self._run(os.unlink, path)
        finally:
            await close_quietly(file)

    async def identity(self, file: File) -> Identity:
        """Device and inode."""
        assert isinstance(file, LocalFile)
        return await self._run(_identity, file.descriptor)

    async def is_being_written(self) -> bool:
        """Taken for granted: a device and an inode number name one file."""
        return True

    async def _make_writable(self) -> bool:
        """Let the owner write a file that no other copy has locked; whether it could be opened for that. Raises UserError."""
        try:
            file = self._open(os.O_RDONLY | os.O_NOFOLLOW, created=False)
        except UserError:
            return False
        async with closing(file):
            await self._run(_refuse_planted, self.path, file.descriptor)
            await file.lock(is_needed=True)
            await self._run(os.fchmod, file.descriptor, _PRIVATE)
        return True

    def _open(self, flags: int, *, created: bool) -> LocalFile:
        try:
            descriptor = os.open(self.path, flags | os.O_CLOEXEC | os.O_NONBLOCK, _PRIVATE)
        except OSError as error:
            if error.errno == errno.ELOOP and flags & os.O_NOFOLLOW:
                raise UserError(f"{self.path}: it is {Kind.LINK.value}", ExitCode.REFUSED) from error
            raise user_error(self.path, error) from error
        kind = kind_of(os.fstat(descriptor).st_mode)
        if kind is not Kind.FILE:
            os.close(descriptor)
            raise UserError(f"{self.path}: it is {kind.value}", ExitCode.REFUSED)
        return LocalFile(
            self.path, descriptor, created=created, lacks_mode=created or self.path.suffix == PARTIAL_SUFFIX
        )

    async def _run(self, function: Callable[[*Arguments], Result], *arguments: *Arguments) -> Result:
        try:
            return await trio.to_thread.run_sync(function, *arguments)
        except OSError as error:
            raise user_error(self.path, error) from error


def odxfs_mount_of(path: Path) -> int | None:
    """The device number of the odxfs mount that a path, or the folder it will be in, lies on; None elsewhere."""
    try:
        device = os.stat(path if path.exists() else path.parent).st_dev
        return device if _is_odxfs(device) else None
    except OSError:
        return None


@lru_cache(maxsize=64)
def _is_odxfs(device: int) -> bool:
    """Kept, because a folder of many files asks for each; were it wrong after a mount has changed, a token would be refused."""
    wanted = b"%d:%d" % (os.major(device), os.minor(device))
    # Names in it are bytes, of which the kernel escapes blanks and backslashes alone.
    lines = MOUNTS.read_bytes().split(b"\n")
    return any(b" - fuse.odxfs " in line and line.split(b" ")[2] == wanted for line in lines)


def _refuse_planted(path: Path, descriptor: int) -> None:
    """Raise UserError for a file that another user may have put here for us to fill. Raises OSError.

    Where others make files, it must be ours or the folder's owner's (so the kernel's fs.protected_regular) and have one name.
    """
    found, folder = os.fstat(descriptor), path.parent.stat()
    if folder.st_mode & (stat.S_IWGRP | stat.S_IWOTH) == 0:
        return
    if found.st_uid not in {os.geteuid(), folder.st_uid}:
        raise UserError(f"{path}: it is another user's", ExitCode.REFUSED)
    if found.st_nlink > 1:
        raise UserError(f"{path}: it is also called something else", ExitCode.REFUSED)


def _identity(file: Path | int) -> Identity:
    """Of a path or a descriptor, with what an odxfs mount tells of it."""
    status = os.stat(file)
    number, opening = status.st_ino, None
    if _is_odxfs(status.st_dev):
        try:
            found = unpack_identity(os.getxattr(file, IDENTITY))
        except OSError:
            found = None  # an older mount, or a folder that may not be read
        if found is not None:
            opening, number = found
    key = status.st_dev, status.st_ino
    return Identity(LOCAL, key, is_exact=True, number=number, opening=opening, changed_ns=status.st_ctime_ns)


def kind_of(mode: int) -> Kind:
    """What a mode of stat(2) says."""
    if stat.S_ISREG(mode):
        return Kind.FILE
    if stat.S_ISDIR(mode):
        return Kind.FOLDER
    return Kind.LINK if stat.S_ISLNK(mode) else Kind.OTHER


def _page(listing: Iterator[os.DirEntry[str]]) -> list[Entry]:
    return [_listed(found) for found in islice(listing, ENTRIES_PER_PAGE)]


def _listed(found: os.DirEntry[str]) -> Entry:
    try:
        status = found.stat(follow_symlinks=False)
        target = os.readlink(found.path) if stat.S_ISLNK(status.st_mode) else ""
    except OSError:
        return Entry(found.name, Kind.FILE)  # it has just gone, and the copy will say so
    return _entry(found.name, status, target)


def _entry(name: str, status: os.stat_result, target: str = "") -> Entry:
    kind = kind_of(status.st_mode)
    return Entry(name, kind, status.st_size if kind is Kind.FILE else 0, metadata_of(status), target)
