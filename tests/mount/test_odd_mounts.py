"""The kernel's list of mounts has names of others in it, which are any bytes."""

import os
from pathlib import Path

import pytest

from odxfs.client import local
from odxfs_mount.unmounting import MountEntry, list_mounts

ODD = [
    b"mnt\xff",
    "mnt\u2028x".encode(),
    "mnt\u0085x".encode(),
    b"mnt\rx",
    b"mnt\x0b\x0c\x1c\x1dx",
    b"fuse.odxfs",
]
OURS = b"99 25 0:77 / /mnt/our\\040disk rw,nosuid shared:5 - fuse.odxfs /srv/pool rw,user_id=0\n"


@pytest.fixture
def mounts(tmp_path: Path) -> Path:
    lines = [b"30 25 0:%d / /media/%s rw - tmpfs none rw\n" % (50 + at, name) for at, name in enumerate(ODD)]
    (tmp_path / "mountinfo").write_bytes(b"".join(lines) + OURS)
    return tmp_path / "mountinfo"


def test_ours_is_found_among_odd_names(mounts: Path) -> None:
    assert list_mounts(mounts) == [MountEntry("/srv/pool", "/mnt/our disk", "0:77")]


def test_a_copy_sees_which_files_lie_on_ours(mounts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "MOUNTS", mounts)
    local._is_odxfs.cache_clear()
    try:
        found = [minor for minor in range(50, 80) if local._is_odxfs(os.makedev(0, minor))]
    finally:
        local._is_odxfs.cache_clear()
    assert found == [77]
