"""Copies of the catalog: made online, consistent and durable; and put back.

A copy names blocks as they were. What later commits freed may hold other data by the time it is put back: such blocks fail
their checksums, and so are never taken for what they were. `odxfs fsck --repair --data` tells which.
"""

import fcntl
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from uuid import UUID

from odxfs.errors import ExitCode, NoSpace, StoreFailed, UserError
from odxfs.file_owner import open_or_create
from odxfs.volume.catalog.sqlite import find_damage, translated
from odxfs.volume.directory import PoolDirectory

_EPOCHS = 1 << 20
"""Added to the larger epoch, of the copy that is put back and of the catalog that it replaces: none that an owner since then
has had comes again, also where that catalog cannot be read."""

_MAX_EPOCH = 1 << 62
"""What a damaged catalog says beyond is not believed: it would leave no room to count on."""

_BESIDE = ("-wal", "-shm", "-journal")
"""What SQLite keeps beside a database, and takes for a part of whatever has its name."""

_PREFIX, _SUFFIX = "odxfs-backup-", ".partial"
"""Of the name of the folder in which a copy is made, beside what it will be."""

_COPY = "catalog.db"

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def back_up(catalog: Path, target: Path, pool: UUID | None = None) -> None:
    """Copy a catalog, which may be in use, as its last commit left it. Blocking; durable on return.

    With `pool` the copy says whose it is, as `restore` asks. Raises UserError when `target` exists or cannot be made, NoSpace or
    StoreFailed; then there is no `target`. The catalog's log cannot be cut short meanwhile.
    """
    if target.exists():
        raise UserError(f"{target} exists already", ExitCode.EXISTS)
    try:
        _remove_unfinished(target.parent)
        with _unfinished(target.parent) as partial:
            _copy(catalog, partial, pool)
            _sync(partial)
            os.link(partial, target)  # unlike a rename it does not replace what has come there meanwhile
        _sync(target.resolve().parent)
    except FileExistsError as error:
        raise UserError(f"{target} exists already", ExitCode.EXISTS) from error
    except OSError as error:
        raise UserError(f"{target} cannot be made: {error.strerror}", ExitCode.CONFIG) from error


def restore(directory: Path, source: Path) -> Path | None:
    """Put a copy in the place of a pool's catalog, which is kept beside it with its log. Blocking.

    Returns where: the catalog, or its log when only that was left; None when there was neither.
    Raises UserError: the pool is in use, `source` is no sound copy of this pool's catalog; NoSpace, StoreFailed.
    """
    place = PoolDirectory(directory)
    uuid = place.read_identity()
    with place.owned("odxfs backup --restore"):
        fresh = place.catalog.with_name(f"{place.catalog.name}.restoring")
        if source.resolve() in {part.resolve() for part in _parts(fresh)}:
            raise UserError(
                f"{source} has a name that restoring uses itself: give it another one", ExitCode.CONFIG
            )
        try:
            _remove(fresh)  # an earlier one was killed
            os.close(open_or_create(fresh, os.O_WRONLY))
            shutil.copyfile(source, fresh)
            _adopt(fresh, source, uuid, _epoch_of(place.catalog))
            _sync(fresh)
            kept = _set_aside(place.catalog)
            _sync(directory)
            os.replace(fresh, place.catalog)
            _sync(directory)
        except OSError as error:
            why = error.strerror or error  # shutil's own errors have no strerror
            raise UserError(f"{source} cannot be put back: {why}", ExitCode.CONFIG) from error
        finally:
            _remove(fresh)
    return kept


def free_name(path: Path, what: str) -> Path:
    """The first name beside `path` of the form path.what-N that no database or part of one has."""
    number = 1
    while any(part.exists() for part in _parts(path.with_name(f"{path.name}.{what}-{number}"))):
        number += 1
    return path.with_name(f"{path.name}.{what}-{number}")


def _parts(database: Path) -> list[Path]:
    """The files of a database, which need not be there: itself first."""
    return [database, *(Path(f"{database}{ending}") for ending in _BESIDE)]


def _remove(database: Path) -> None:
    for part in _parts(database):
        part.unlink(missing_ok=True)


@contextmanager
def _unfinished(directory: Path) -> Iterator[Path]:
    """A file for the time of the block, in a folder of its own that nobody else looks into. Raises OSError.

    A lock on the folder says that it is in use, and ends with the process.
    """
    folder, descriptor = _make_folder(directory)
    try:
        yield folder / _COPY
    finally:
        with suppress(OSError):  # as on NFS, for what is open: the next backup removes it
            _remove_folder(folder, descriptor)
        os.close(descriptor)


