"""The embedded metadata engine: one SQLite database in WAL mode with synchronous=FULL.

Reads run inline on a reader connection (about 10 us each, without a checkpoint), and in a thread while the disk is slow to
answer. A commit runs in a worker thread on a writer connection, so the trio thread goes on while the disk works; a WAL reader
neither waits for it nor disturbs it.
"""

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import Any

from odxfs.errors import Corrupt, ExitCode, NoSpace, Stale, StoreFailed, UserError, VolumeError
from odxfs.file_owner import open_or_create
from odxfs.types import SnapshotId
from odxfs.volume.blocks.threads import DiskThreads
from odxfs.volume.catalog import statements
from odxfs.volume.catalog.interface import PAST, Changes, Key, Preserving, Row, Table, volume_of
from odxfs.volume.catalog.schema import INDEXES, MIGRATIONS, SCHEMA_VERSION, TABLES
from odxfs.volume.disk_condition import DiskCondition
from odxfs.volume.tree.names import fold

_CACHE_KIB = 32 * 1024
"""Pages the reader keeps: the tree above a few million directory entries."""

_INCREMENTAL = 2
"""What PRAGMA auto_vacuum says of a database that gives pages back when told to."""

_TRIMMED_PAGES = 512
"""Pages given back in one step: 2 MiB of log."""

_KEPT_PAGES = 256
_KEPT_PART = 16
"""Free pages that are not worth the while: 1 MiB, and this part of the database."""
_ROWS_A_STATEMENT = 50
"""Rows set by one statement; no more than 1000 parameters, which every SQLite takes."""

_SORTED_AT_A_TIME = 4096
"""Rows are written by key, so that neighbours lie on one page; sorting keeps the interpreter's lock, some ms for so many."""

_PAST_TABLES = frozenset(PAST.values())

