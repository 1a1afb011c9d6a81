"""The backing directory: what lies where, what makes it a pool, and the lock of the one process that owns it."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

from odxfs.errors import SYSTEM_EXIT_CODES, ExitCode, NoSpace, UserError
from odxfs.file_owner import make_directory, open_or_create
from odxfs.pool_file import POOL_FILE, pack_pool_file, read_pool_uuid
from odxfs.volume.blocks.files import Files
from odxfs.volume.ownership import Ownership, noted_owner, running_owner

_OPENING_BYTES = 1 << 20
"""What opening a pool takes: the owner's note, and the catalog's log with its index."""

RESERVE_BYTES = 32 * 1024 * 1024
"""Room for the rows of a commit at its bounds (1024 dense leaves are 24 MiB)."""


@dataclass(frozen=True, slots=True)
class PoolDirectory:
    """Paths inside a pool's directory."""

    path: Path

    @property
    def identity(self) -> Path:
        return self.path / POOL_FILE

    @property
    def catalog(self) -> Path:
        return self.path / "catalog.db"

    @property
    def segments(self) -> Path:
        return self.path / "segments"

    @property
    def lock(self) -> Path:
        return self.path / "lock"

    @property
    def ballast(self) -> Path:
        return self.path / "ballast"

    def prepare(self) -> list[Path]:
        """Make the directory if need be. Raises UserError unless it is empty.

        Returns the directories in which names were made: they are to be synced.
        """
        try:
            made = [path for path in (self.path, *self.path.parents) if not path.exists()]
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            entries = [entry.name for entry in self.path.iterdir() if entry.name != "lost+found"]
            if self.identity.name in entries:
                raise UserError(f"{self.path} is a pool already", ExitCode.EXISTS)
            if entries:
                raise UserError(f"{self.path} is not empty", ExitCode.EXISTS)
            make_directory(self.segments)
        except (FileExistsError, NotADirectoryError) as error:
            raise UserError(f"{self.path} is not a directory", ExitCode.NOT_A_POOL) from error
        except OSError as error:
            code = SYSTEM_EXIT_CODES.get(error.errno or 0, ExitCode.USAGE)
            raise UserError(f"cannot make a pool in {self.path}: {error.strerror}", code) from error
        return [self.path, *(path.parent for path in made)]

    def write_identity(self, created_ns: int, files: Files) -> UUID:
        """Make the directory a pool; the last step of creation but for a sync of the directory. Raises NoSpace or StoreFailed."""
        uuid = uuid4()
        descriptor = files.open(self.identity, create=True)
        try:
            files.write(descriptor, (pack_pool_file(uuid, created_ns),), 0)
            files.sync(descriptor)
        finally:
            files.close(descriptor)
        return uuid

    def clear(self) -> None:
        """Remove what `prepare` and the steps behind it made, the identity first: a pool that could not be made."""
        for path in (self.identity, *self.path.glob(f"{self.catalog.name}*"), self.ballast, self.lock):
            path.unlink(missing_ok=True)
        self.segments.rmdir()

    def read_identity(self) -> UUID:
        """The pool's uuid. Raises UserError for what is not a pool, or one of a newer format."""
        return read_pool_uuid(self.path)

    @contextmanager
    def owned(self, owner: str) -> Iterator[Ownership]:
        """Hold the pool's lock. Raises UserError naming who holds it already, NoSpace or StoreFailed. Blocking."""
        descriptor = open_or_create(self.lock, os.O_RDWR)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise UserError(
                    f"{self.path} is in use by {noted_owner(self.lock)}", ExitCode.BUSY
                ) from error
            ownership = Ownership(self.lock, descriptor)
            self._take(ownership, owner)
            try:
                yield ownership
            finally:
                ownership.give_up()
        finally:
            os.close(descriptor)

    def running_owner(self) -> str | None:
        """Who has the pool open at this moment, as far as a look can tell. Never raises."""
        return running_owner(self.lock)

    def _take(self, ownership: Ownership, owner: str) -> None:
        """Note the owner; on a disk that others have filled, in the room of the ballast, which the catalog needs then, too."""
        files = Files()
        _, available = files.room(self.path)
        if available < _OPENING_BYTES:
            Ballast(self.ballast, files).give_up()
        try:
            ownership.take(owner)
        except NoSpace as error:
            raise NoSpace(f"{self.path} cannot be opened on a full disk: make some room beside it") from error


class Ballast:
    """Disk space held back so that the catalog can still commit (deletions, above all) when the disk is full."""

    def __init__(self, path: Path, files: Files) -> None:
        self._path = path
        self._files = files

    def reserve(self) -> None:
        """Take the space. Blocking. Raises NoSpace or StoreFailed; then nothing is taken."""
        self._files.remove(self._path)
        descriptor = self._files.open(self._path, create=True)
        try:
            self._files.allocate(descriptor, RESERVE_BYTES)
        except BaseException:
            self._files.remove(self._path)  # a commit without room may have given it up meanwhile
            raise
        finally:
            self._files.close(descriptor)

    @property
    def is_reserved(self) -> bool:
        """Whether the space is held back. Raises StoreFailed."""
        return self._files.exists(self._path)

    @property
    def is_hollow(self) -> bool:
        """Whether it is there without its space: so it comes out of a copy that leaves out zeros. Raises StoreFailed."""
        return self.is_reserved and self._files.disk_bytes_of(self._path) < RESERVE_BYTES

    def give_up(self) -> bool:
        """Give the space back to the file system; False when that has happened before. Raises StoreFailed."""
        return self._files.remove(self._path)
