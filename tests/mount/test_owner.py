"""Root looks after a pool that another user serves: whatever that takes, the pool stays that user's."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mount.command import clear, odxfs_ok

SERVICE = 65534


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A pool of SERVICE's, made by root in its directory."""
    directory = tmp_path / "pool"
    directory.mkdir(mode=0o700)
    os.chown(directory, SERVICE, SERVICE)
    odxfs_ok("mkfs", directory)
    return directory


@pytest.fixture
def mountpoint(tmp_path: Path) -> Iterator[Path]:
    """A directory to mount on; unmounted in the end, whatever happened."""
    path = tmp_path / "mnt"
    path.mkdir()
    yield path
    clear(path)


def _roots(directory: Path) -> list[str]:
    """What is root's in the pool."""
    found = [path for path in directory.rglob("*") if path.lstat().st_uid != SERVICE]
    return sorted(str(path.relative_to(directory)) for path in found)


def test_what_root_changes_is_still_the_services(directory: Path, tmp_path: Path) -> None:
    assert _roots(directory) == []
    odxfs_ok("user", "add", directory, "alice", "--password-stdin", stdin="pw")
    odxfs_ok("user", "add", directory, "bob", "--password-stdin", stdin="pw")
    odxfs_ok("group", "add", directory, "staff", "--gid", "100")
    odxfs_ok("share", "add", directory, "vms")
    odxfs_ok("svm", "add", directory, "array", "listen=127.0.0.1:4699")
    odxfs_ok("user", "add", directory, "carol", "--svm", "array", "--password-stdin", stdin="pw")
    odxfs_ok("snapshot", "create", directory, "before")
    odxfs_ok("scrub", directory)
    odxfs_ok("backup", directory, tmp_path / "copy.db")
    odxfs_ok("backup", directory, tmp_path / "copy.db", "--restore")
    odxfs_ok("fsck", "--repair", directory)
    assert _roots(directory) == []


def test_what_root_mounts_is_the_services_afterwards(directory: Path, mountpoint: Path) -> None:
    odxfs_ok("mount", directory, mountpoint)
    (mountpoint / "file").write_bytes(os.urandom(1 << 20))
    assert [name for name in _roots(directory) if name != "control"] == []
    odxfs_ok("umount", mountpoint)
    assert _roots(directory) == []
