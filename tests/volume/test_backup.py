"""Copies of the catalog and their way back: what is put back is what was copied, whatever was left there by whom."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import trio

from odxfs.errors import ExitCode, NoSpace, UserError
from odxfs.volume import check_directory, create_pool, open_pool
from odxfs.volume.checking import backup
from odxfs.volume.checking.backup import back_up, restore
from odxfs.volume.directory import PoolDirectory

COPIED = [b"copied %d" % number for number in range(3)]
LATER = [b"later %d" % number for number in range(500)]


async def _make(directory: Path, names: list[bytes], then_dead: Path | None = None) -> None:
    """Make files; `then_dead` becomes what an owner leaves who is killed then."""
    async with open_pool(directory, owner="test") as pool:
        volume = pool.volume("main")
        for name in names:
            await volume.create(volume.root, name, 0o600, 0, 0)
        await pool.commit()
        if then_dead is not None:
            shutil.copytree(directory, then_dead)


async def _names(directory: Path) -> list[bytes]:
    async with open_pool(directory, owner="test") as pool:
        volume = pool.volume("main")
        return sorted(entry.name for entry in await volume.list_directory(volume.root, 0, 1000))


def _back_up(directory: Path, copy: Path) -> None:
    place = PoolDirectory(directory)
    back_up(place.catalog, copy, place.read_identity())


_KILLED = """
import os, signal, sys
from pathlib import Path
from odxfs.volume.checking import backup
backup._sync = lambda partial: os.kill(os.getpid(), signal.SIGKILL)
backup.back_up(Path(sys.argv[1], "catalog.db"), Path(sys.argv[2]))
"""
"""A backup that is killed when the copy is made and has not its name."""


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of `dead`'s catalog with the files COPIED."""
    return tmp_path / "copy.db"


@pytest.fixture
def dead(tmp_path: Path, copy: Path) -> Path:
    """A pool whose owner was killed, with much in the log of its catalog that came after the copy."""
    living, directory = tmp_path / "living", tmp_path / "dead"
    create_pool(living)
    trio.run(_make, living, COPIED)
    _back_up(living, copy)
    trio.run(_make, living, LATER, directory)
    assert (directory / "catalog.db-wal").stat().st_size > 100_000
    return directory


def _is_what_was_copied(directory: Path) -> bool:
    assert [finding for finding in trio.run(check_directory, directory) if finding.kind != "data"] == []
    return trio.run(_names, directory) == COPIED


def test_a_log_whose_catalog_is_lost_is_not_replayed_into_the_copy(dead: Path, copy: Path) -> None:
    (dead / "catalog.db").unlink()
    log = (dead / "catalog.db-wal").read_bytes()
    kept = restore(dead, copy)
    assert kept == dead / "catalog.db.before-restore-1-wal"
    assert kept.read_bytes() == log
    assert _is_what_was_copied(dead)