def _make_folder(directory: Path) -> tuple[Path, int]:
    """A locked folder with an empty file in it, and its descriptor. Raises OSError."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, suffix=_SUFFIX, dir=directory))
        with suppress(FileNotFoundError):  # another backup has taken it for left behind, before it was locked
            return folder, _fill_folder(folder)


def _fill_folder(folder: Path) -> int:
    descriptor = os.open(folder, _FOLDER)
    try:
        with suppress(OSError):  # where there are no locks, nobody takes it away either
            fcntl.flock(descriptor, fcntl.LOCK_SH)
        os.close(
            os.open(_COPY, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=descriptor)
        )
    except BaseException:
        os.close(descriptor)
        with suppress(OSError):
            os.rmdir(folder)
        raise
    return descriptor


def _remove_unfinished(directory: Path) -> None:
    """Remove what backups of this user have left that were killed; what cannot be removed stays."""
    for folder in directory.glob(f"{_PREFIX}*{_SUFFIX}"):
        with suppress(OSError):
            descriptor = os.open(folder, _FOLDER)
            try:
                if os.fstat(descriptor).st_uid == os.geteuid():
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    _remove_folder(folder, descriptor)
            finally:
                os.close(descriptor)


def _remove_folder(folder: Path, descriptor: int) -> None:
    """Nothing is removed but what a backup puts there. Raises OSError."""
    for part in _parts(Path(_COPY)):
        with suppress(FileNotFoundError):
            os.unlink(part, dir_fd=descriptor)
    os.rmdir(folder)


def _copy(source: Path, target: Path, pool: UUID | None) -> None:
    try:
        reading = sqlite3.connect(f"{source.resolve().as_uri()}?mode=ro", uri=True)
        try:
            writing = sqlite3.connect(target)
            try:
                reading.backup(writing)
                writing.execute("PRAGMA journal_mode = DELETE")  # one file that holds everything
                if pool is not None:
                    writing.execute("CREATE TABLE backup (pool TEXT NOT NULL)")
                    writing.execute("INSERT INTO backup VALUES (?)", (str(pool),))
                    writing.commit()
            finally:
                writing.close()
        finally:
            reading.close()
    except sqlite3.Error as error:
        if isinstance(translated(error), NoSpace):
            raise NoSpace("there is no room for a copy of the catalog") from error
        raise StoreFailed(f"the catalog cannot be copied: {error}") from error


def _epoch_of(catalog: Path) -> int:
    """The epoch of the catalog that is to be replaced; 0 where it cannot be read. Nothing is written to it or its log."""
    try:
        with closing(sqlite3.connect(f"{catalog.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            (epoch,) = connection.execute("SELECT epoch FROM claim").fetchone()
    except (sqlite3.Error, TypeError):
        return 0
    return epoch if isinstance(epoch, int) and 0 <= epoch < _MAX_EPOCH else 0


def _adopt(fresh: Path, source: Path, pool: UUID, replaced_epoch: int) -> None:
    """Make a copy this pool's catalog. Raises UserError when it is not."""
    damage = find_damage(fresh)
    if damage is not None:
        raise UserError(f"{source} is no sound copy of a catalog: {damage}", ExitCode.CORRUPT)
    connection = sqlite3.connect(fresh)
    try:
        (found,) = connection.execute("SELECT pool FROM backup").fetchone()
        if found != str(pool):
            raise UserError(f"{source} is a copy of another pool's catalog", ExitCode.CONFIG)
        connection.execute("DROP TABLE backup")
        connection.execute("UPDATE claim SET epoch = max(epoch, ?) + ?", (replaced_epoch, _EPOCHS))
        connection.execute("UPDATE pool SET clean = 0")
        connection.commit()
    except (sqlite3.Error, TypeError) as error:
        raise UserError(f"{source} was not made by 'odxfs backup'", ExitCode.CONFIG) from error
    finally:
        connection.close()


def _set_aside(catalog: Path) -> Path | None:
    """Keep what is there under another name, so that no log of it is replayed into what comes; returns the first file kept.

    The catalog goes first: without it nothing is opened, without its log it would be.
    """
    free = free_name(catalog, "before-restore")
    kept = None
    for part, name in zip(_parts(catalog), _parts(free), strict=True):
        if part.exists():
            os.rename(part, name)
            kept = kept or name
    return kept


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
