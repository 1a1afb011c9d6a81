"""`odxfs snapshot` as a user types it, on a pool that is served and on one that is not."""

import os
import random
from pathlib import Path

import pytest
import trio

from odxfs.errors import ExitCode
from odxfs.opens.share_modes import FILE_SHARE_READ, FILE_SHARE_WRITE
from odxfs.types import LEAF_BYTES
from tests.mount.command import MountedPool, Result, mounted_pool, odxfs, odxfs_ok, run
from tests.support.peer import logged_in
from tests.support.ports import free_port
from tests.support.serving import PASSWORD, SHARE, USER


def names(directory: Path) -> list[str]:
    return [snapshot["name"] for snapshot in odxfs_ok("snapshot", "list", directory, "--json").json]


def test_snapshots_of_a_served_pool(pool: MountedPool, folder: Path) -> None:
    disk = folder / "disk"
    disk.write_bytes(random.Random(1).randbytes(LEAF_BYTES))
    made = odxfs_ok("snapshot", "create", pool.directory, "nightly")
    assert made.out == "snapshot nightly of volume main is made\n"
    unnamed = odxfs_ok("snapshot", "create", pool.directory).out.split()[1]
    assert names(pool.directory) == ["nightly", unnamed]
    disk.unlink()
    os.sync()
    listed = odxfs_ok("snapshot", "list", pool.directory).out.splitlines()
    assert listed[0].split("\t") == [
        "snapshot",
        "made",
        "age",
        "files and folders",
        "data",
        "only in snapshots",
    ]
    assert listed[1].split("\t")[0] == "nightly"
    again = odxfs("snapshot", "create", pool.directory, "nightly")
    assert (again.code, again.err) == (
        ExitCode.EXISTS,
        "odxfs: volume main has a snapshot 'nightly' already\n",
    )
    odxfs_ok("snapshot", "delete", pool.directory, unnamed, "nightly")
    assert names(pool.directory) == []
    missing = odxfs("snapshot", "delete", pool.directory, "nightly")
    assert (missing.code, missing.err) == (
        ExitCode.NOT_FOUND,
        "odxfs: volume main has no snapshot 'nightly'\n",
    )


def test_a_file_and_a_folder_come_back(pool: MountedPool, folder: Path) -> None:
    inner = folder / "vm"
    inner.mkdir(mode=0o750)
    (inner / "disk").write_bytes(random.Random(2).randbytes(LEAF_BYTES + 100))
    os.truncate(inner / "disk", 3 * LEAF_BYTES)
    os.link(inner / "disk", inner / "second name")
    (inner / "link").symlink_to("disk")
    os.setxattr(inner / "disk", "user.kind", b"vhdx")
    os.utime(inner / "disk", ns=(10**18, 2 * 10**18))
    before = run("find", inner, "-printf", "%P %y %m %n %s %T@ %U\n")
    digest = run("sha256sum", inner / "disk")
    odxfs_ok("snapshot", "create", pool.directory, "good")
    (inner / "disk").write_bytes(b"ransom")
    (inner / "link").unlink()

    path = f"{folder.name}/vm"
    refused = odxfs("snapshot", "restore", pool.directory, "good", path)
    assert (refused.code, refused.err) == (ExitCode.EXISTS, f"odxfs: there is a '{path}' already\n")
    assert (inner / "disk").read_bytes() == b"ransom"
    odxfs_ok("snapshot", "restore", pool.directory, "good", f"{path}/disk", "--to", f"{folder.name}/copy")
    assert run("sha256sum", folder / "copy").split()[0] == digest.split()[0]
    assert os.getxattr(folder / "copy", "user.kind") == b"vhdx"
    done = odxfs_ok("snapshot", "restore", pool.directory, "good", path, "--replace")
    assert done.out == f"{path} is back as of good: 3 files and folders, 24.0 MiB shared\n"
    assert run("find", inner, "-printf", "%P %y %m %n %s %T@ %U\n") == before
    assert run("sha256sum", inner / "disk") == digest
    assert sorted(os.listdir(folder)) == ["copy", "vm"]
    assert odxfs("snapshot", "restore", pool.directory, "good", "no/such").code == ExitCode.NOT_FOUND
    odxfs_ok("snapshot", "delete", pool.directory, "good")


