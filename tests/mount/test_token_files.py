"""`.odxfs/tokens` on the mount: each live token is a read-only file with exactly the bytes it stands for."""

import errno
import os
import random
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from odxfs.cli.serving_options import MIN_LIFETIME_SECONDS
from odxfs.types import LEAF_BYTES
from tests.mount.acting import OTHER
from tests.mount.command import MountedPool, mounted_pool, odxfs_ok, run

SIZE = LEAF_BYTES + 12_345


@pytest.fixture
def fleeting(tmp_path: Path) -> Iterator[MountedPool]:
    """A mounted pool whose tokens end as soon as they may."""
    with mounted_pool(tmp_path, "--token-lifetime", str(MIN_LIFETIME_SECONDS)) as mounted:
        yield mounted


@pytest.fixture
def tokens(pool: MountedPool) -> Path:
    return tokens_of(pool)


def tokens_of(pool: MountedPool) -> Path:
    return pool.mountpoint / ".odxfs" / "tokens"


def make_token(file: Path, offset: int, length: int, tokens: Path) -> Path:
    """The file of a new token of a range: the youngest one, since getxattr(2) is called twice."""
    os.getxattr(file, f"user.odxfs.token.{offset}.{length}")
    return tokens / os.listdir(tokens)[-1]


def refusal(action: Callable[[], object]) -> int:
    """The errno of an action that must fail."""
    try:
        action()
    except OSError as error:
        return error.errno or 0
    pytest.fail("it was not refused")


def read_until(deadline: float, descriptor: int) -> None:
    """Look at the file all the time, which does not lengthen the token's life."""
    while time.monotonic() < deadline:
        assert os.pread(descriptor, 5, 0) == b"bytes"
        time.sleep(0.05)


def test_a_token_shows_its_bytes_whatever_happens_to_the_source(folder: Path, tokens: Path) -> None:
    content = random.Random(1).randbytes(SIZE)
    disk = folder / "disk"
    disk.write_bytes(content)
    whole = make_token(disk, 0, 2 * LEAF_BYTES, tokens)
    part = make_token(disk, 512, 5_000 // 512 * 512, tokens)
    end = make_token(disk, LEAF_BYTES + 512, 65_536, tokens)
    disk.write_bytes(b"other bytes" * 1000)
    disk.unlink()
    assert whole.stat().st_size == LEAF_BYTES
    assert whole.read_bytes() == content[:LEAF_BYTES]
    assert part.stat().st_size == 4608
    assert part.read_bytes() == content[512:5120]
    assert end.stat().st_size == 12_345 - 512
    assert end.read_bytes() == content[LEAF_BYTES + 512 :]
    assert abs(whole.stat().st_mtime - time.time()) < 60


def test_holes_are_seen(folder: Path, tokens: Path) -> None:
    disk = folder / "disk"
    with disk.open("wb") as file:
        file.truncate(4 << 20)
        file.seek(1 << 20)
        file.write(b"data" * 1024)
    token = make_token(disk, 0, 4 << 20, tokens)
    with token.open("rb") as file:
        assert os.lseek(file.fileno(), 0, os.SEEK_DATA) == 1 << 20
        assert os.lseek(file.fileno(), 1 << 20, os.SEEK_HOLE) == (1 << 20) + 4096
    assert token.stat().st_blocks * 512 < 1 << 20
    copy = folder / "copy"
    run("cp", "--sparse=auto", token, copy)
    assert copy.read_bytes() == disk.read_bytes()


def test_nothing_of_it_can_be_changed(folder: Path, tokens: Path) -> None:
    disk = folder / "disk"
    disk.write_bytes(b"bytes" * 10_000)
    token = make_token(disk, 0, 4096, tokens)
    assert stat.S_IMODE(token.stat().st_mode) == 0o400
    assert stat.S_IMODE(tokens.stat().st_mode) == stat.S_IMODE(tokens.parent.stat().st_mode) == 0o500
    assert token.stat().st_uid == os.geteuid()
    assert refusal(lambda: token.write_bytes(b"x")) == errno.EROFS
    assert refusal(lambda: os.truncate(token, 1)) == errno.EROFS
    assert refusal(lambda: os.setxattr(token, "user.x", b"")) == errno.EROFS
    assert refusal(token.unlink) == errno.EROFS
    assert refusal(lambda: token.chmod(0o644)) == errno.EROFS
    assert refusal(lambda: token.rename(folder / "mine")) == errno.EROFS
    assert refusal(lambda: disk.rename(tokens / "disk")) == errno.EROFS
    assert refusal(lambda: (tokens / "new").write_bytes(b"")) == errno.EROFS
    assert refusal(lambda: os.link(token, folder / "mine")) == errno.EROFS
    assert refusal(tokens.rmdir) == errno.EROFS
    assert refusal(tokens.parent.rmdir) == errno.EPERM
    assert refusal(lambda: tokens.parent.rename(folder / "mine")) == errno.EPERM
    assert refusal((folder.parent / ".odxfs").mkdir) == errno.EEXIST
    assert token.read_bytes() == disk.read_bytes()[:4096]


def test_it_is_hidden_and_for_the_server_alone(pool: MountedPool, folder: Path, tokens: Path) -> None:
    assert ".odxfs" not in os.listdir(pool.mountpoint)
    assert os.listdir(tokens.parent) == ["tokens"]
    if os.geteuid() == 0:
        looked = subprocess.run(
            ["ls", tokens], user=OTHER.uid, group=OTHER.gid, extra_groups=[], capture_output=True, check=False
        )
        assert looked.returncode
        assert b"Permission denied" in looked.stderr


def test_a_token_that_has_ended_is_not_read_any_more(fleeting: MountedPool) -> None:
    disk, tokens = fleeting.mountpoint / "disk", tokens_of(fleeting)
    disk.write_bytes(b"bytes" * 10_000)
    token = make_token(disk, 0, 4096, tokens)
    disk.unlink()
    deadline = time.monotonic() + 300
    with token.open("rb", buffering=0) as file:
        assert refusal(lambda: read_until(deadline, file.fileno())) == errno.ESTALE
    while token.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert odxfs_ok("status", fleeting.directory, "--json").json["tokens"] == len(os.listdir(tokens))
