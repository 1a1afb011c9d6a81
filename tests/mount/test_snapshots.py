"""Snapshots on the mount: `.snapshots/NAME` is the volume as it was, whatever happens to it, and nothing in there changes."""

import errno
import os
import random
import stat
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from odxfs.types import LEAF_BYTES
from tests.mount.command import MountedPool, odxfs_ok, run
from tests.mount.inside import mounted_inside, on


@pytest.fixture
def snapshots(pool: MountedPool) -> Path:
    return pool.mountpoint / ".snapshots"


def allocated_bytes(pool: MountedPool) -> int:
    return int(odxfs_ok("status", pool.directory, "--json").json["pool"]["allocated_bytes"])


def refusal(action: Callable[[], object]) -> int:
    """The errno of an action that must fail."""
    try:
        action()
    except OSError as error:
        return error.errno or 0
    pytest.fail("it was not refused")


def test_a_snapshot_is_the_tree_as_it_was(pool: MountedPool, folder: Path, snapshots: Path) -> None:
    (folder / "sub").mkdir(mode=0o750)
    disk = folder / "sub" / "disk"
    disk.write_bytes(random.Random(1).randbytes(LEAF_BYTES + 12_345))
    os.truncate(disk, 3 * LEAF_BYTES)
    os.setxattr(disk, "user.note", b"before")
    (folder / "link").symlink_to("sub/disk")
    os.link(disk, folder / "other name")
    before = run("sha256sum", disk).split()[0]
    listing = run("find", folder, "-printf", "%P %y %m %n %s %T@ %U\n")

    (snapshots / "first").mkdir()
    disk.write_bytes(b"overwritten")
    (folder / "link").unlink()
    (folder / "sub").rename(folder / "moved")
    (folder / "other name").unlink()
    run("rm", "-r", folder / "moved")

    seen = snapshots / "first" / folder.name
    assert run("find", seen, "-printf", "%P %y %m %n %s %T@ %U\n") == listing
    assert run("sha256sum", seen / "sub" / "disk").split()[0] == before
    assert os.getxattr(seen / "sub" / "disk", "user.note") == b"before"
    assert (seen / "link").readlink() == Path("sub/disk")
    assert os.stat(seen / "other name").st_ino == os.stat(seen / "sub" / "disk").st_ino
    assert os.stat(seen / "sub" / "disk").st_blocks * 512 < 2 * LEAF_BYTES
    with (seen / "sub" / "disk").open("rb") as file:
        assert os.lseek(file.fileno(), 0, os.SEEK_HOLE) < 2 * LEAF_BYTES
    (snapshots / "first").rmdir()
    assert not (snapshots / "first").exists()


def test_the_folder_is_there_for_who_names_it(pool: MountedPool, snapshots: Path) -> None:
    assert ".snapshots" not in os.listdir(pool.mountpoint)
    (snapshots / "a").mkdir()
    (snapshots / "b").mkdir()
    assert os.listdir(snapshots) == ["a", "b"]
    assert os.stat(snapshots).st_nlink == 4
    assert stat.S_IMODE(os.stat(snapshots).st_mode) == 0o755
    assert abs(os.stat(snapshots).st_mtime - time.time()) < 60
    assert os.path.samefile(snapshots / "a" / "..", snapshots)
    assert os.path.samefile(snapshots / "..", pool.mountpoint)
    numbers = {
        os.stat(path).st_ino for path in (snapshots, snapshots / "a", snapshots / "b", pool.mountpoint)
    }
    assert len(numbers) == 4
    assert not (snapshots / "a" / ".snapshots").exists()
    assert refusal((snapshots / "a").mkdir) == errno.EEXIST
    assert refusal((pool.mountpoint / ".snapshots").mkdir) == errno.EEXIST
    for name in ("a", "b"):
        (snapshots / name).rmdir()
    assert os.listdir(snapshots) == []