async def test_a_disk_that_a_client_has_open_is_not_replaced(tmp_path: Path) -> None:
    endpoint = f"127.0.0.1:{free_port()}"
    with mounted_pool(tmp_path, "--share", SHARE, "--smb-listen", endpoint) as mounted:
        odxfs_ok("user", "add", mounted.directory, USER, "--password-stdin", "--uid", "0", stdin=PASSWORD)
        vms = mounted.mountpoint / "vms"
        vms.mkdir()
        (vms / "disk").write_text("then")
        odxfs_ok("snapshot", "create", mounted.directory, "then")
        (vms / "disk").write_text("now.")

        async def restored() -> Result:
            words = ("snapshot", "restore", mounted.directory, "then", "vms", "--replace")
            return await trio.to_thread.run_sync(lambda: odxfs(*words))

        async with logged_in(int(endpoint.rpartition(":")[2]), USER, PASSWORD, SHARE) as peer:
            fid = await peer.open("vms\\disk", share_access=FILE_SHARE_READ | FILE_SHARE_WRITE)
            refused = await restored()
            assert refused.code == ExitCode.BUSY
            assert refused.err == "odxfs: a client has a file open that would be replaced\n"
            assert (vms / "disk").read_text() == "now."
            assert os.listdir(mounted.mountpoint) == ["vms"]
            await peer.close(fid)
            assert (await restored()).code == ExitCode.OK
        assert (vms / "disk").read_text() == "then"


def test_the_whole_volume_goes_back_when_nobody_serves_it(tmp_path: Path) -> None:
    with mounted_pool(tmp_path) as mounted:
        (mounted.mountpoint / "a").write_text("first")
        odxfs_ok("snapshot", "create", mounted.directory, "one")
        (mounted.mountpoint / "a").write_text("second")
        (mounted.mountpoint / "b").mkdir()
        served = odxfs("snapshot", "restore", mounted.directory, "one", "--yes")
        assert served.code == ExitCode.BUSY
        assert "umount" in served.err
        assert odxfs("snapshot", "restore", mounted.directory, "one") == served, "nobody is asked in vain"
        odxfs_ok("umount", mounted.mountpoint)
        away = odxfs("snapshot", "restore", mounted.directory, "away")
        assert away.code == ExitCode.NOT_FOUND
        assert "[y/N]" not in away.err

        assert names(mounted.directory) == ["one"]
        odxfs_ok("snapshot", "create", mounted.directory, "two")
        unsure = odxfs("snapshot", "restore", mounted.directory, "one", stdin="\n")
        assert unsure.code == ExitCode.INTERRUPTED
        odxfs_ok("snapshot", "restore", mounted.directory, "one", stdin="y\n")
        odxfs_ok("mount", mounted.directory, mounted.mountpoint)
        assert sorted(os.listdir(mounted.mountpoint)) == ["a"]
        assert (mounted.mountpoint / "a").read_text() == "first"
        assert (mounted.mountpoint / ".snapshots" / "two" / "a").read_text() == "second"


def test_a_volume_out_of_a_snapshot(tmp_path: Path) -> None:
    with mounted_pool(tmp_path) as mounted:
        (mounted.mountpoint / "disk").write_bytes(random.Random(3).randbytes(LEAF_BYTES))
        held = (mounted.mountpoint / "disk").read_bytes()
        odxfs_ok("snapshot", "create", mounted.directory, "base")
        (mounted.mountpoint / "disk").write_bytes(b"changed")
        made = odxfs_ok("volume", "clone", mounted.directory, "test", "--of", "base")
        assert made.out == "volume test is made out of main at base: 2 files and folders, 8.0 MiB shared\n"
        assert odxfs("volume", "clone", mounted.directory, "test", "--of", "base").code == ExitCode.EXISTS
        assert odxfs("volume", "clone", mounted.directory, "b", "--of", "none").code == ExitCode.NOT_FOUND
        assert odxfs("volume", "delete", mounted.directory, "test").code == ExitCode.BUSY
        odxfs_ok("umount", mounted.mountpoint)
        odxfs_ok("mount", mounted.directory, mounted.mountpoint, "--volume", "test")
        assert (mounted.mountpoint / "disk").read_bytes() == held
        (mounted.mountpoint / "disk").write_bytes(b"of the clone")
        odxfs_ok("umount", mounted.mountpoint)
        odxfs_ok("volume", "create", mounted.directory, "empty")
        names = [volume["name"] for volume in odxfs_ok("volume", "list", mounted.directory, "--json").json]
        assert names == ["empty", "main", "test"]
        for name in ("test", "empty"):
            odxfs_ok("volume", "delete", mounted.directory, name)
        odxfs_ok("mount", mounted.directory, mounted.mountpoint)
        assert (mounted.mountpoint / "disk").read_bytes() == b"changed"
        assert (mounted.mountpoint / ".snapshots" / "base" / "disk").read_bytes() == held


def test_the_guide_has_a_page() -> None:
    assert "snapshots" in odxfs_ok("help").out
    assert odxfs_ok("help", "snapshots").out.startswith("Snapshots\n")


@pytest.mark.parametrize("words", [("restore", "one", "--to", "b"), ("create", "one", "two"), ()])
def test_wrong_words_are_told(tmp_path: Path, words: tuple[str, ...]) -> None:
    odxfs_ok("mkfs", tmp_path / "pool")
    verb, *rest = words or ("",)
    result = odxfs("snapshot", verb, tmp_path / "pool", *rest)
    assert result.code == ExitCode.USAGE
    assert result.err.startswith("odxfs: ")
    assert len(result.err.splitlines()) == 1
