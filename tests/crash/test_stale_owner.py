"""An owner that was stopped and lost its lock: nobody opens the pool beside it, and if somebody does it can do no harm."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from odxfs.errors import ExitCode, UserError
from odxfs.volume import check_directory, create_pool, open_pool


@contextmanager
def stopped_owner(directory: Path, what: str) -> Iterator[subprocess.Popen[str]]:
    """A process that owns the pool and is stopped; it will do `what` when it is continued and gets a line."""
    words = [sys.executable, "-m", "tests.crash.stale_worker", str(directory), what]
    worker = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert worker.stdout is not None
    assert worker.stdin is not None
    try:
        assert worker.stdout.readline() == "ready\n"
        worker.send_signal(signal.SIGSTOP)
        os.waitpid(worker.pid, os.WUNTRACED)
        yield worker
    finally:
        worker.kill()
        worker.wait()
        worker.stdin.close()
        worker.stdout.close()


def continued(worker: subprocess.Popen[str]) -> list[str]:
    """Let it go on; what it says."""
    worker.send_signal(signal.SIGCONT)
    assert worker.stdin is not None
    assert worker.stdout is not None
    worker.stdin.write("\n")
    worker.stdin.flush()
    return worker.stdout.readlines()


def take_the_lock_away(directory: Path) -> None:
    (directory / "lock").unlink()


async def test_a_replaced_lock_file_does_not_let_a_second_owner_in(tmp_path: Path) -> None:
    directory = tmp_path / "pool"
    create_pool(directory)
    with stopped_owner(directory, "data") as worker:
        take_the_lock_away(directory)
        with pytest.raises(UserError, match=rf"stale worker \(process {worker.pid}\)") as caught:
            async with open_pool(directory, owner="second"):
                pass
        assert caught.value.exit_code is ExitCode.BUSY
    async with open_pool(directory, owner="third") as pool:  # it has gone, and so may be followed
        assert await pool.check(read_data=True) == []


@pytest.mark.parametrize("what", ["data", "names"])
async def test_a_stale_owner_neither_commits_nor_overwrites(tmp_path: Path, what: str) -> None:
    directory = tmp_path / "pool"
    create_pool(directory)
    with stopped_owner(directory, what) as worker:
        take_the_lock_away(directory)
        (directory / "owner.json").unlink()
        async with open_pool(directory, owner="second") as pool:
            volume = pool.volume("main")
            inode = await volume.create(volume.root, b"new", 0o644, 0, 0)
            await volume.write(inode, 0, b"new" * 100_000)
            await volume.sync()
            said = continued(worker)
            assert any("owner" in line for line in said[:1]), said
            assert "failure: the pool is read-only" in said[1]
            await volume.write(inode, 300_000, b"more")
            await volume.sync()
            assert await pool.check(read_data=True) == []
            assert bytes(await volume.read(inode, 0, 300_004)) == b"new" * 100_000 + b"more"
            old = await volume.lookup(volume.root, b"old")
            assert bytes(await volume.read(old, 0, 30_000)) == b"old" * 10_000
    assert await check_directory(directory, read_data=True) == []


async def test_a_copy_of_a_pool_in_use_is_another_pool(tmp_path: Path) -> None:
    directory = tmp_path / "pool"
    create_pool(directory)
    with stopped_owner(directory, "data"):
        subprocess.run(["cp", "--archive", "--sparse=always", directory, tmp_path / "copy"], check=True)
        async with open_pool(tmp_path / "copy", owner="second") as pool:
            assert await pool.check() == []