def test_nothing_in_there_can_be_changed(pool: MountedPool, folder: Path, snapshots: Path) -> None:
    (folder / "file").write_bytes(b"as it was")
    (snapshots / "fixed").mkdir()
    seen = snapshots / "fixed" / folder.name
    file = seen / "file"
    for change in (
        lambda: file.write_bytes(b"x"),
        lambda: os.truncate(file, 0),
        lambda: os.open(file, os.O_RDWR),
        file.unlink,
        lambda: file.rename(seen / "b"),
        lambda: file.rename(folder / "b"),
        lambda: (folder / "file").rename(seen / "c"),
        lambda: os.link(file, seen / "d"),
        (seen / "e").mkdir,
        seen.rmdir,
        lambda: (seen / "f").symlink_to("x"),
        lambda: file.chmod(0o600),
        lambda: os.utime(file, (0, 0)),
        lambda: os.setxattr(file, "user.a", b""),
        lambda: (snapshots / "plain file").write_bytes(b""),
        lambda: (snapshots / "fixed").rename(snapshots / "renamed"),
    ):
        assert refusal(change) == errno.EROFS
    assert refusal(lambda: os.link(file, folder / "hard")) == errno.EROFS
    assert refusal(snapshots.rmdir) == errno.EPERM
    assert refusal(lambda: snapshots.rename(pool.mountpoint / "elsewhere")) == errno.EPERM
    assert file.read_bytes() == b"as it was"
    (snapshots / "fixed").rmdir()


def test_a_copy_out_of_a_snapshot_shares_extents(pool: MountedPool, folder: Path, snapshots: Path) -> None:
    disk = folder / "disk"
    disk.write_bytes(random.Random(2).randbytes(4 * LEAF_BYTES))
    (snapshots / "before").mkdir()
    held = disk.read_bytes()
    disk.unlink()
    os.sync()
    used = allocated_bytes(pool)
    with (
        (snapshots / "before" / folder.name / "disk").open("rb") as source,
        (folder / "back").open("wb") as copy,
    ):
        assert os.copy_file_range(source.fileno(), copy.fileno(), len(held)) == len(held)
    assert (folder / "back").read_bytes() == held
    assert allocated_bytes(pool) == used
    (snapshots / "before").rmdir()
    assert (folder / "back").read_bytes() == held


def test_others_may_read_but_neither_make_nor_delete(
    pool: MountedPool, folder: Path, snapshots: Path
) -> None:
    (folder / "secret").write_bytes(b"root's")
    (folder / "secret").chmod(0o600)
    (folder / "open").write_bytes(b"everybody's")
    (snapshots / "shared").mkdir()
    seen = Path(".snapshots/shared", folder.name)

    def as_nobody(*words: str | Path) -> str:
        done = subprocess.run(
            list(map(str, words)),
            cwd=pool.mountpoint,
            user=65534,
            group=65534,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout + done.stderr

    assert as_nobody("cat", seen / "open") == "everybody's"
    assert "Permission denied" in as_nobody("cat", seen / "secret")
    assert "Permission denied" in as_nobody("mkdir", ".snapshots/mine")
    assert "Permission denied" in as_nobody("rmdir", ".snapshots/shared")
    (snapshots / "shared").rmdir()


async def test_a_snapshot_deleted_elsewhere_goes_from_the_mount(tmp_path: Path) -> None:
    async with mounted_inside(tmp_path) as inside:
        share, path = inside.share, inside.path
        await on((path / "file").write_bytes, b"x" * 5000)
        await inside.pool.snapshots.create("main", "s")
        seen = path / ".snapshots" / "s" / "file"
        descriptor = await on(os.open, seen, os.O_RDONLY)
        assert await on(os.pread, descriptor, 10, 0) == b"x" * 10
        await on((path / "file").unlink)
        await inside.pool.snapshots.delete("main", "s")
        assert await on(os.listdir, path / ".snapshots") == []
        assert not await on(seen.exists)
        assert not await on((path / ".snapshots" / "s").exists)
        with pytest.raises(OSError, match="Stale"):
            await on(os.listxattr, descriptor)
        await on(os.close, descriptor)
        await inside.pool.snapshots.create("main", "s")
        assert await on(os.listdir, path / ".snapshots" / "s") == []
        assert await share.list_directory(share.root) == []