@pytest.mark.parametrize("moved", range(3))
def test_a_restore_that_is_killed_is_done_by_the_next(
    dead: Path, copy: Path, moved: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    renamed: list[Any] = []

    def killed(source: Any, target: Any) -> None:
        if len(renamed) == moved:
            raise KeyboardInterrupt
        renamed.append(target)
        os.replace(source, target)

    with monkeypatch.context() as patched:
        patched.setattr(backup.os, "rename", killed)
        with pytest.raises(KeyboardInterrupt):
            restore(dead, copy)
    before = {path.name: path.read_bytes() for path in dead.glob("catalog.db.before-restore*")}
    restore(dead, copy)
    assert before == {name: (dead / name).read_bytes() for name in before}, "nothing that was kept is lost"
    assert _is_what_was_copied(dead)


def test_what_a_killed_restore_left_half_done_is_not_taken_for_the_copy(dead: Path, copy: Path) -> None:
    fresh, journal = dead / "catalog.db.restoring", dead / "catalog.db.restoring-journal"
    with (
        sqlite3.connect(f"file:{dead / 'catalog.db'}?mode=ro", uri=True) as found,
        sqlite3.connect(fresh) as half,
    ):
        found.backup(half)
        half.execute("PRAGMA journal_mode = DELETE")
        half.execute("PRAGMA cache_size = 1")  # changed pages do not wait for the end: the journal is needed
        half.execute("DELETE FROM dirent")
        shutil.copy(journal, dead / "journal")
        half.rollback()
    os.replace(dead / "journal", journal)
    restore(dead, copy)
    assert _is_what_was_copied(dead)


def test_a_copy_is_whole_while_another_one_to_the_same_file_is_half_done(
    tmp_path: Path, dead: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, copy_it = tmp_path / "twice.db", backup._copy
    first_has_copied, second_is_half_done, first_is_done = (threading.Event() for _ in range(3))

    def copy_first(*given: Any) -> None:
        monkeypatch.setattr(backup, "_copy", copy_second)
        copy_it(*given)
        first_has_copied.set()
        assert second_is_half_done.wait(30)

    def copy_second(source: Path, partial: Path, pool: Any) -> None:
        partial.write_bytes(b"half a copy")
        second_is_half_done.set()
        assert first_is_done.wait(30)
        partial.write_bytes(b"")
        copy_it(source, partial, pool)

    monkeypatch.setattr(backup, "_copy", copy_first)
    with ThreadPoolExecutor() as threads:
        first = threads.submit(_back_up, dead, target)
        assert first_has_copied.wait(30)
        second = threads.submit(_back_up, dead, target)
        first.result(30)
        content = target.read_bytes()
        first_is_done.set()
        with pytest.raises(UserError) as refused:
            second.result(30)
    assert refused.value.exit_code == ExitCode.EXISTS
    assert target.read_bytes() == content
    restore(dead, target)
    assert set(trio.run(_names, dead)) == {*COPIED, *LATER}
    assert list(tmp_path.glob("*.partial")) == []


def test_what_a_killed_backup_has_left_goes_with_the_next_one(tmp_path: Path, dead: Path) -> None:
    """And what one that lives is making stays, as does what no backup has made."""
    theirs = tmp_path / "odxfs-backup-theirs.partial"
    theirs.mkdir()
    (theirs / "file").write_bytes(b"theirs")
    killed = subprocess.run(
        [sys.executable, "-c", _KILLED, dead, tmp_path / "killed.db"], check=False, timeout=60
    )
    assert killed.returncode == -signal.SIGKILL
    (left,) = set(tmp_path.glob("odxfs-backup-*")) - {theirs}
    with backup._unfinished(tmp_path) as living:
        _back_up(dead, tmp_path / "new.db")
        assert not left.exists()
        assert living.exists()
    assert list(tmp_path.glob("odxfs-backup-*")) == [theirs]
    assert (theirs / "file").read_bytes() == b"theirs"
    assert (tmp_path / "new.db").stat().st_mode & 0o777 == 0o600


def test_a_file_that_is_called_as_an_unfinished_copy_might_be_stays(tmp_path: Path, dead: Path) -> None:
    theirs = tmp_path / "new.db.partial"
    theirs.write_bytes(b"theirs")
    _back_up(dead, tmp_path / "new.db")
    assert theirs.read_bytes() == b"theirs"


def test_no_epoch_comes_again_when_one_copy_is_put_back_twice(dead: Path, copy: Path) -> None:
    epochs = []
    for _ in range(3):
        restore(dead, copy)
        epochs += [trio.run(_epoch_of_a_new_owner, dead) for _ in range(2)]
    assert epochs == sorted(set(epochs))


async def _epoch_of_a_new_owner(directory: Path) -> int:
    async with open_pool(directory, owner="test"):
        with sqlite3.connect(directory / "catalog.db") as connection:
            (epoch,) = connection.execute("SELECT epoch FROM claim").fetchone()
    return int(epoch)


@pytest.mark.parametrize("epoch", ["x", -5, (1 << 63) - 1, None])
def test_an_epoch_that_makes_no_sense_is_not_counted_on(dead: Path, copy: Path, epoch: Any) -> None:
    with sqlite3.connect(dead / "catalog.db") as connection:
        connection.execute("PRAGMA ignore_check_constraints = 1")
        if epoch is None:
            connection.execute("DELETE FROM claim")
        else:
            connection.execute("UPDATE claim SET epoch = ?", (epoch,))
    restore(dead, copy)
    assert _is_what_was_copied(dead)


@pytest.mark.parametrize("code", [sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE])
def test_a_full_disk_is_no_failure_of_the_catalog(
    tmp_path: Path, dead: Path, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = code
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(sqlite3, "connect", refuse)
        with pytest.raises(NoSpace):
            _back_up(dead, tmp_path / "new.db")
    assert not (tmp_path / "new.db").exists()


def test_a_copy_with_the_name_that_restoring_uses_is_not_deleted(tmp_path: Path) -> None:
    pool = tmp_path / "pool"
    create_pool(pool)
    copy = pool / "catalog.db.restoring"
    _back_up(pool, copy)
    before = copy.read_bytes()
    with pytest.raises(UserError, match="another"):
        restore(pool, copy)
    assert copy.read_bytes() == before


def test_what_is_no_file_is_refused_with_a_reason(tmp_path: Path) -> None:
    create_pool(tmp_path / "pool")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="named pipe"):
        restore(tmp_path / "pool", tmp_path / "pipe")