_NO_ROOM = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE)
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class SqliteEngine:
    """A CatalogEngine over one database file. Made by `open`; `create` only writes the empty catalog."""

    def __init__(
        self,
        reader: sqlite3.Connection,
        writer: sqlite3.Connection,
        epoch: int,
        condition: DiskCondition,
    ) -> None:
        self._reader = reader
        self._reading = threading.Lock()
        self._writer = writer
        self._epoch = epoch
        self._condition = condition

    @staticmethod
    def create(path: Path, rows: Changes) -> None:
        """Write a new catalog holding `rows`, durable on return. Blocking. Raises StoreFailed or NoSpace."""
        _keep_private(path, created=True)
        try:
            connection = _connect(path)
            try:
                connection.execute("BEGIN IMMEDIATE")
                for statement in (*TABLES, *INDEXES):
                    connection.execute(_native(statement))
                connection.execute("INSERT INTO claim VALUES (0, 0, '', ?)", (SCHEMA_VERSION,))
                _apply(connection, rows)
                connection.execute("COMMIT")
            finally:
                connection.close()
        except sqlite3.Error as error:
            raise translated(error) from error

    @classmethod
    def open(cls, path: Path, owner: str, condition: DiskCondition | None = None) -> "SqliteEngine":
        """Open the catalog as its next owner: the epoch grows, durably. Blocking.

        The caller holds the pool's lock. Raises UserError for a catalog of a newer format, Corrupt or StoreFailed.
        """
        if not path.is_file():
            raise UserError(f"{path}: the pool's catalog is missing", ExitCode.NOT_A_POOL)
        _keep_private(path)
        try:
            writer = _connect(path)
            try:
                epoch = _claim(writer, owner, path)
                return cls(
                    _connect(path), writer, epoch, condition or DiskCondition(DiskThreads(), time.time_ns)
                )
            except BaseException:
                writer.close()
                raise
        except sqlite3.Error as error:
            raise translated(error) from error

    @property
    def epoch(self) -> int:
        return self._epoch

    async def get(self, table: Table, key: Key) -> Row | None:
        """See CatalogEngine.get."""
        found = await self._ask(statements.point(table), key)
        return tuple(found[0][1:]) if found else None

    async def range(self, table: Table, low: Key, high: Key, limit: int) -> list[tuple[Key, Row]]:
        """See CatalogEngine.range."""
        columns = len(table.value.key)
        found = await self._ask(statements.between(table, len(low), len(high)), (*low, *high, limit))
        return [(row[:columns], row[columns:]) for row in found]

    async def past_get(self, snapshot: SnapshotId, table: Table, key: Key) -> Row | None:
        """See CatalogEngine.past_get."""
        now = await self.get(
            table, key
        )  # first: a commit between the two moves what it changes into the past
        found = await self._ask(statements.past_point(table), (*key, snapshot))
        if not found:
            return now
        return tuple(found[0][1:]) if found[0][0] else None

    async def past_range(
        self, snapshot: SnapshotId, table: Table, low: Key, high: Key, limit: int
    ) -> list[tuple[Key, Row]]:
        """See CatalogEngine.past_range."""
        columns = len(table.value.key)
        part = (*low, *high, snapshot)
        found = await self._ask(
            statements.past_between(table, len(low), len(high)), (*part, *part, snapshot, limit)
        )
        return [(row[:columns], row[columns:]) for row in found]

    async def commit(
        self,
        changes: Changes,
        preserving: Preserving | None = None,
        *,
        before: Callable[[], None] | None = None,
    ) -> None:
        """See CatalogEngine.commit. Once begun it is not cut short by a cancellation."""

        def work() -> None:
            if before is not None:
                before()
            self.commit_blocking(changes, preserving or {})

        await self._condition.threads.run_to_the_end("a commit", work)

    def commit_blocking(self, changes: Changes, preserving: Preserving) -> None:
        """The commit itself, for a worker thread; one at a time."""
        try:
            with self._transaction():
                past = {table: rows for table, rows in changes.items() if table in _PAST_TABLES}
                _apply(self._writer, past)
                _preserve(self._writer, changes, preserving)
                _apply(self._writer, {table: rows for table, rows in changes.items() if table not in past})
        except sqlite3.Error as error:
            raise translated(error) from error

    async def trim(self) -> bool:
        """See CatalogEngine.trim. A catalog made without `auto_vacuum` keeps its size; its log is emptied all the same."""
        return await self._condition.threads.run_to_the_end("shortening the catalog", self._trim_blocking)

    def _trim_blocking(self) -> bool:
        try:
            (mode,) = self._writer.execute("PRAGMA auto_vacuum").fetchone()
            (free,) = self._writer.execute("PRAGMA freelist_count").fetchone()
            (pages,) = self._writer.execute("PRAGMA page_count").fetchone()
            if mode == _INCREMENTAL and free > _KEPT_PAGES + pages // _KEPT_PART:
                with self._transaction():
                    self._writer.execute(f"PRAGMA incremental_vacuum({_TRIMMED_PAGES})").fetchall()
                return True
            self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        except sqlite3.Error as error:
            raise translated(error) from error
        return False

    async def close(self) -> None:
        """Close both connections; the last one folds the WAL into the database."""
        await self._condition.threads.run_to_the_end("closing the catalog", self._close_blocking)

    def _close_blocking(self) -> None:
        with self._reading:  # a reading that nobody waits for any more may be under way
            self._reader.close()
        self._writer.close()

    async def _ask(self, sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        """All rows that a query finds."""
        threads = self._condition.threads
        try:
            if threads.is_slow or not self._reading.acquire(blocking=False):
                return await threads.run("a look into the catalog", self._ask_blocking, sql, parameters)
            try:
                return self._fetch(sql, parameters)
            finally:
                self._reading.release()
        except StoreFailed as error:
            self._condition.note_unreadable(str(error))
            raise

    def _ask_blocking(self, sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        with self._reading:
            return self._fetch(sql, parameters)

    def _fetch(self, sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        try:
            # All rows at once: a cursor left open would hold a snapshot and keep the WAL from being reset.
            return self._reader.execute(sql, parameters).fetchall()
        except sqlite3.Error as error:
            raise translated(error) from error

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Around changes by the owner that this engine was opened for. Raises Stale when there is another."""
        self._writer.execute("BEGIN IMMEDIATE")
        try:
            (epoch,) = self._writer.execute("SELECT epoch FROM claim WHERE id = 0").fetchone()
            if epoch != self._epoch:
                raise Stale(f"the pool has a new owner (epoch {epoch}, ours is {self._epoch})")
            yield
            self._writer.execute("COMMIT")
        except BaseException:
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
            raise


def find_damage(path: Path) -> str | None:
    """What SQLite itself finds wrong with a catalog that nobody has open, in a few words; None when it is sound. Blocking.

    Reads the whole database. Raises StoreFailed.
    """
    try:
        connection = sqlite3.connect(path)
        try:
            (first,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
        finally:
            connection.close()
    except sqlite3.Error as error:
        failure = translated(error)
        if isinstance(failure, Corrupt):
            return str(error)
        raise failure from error
    return None if first == "ok" else " ".join(str(first).split())


def _keep_private(path: Path, *, created: bool = False) -> None:
    """The catalog is the server's alone, whatever the folder allows and the umask says. Raises StoreFailed.

    SQLite makes the files beside it with the mode of the database; those of an earlier owner may be there.
    """
    try:
        if created:
            os.close(open_or_create(path, os.O_RDWR))
        for suffix in ("", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                os.chmod(f"{path}{suffix}", 0o600)
    except OSError as error:
        raise StoreFailed(f"making {path.name} private failed: {error.strerror}") from error


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=256)
    try:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # takes effect on a database without a table
        connection.text_factory = decoded
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        connection.execute("PRAGMA temp_store = MEMORY")  # a full /tmp must not make a commit fail
    except BaseException:
        connection.close()
        raise
    return connection


def decoded(text: bytes) -> str:
    """Text of the catalog; a damaged one is for the checks to find."""
    return text.decode(errors="replace")


def _claim(writer: sqlite3.Connection, owner: str, path: Path) -> int:
    """Become the owner, and bring an older format up to date in the same step; returns the new epoch."""
    found = writer.execute("SELECT epoch, schema FROM claim WHERE id = 0").fetchone()
    if found is None:
        raise Corrupt(f"{path}: the catalog has no claim row")
    epoch, schema = found
    if schema > SCHEMA_VERSION:
        raise UserError(
            f"{path} has catalog format {schema}, this odxfs knows {SCHEMA_VERSION}: use a newer odxfs",
            ExitCode.FORMAT,
        )
    writer.create_function("fold", 1, _folded, deterministic=True)
    writer.execute("BEGIN IMMEDIATE")
    try:
        for version in range(schema, SCHEMA_VERSION):
            for statement in MIGRATIONS[version]:
                writer.execute(_native(statement))
        writer.execute(
            "UPDATE claim SET epoch = ?, owner = ?, schema = ? WHERE id = 0",
            (epoch + 1, owner, SCHEMA_VERSION),
        )
        writer.execute("COMMIT")
    except BaseException:
        if writer.in_transaction:
            writer.execute("ROLLBACK")
        raise
    return int(epoch) + 1


def _folded(name: bytes | str | float | None) -> bytes | str | float | None:
    """`fold` for statements of schema.py; what is no name, in a damaged row, stays what it is."""
    return fold(name) if isinstance(name, bytes) else name


def _native(statement: str) -> str:
    """A statement of schema.py for SQLite: every table's rows lie in the tree of its key."""
    return statement + " WITHOUT ROWID" if statement.startswith("CREATE TABLE") else statement


def _apply(connection: sqlite3.Connection, changes: Changes) -> None:
    for table, rows in changes.items():
        keys = list(rows)
        for at in range(0, len(keys), _SORTED_AT_A_TIME):
            part = keys[at : at + _SORTED_AT_A_TIME]
            with suppress(TypeError):  # a repair deletes rows whose keys are of no kind: in whatever order
                part.sort()
            _apply_to(connection, table, rows, part)


def _apply_to(
    connection: sqlite3.Connection, table: Table, rows: Mapping[Key, Row | None], keys: list[Key]
) -> None:
    puts = [(*key, *row) for key in keys if (row := rows[key]) is not None]
    _put(connection, table, puts)
    if len(puts) < len(keys):
        connection.executemany(statements.delete(table), [key for key in keys if rows[key] is None])


def _put(connection: sqlite3.Connection, table: Table, rows: list[Row]) -> None:
    """Several rows a statement: each step of SQLite gives the interpreter's lock away and takes it back.

    200,000 entries of directories: 0.19 s where one row a statement took 0.37 s, 0.66 s for 1.0 s beside a busy thread.
    """
    whole = len(rows) - len(rows) % _ROWS_A_STATEMENT
    for at in range(0, whole, _ROWS_A_STATEMENT):
        several = tuple(chain.from_iterable(rows[at : at + _ROWS_A_STATEMENT]))
        connection.execute(statements.upsert(table, _ROWS_A_STATEMENT), several)
    if whole < len(rows):
        connection.executemany(statements.upsert(table), rows[whole:])


def _preserve(connection: sqlite3.Connection, changes: Changes, preserving: Preserving) -> None:
    """Keep what the rows of file trees are before `changes` are applied."""
    for table in PAST.keys() & changes.keys() if preserving else ():
        keys = [
            (snapshot, key)
            for key in changes[table]
            if (snapshot := preserving.get(volume_of(key[0])))  # type: ignore[arg-type]
        ]
        if table is not Table.EXTENTS:
            connection.executemany(
                statements.preserve_present(table), [(at, *key, *key, at) for at, key in keys]
            )
        connection.executemany(
            statements.preserve_absent(table), [(at, *key, *key, *key, at) for at, key in keys]
        )


def translated(error: sqlite3.Error) -> VolumeError:
    """SQLite's error in the store's words."""
    code = getattr(error, "sqlite_errorcode", 0)
    if code in _NO_ROOM:
        return NoSpace("the disk is full: the catalog cannot be written")
    if code & 0xFF in _DAMAGED:
        return Corrupt(f"the catalog is damaged: {error}")
    return StoreFailed(f"the catalog failed: {error}")
