"""`odxfs cp` between the share and the mount of one volume, where both names may be one file."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from odxfs.errors import ExitCode
from odxfs.pool_identity import IDENTITY
from tests.mount.command import MountedPool, mounted_pool, odxfs_ok
from tests.support.cp import cp

USER, PASSWORD, SHARE = "alice", "correct horse", "vol"
SIZE = 3 * 1024 * 1024


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MountedPool]:
    """A pool that one process mounts and shares as `vol`; alice is root there."""
    base = tmp_path_factory.mktemp("shared")
    with mounted_pool(base, "--share", SHARE, "--smb-listen", "127.0.0.1:0") as mounted:
        words = ("user", "add", mounted.directory, USER, "--uid", "0", "--gid", "0", "--password-stdin")
        odxfs_ok(*words, stdin=PASSWORD + "\n")
        yield mounted


@pytest.fixture
def url(pool: MountedPool, folder: Path) -> str:
    """The test's folder on the share."""
    port = odxfs_ok("status", pool.directory, "--json").json["smb"].rpartition(":")[2]
    return f"smb://{USER}@127.0.0.1:{port}/{SHARE}/{folder.name}"


@pytest.mark.parametrize("options", [(), ("--resume",), ("--verify",)])
@pytest.mark.parametrize("is_up", [True, False])
def test_a_file_is_not_copied_onto_itself(
    folder: Path, url: str, is_up: bool, options: tuple[str, ...]
) -> None:
    content = os.urandom(SIZE)
    (folder / "file").write_bytes(content)
    (folder / "name").hardlink_to(folder / "file")
    for name in ("file", "name"):
        pair = (folder / "file", f"{url}/{name}") if is_up else (f"{url}/file", folder / name)
        answer = cp(*options, *pair, password=PASSWORD)
        if "--resume" not in options:  # which takes the file for its own copy
            assert "are the same file" in answer.stderr
        assert (folder / "file").read_bytes() == content


@pytest.mark.parametrize("is_up", [True, False])
def test_a_file_replaces_another(folder: Path, url: str, is_up: bool) -> None:
    (folder / "file").write_bytes(os.urandom(SIZE))
    (folder / "target").write_bytes(b"old")
    pair = (folder / "file", f"{url}/target") if is_up else (f"{url}/file", folder / "target")
    answer = cp(*pair, password=PASSWORD)
    assert answer.returncode == 0, answer.stderr
    assert (folder / "target").read_bytes() == (folder / "file").read_bytes()


@pytest.mark.parametrize("is_up", [True, False])
def test_a_directory_is_not_copied_into_itself(folder: Path, url: str, is_up: bool) -> None:
    (folder / "below").mkdir()
    (folder / "file").write_text("x")
    pair = (folder, f"{url}/below/copy") if is_up else (url, folder / "below" / "copy")
    answer = cp("-r", *pair, password=PASSWORD)
    assert "into itself" in answer.stderr
    assert answer.returncode == ExitCode.INCOMPLETE
    assert [path.name for path in (folder / "below" / "copy").rglob("file")] == ["file"]


def test_the_identity_is_told_to_readers_alone_and_not_listed(folder: Path) -> None:
    (folder / "file").write_text("x")
    first, second = os.getxattr(folder / "file", IDENTITY), os.getxattr(folder, IDENTITY)
    assert first[:16] == second[:16]
    assert first != second
    assert os.listxattr(folder / "file") == []
