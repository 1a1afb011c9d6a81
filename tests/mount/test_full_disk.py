"""A pool on a small real disk that is full: nothing acknowledged is lost, deleting works, and writing goes on after it."""

import contextlib
import errno
import os
import random
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import trio

from odxfs.client.client import connect
from odxfs.client.errors import RequestRefused
from odxfs.errors import ExitCode
from odxfs.ntstatus import Status
from odxfs.volume.directory import RESERVE_BYTES
from tests.mount.command import clear, complaints, odxfs, odxfs_ok, run, wait_for_end

DISK_BYTES = 320 << 20
"""XFS takes no less than 300 MiB."""

BIG_BYTES = 16 << 20
SMALL_BYTES = 9_000
CHUNK_BYTES = 1 << 20
USER, PASSWORD, SHARE = "ada", "correct horse", "data"


@dataclass
class SmallPool:
    """A pool on a disk of its own, mounted and shared, and what was acknowledged as durable: path -> content."""

    disk: Path
    directory: Path
    mountpoint: Path
    live: dict[str, Any] = field(default_factory=dict)
    durable: dict[str, bytes] = field(default_factory=dict)

    def mount(self) -> None:
        words = ("--share", SHARE, "--smb-listen", "127.0.0.1:0", "--json")
        self.live = odxfs_ok("mount", self.directory, self.mountpoint, *words).json

    def kill_and_mount_again(self) -> None:
        os.kill(self.live["pid"], signal.SIGKILL)
        wait_for_end(self.live["pid"])
        odxfs_ok("umount", self.mountpoint)
        assert odxfs_ok("fsck", self.directory, "--json").json["found"] == []
        self.mount()

    @property
    def port(self) -> int:
        return int(self.live["smb"].rpartition(":")[2])

    def url(self, path: str) -> str:
        return f"smb://{USER}@127.0.0.1:{self.port}/{SHARE}/{path}"

    def write(self, name: str, content: bytes) -> None:
        """Write a new file and fsync it; it is durable then."""
        descriptor = os.open(self.mountpoint / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        try:
            for start in range(0, len(content), CHUNK_BYTES):
                write_all(descriptor, content[start : start + CHUNK_BYTES], start)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        self.durable[name] = content

    def unlink(self, name: str) -> None:
        (self.mountpoint / name).unlink()
        self.durable.pop(name, None)

    def truncate(self, name: str) -> None:
        """Empty a file, durably."""
        descriptor = os.open(self.mountpoint / name, os.O_WRONLY | os.O_TRUNC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        self.durable[name] = b""

    def assert_durable(self) -> None:
        lost = [
            name for name, content in self.durable.items() if (self.mountpoint / name).read_bytes() != content
        ]
        assert lost == []

    def free_bytes(self) -> int:
        found = os.statvfs(self.mountpoint)
        return found.f_bavail * found.f_frsize

    def smbclient(self, commands: str) -> str:
        words = ["smbclient", f"//127.0.0.1/{SHARE}", "-p", str(self.port), "-U", f"{USER}%{PASSWORD}"]
        done = subprocess.run([*words, "-c", commands], capture_output=True, timeout=300, check=False)
        return (done.stdout + done.stderr).decode()


def mount_disk(kind: str, image: Path, disk: Path) -> None:
    """Mount a new file system of DISK_BYTES."""
    if kind == "tmpfs":
        run("mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "none", disk)
        return
    image.touch()
    os.truncate(image, DISK_BYTES)
    run(f"mkfs.{kind}", "-q", image)
    run("mount", "-o", "loop", image, disk)


@pytest.fixture(params=["ext4", "xfs", "tmpfs"])
def pool(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SmallPool]:
    """A mounted pool on a disk of its own; afterwards it must unmount, be clean, and have said only that the disk was full."""
    disk = tmp_path / "disk"
    for place in (disk, tmp_path / "mnt"):
        place.mkdir()
    mount_disk(request.param, tmp_path / "image", disk)
    try:
        pool = SmallPool(disk, disk / "pool", tmp_path / "mnt")
        odxfs_ok("mkfs", pool.directory)
        odxfs_ok("user", "add", pool.directory, USER, "--password-stdin", stdin=PASSWORD)
        pool.mount()
        yield pool
        odxfs_ok("umount", pool.mountpoint)
        assert odxfs_ok("fsck", pool.directory, "--json").json["found"] == []
        assert [line for line in complaints(pool.directory) if "the disk is full" not in line] == []
    finally:
        clear(tmp_path / "mnt")
        run("umount", disk)


def write_all(descriptor: int, data: bytes, offset: int) -> None:
    while data:
        done = os.pwrite(descriptor, data, offset)
        data, offset = data[done:], offset + done


def sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def fill(pool: SmallPool, name: str, size: int, at_most: int = 1_000) -> int:
    """Write files until the disk is full or there are `at_most`; returns how many are durable."""
    choose = random.Random(name)
    for number in range(at_most):
        try:
            pool.write(f"{name}{number}", choose.randbytes(size))
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            return number
    return at_most


def overwrite(pool: SmallPool, name: str) -> int:
    """Overwrite a durable file in place, chunk by chunk, until the disk is full; returns how many chunks are durable."""
    content, choose = bytearray(pool.durable[name]), random.Random(1)
    descriptor = os.open(pool.mountpoint / name, os.O_WRONLY)
    try:
        for start in range(0, len(content), CHUNK_BYTES):
            chunk = choose.randbytes(CHUNK_BYTES)
            try:
                write_all(descriptor, chunk, start)
                os.fsync(descriptor)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                return start // CHUNK_BYTES
            content[start : start + CHUNK_BYTES] = chunk
            pool.durable[name] = bytes(content)
    finally:
        os.close(descriptor)
    return len(content) // CHUNK_BYTES


def test_through_the_mount(pool: SmallPool) -> None:
    files = fill(pool, "big", BIG_BYTES)
    assert files > 8
    pool.unlink(f"big{files}")  # what of it was written is to be had again at once
    assert fill(pool, "small", SMALL_BYTES, 300) > 100
    fill(pool, "filler", CHUNK_BYTES)
    assert fill(pool, "last", CHUNK_BYTES) == 0
    assert pool.free_bytes() < 2 * CHUNK_BYTES
    chunks = overwrite(pool, "big0")
    assert chunks < BIG_BYTES // CHUNK_BYTES
    (pool.mountpoint / "directory").mkdir()
    (pool.mountpoint / "big1").rename(pool.mountpoint / "directory" / "renamed")
    pool.durable["directory/renamed"] = pool.durable.pop("big1")
    sync_directory(pool.mountpoint / "directory")
    pool.kill_and_mount_again()
    assert fill(pool, "again", BIG_BYTES) == 0
    overwritten, kept = (pool.mountpoint / "big0").read_bytes(), pool.durable.pop("big0")
    refused = slice(chunks * CHUNK_BYTES, (chunks + 1) * CHUNK_BYTES)  # a part of it may be there
    assert (
        overwritten[: refused.start] + overwritten[refused.stop :]
        == kept[: refused.start] + kept[refused.stop :]
    )
    for name in ("big0", "big2"):
        pool.unlink(name)
    pool.truncate("big3")
    assert fill(pool, "after", BIG_BYTES) >= 3
    pool.assert_durable()
    pool.kill_and_mount_again()
    pool.assert_durable()
    for name in list(pool.durable):
        if not name.startswith("small"):
            pool.unlink(name)
    assert fill(pool, "end", BIG_BYTES, 8) == 8
    for number in range(8):
        pool.unlink(f"end{number}")
    odxfs_ok("umount", pool.mountpoint)
    found = os.statvfs(pool.disk)
    assert found.f_bavail * found.f_frsize > DISK_BYTES // 2, "the disk has its space back"
    pool.mount()
    pool.assert_durable()


def test_df_and_the_disk_agree_after_everything_is_deleted(pool: SmallPool) -> None:
    empty, at_first = used_bytes(pool.mountpoint), pool.free_bytes()
    assert at_most_a_twentieth_apart(empty, used_bytes(pool.disk))
    fill(pool, "big", BIG_BYTES, 5)
    fill(pool, "small", SMALL_BYTES, 100)
    choose = random.Random(4)
    with (pool.mountpoint / "big0").open("rb+", buffering=0) as file:
        for _ in range(2_000):
            os.pwrite(file.fileno(), choose.randbytes(4096), choose.randrange(BIG_BYTES // 4096) * 4096)
    assert pool.free_bytes() < at_first - 5 * BIG_BYTES
    for name in list(pool.durable):
        pool.unlink(name)
    sync_directory(pool.mountpoint)
    assert at_most_a_twentieth_apart(pool.free_bytes(), at_first), "what is deleted is free, wherever it is"
    odxfs_ok("umount", pool.mountpoint)  # the end of an owner need not wait for idleness
    assert at_most_a_twentieth_apart(used_bytes(pool.disk), empty)
    taken = sum(path.stat().st_blocks * 512 for path in pool.directory.rglob("*") if path.is_file())
    catalog = sum(path.stat().st_blocks * 512 for path in pool.directory.glob("catalog.db*"))
    assert at_most_a_twentieth_apart(taken, RESERVE_BYTES + catalog)
    assert catalog < 2 << 20
    pool.mount()
    assert at_most_a_twentieth_apart(used_bytes(pool.mountpoint), empty)


def used_bytes(path: Path) -> int:
    """What df(1) shows as used."""
    found = os.statvfs(path)
    return (found.f_blocks - found.f_bfree) * found.f_frsize


def at_most_a_twentieth_apart(one: int, other: int) -> bool:
    return abs(one - other) * 20 <= max(one, other)


def test_through_the_share(pool: SmallPool, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(random.Random(2).randbytes(BIG_BYTES))
    stored = 0
    while "NT_STATUS" not in (said := pool.smbclient(f"put {source} stored{stored}")):
        stored += 1
    assert stored > 8
    assert "NT_STATUS_DISK_FULL" in said
    pool.smbclient(f"rm stored{stored}; rm stored{stored - 1}")  # what did not fit may be next to nothing
    trio.run(flush_until_full, pool)
    assert 0 < len(pool.durable) < 100
    environment = {"ODXFS_PASSWORD": PASSWORD}
    refused = odxfs("cp", source, pool.url("plain"), env=environment)
    assert (refused.code, "STATUS_DISK_FULL" in refused.err) == (ExitCode.NO_SPACE, True)
    cloned = odxfs("cp", "--require-offload", pool.url("stored0"), pool.url("clone"), env=environment)
    assert cloned.code == 0, cloned.err
    for name in ("stored0", "stored1", "clone"):
        pool.durable[name] = source.read_bytes()
    with (pool.mountpoint / "clone").open("rb+") as file:
        os.fsync(file.fileno())
    pool.kill_and_mount_again()
    pool.assert_durable()
    said = pool.smbclient(f"rm stored0; rm stored1; rm stored2; put {source} fresh; allinfo fresh")
    assert "NT_STATUS" not in said
    del pool.durable["stored0"], pool.durable["stored1"]
    pool.durable["fresh"] = source.read_bytes()
    pool.assert_durable()


async def flush_until_full(pool: SmallPool) -> None:
    """Write one file through the share, chunk by chunk with FLUSH, until STATUS_DISK_FULL."""
    choose = random.Random(3)
    async with connect("127.0.0.1", pool.port, USER, PASSWORD) as client:
        tree = await client.tree(SHARE)
        for number in range(1_000):
            file = await tree.open_to_write(f"flushed{number}")
            content = choose.randbytes(CHUNK_BYTES)
            try:
                assert await file.write(0, content) == CHUNK_BYTES
                await file.flush()
            except RequestRefused as refused:
                if refused.status != Status.DISK_FULL:
                    raise
                return
            finally:
                await file.close()
            pool.durable[f"flushed{number}"] = content


def test_a_disk_that_others_have_filled(pool: SmallPool) -> None:
    """The pool opens in the room that it keeps back: what is in it can be checked, read and deleted."""
    pool.write("kept", random.Random(2).randbytes(BIG_BYTES))
    pool.write("given up", random.Random(3).randbytes(BIG_BYTES))
    odxfs_ok("umount", pool.mountpoint)
    others = pool.disk / "others"
    fill_file(others)
    assert odxfs_ok("fsck", pool.directory, "--repair", "--json").json["found"] == []
    pool.mount()
    pool.assert_durable()
    pool.unlink("given up")
    sync_directory(pool.mountpoint)
    odxfs_ok("umount", pool.mountpoint)

    fill_file(others)  # what the pool kept back, too
    refused = odxfs("fsck", pool.directory)
    assert refused.code != 0
    assert "make some room beside it" in refused.err
    others.unlink()
    pool.mount()
    pool.assert_durable()


def fill_file(path: Path) -> None:
    """Let a file take all room that there is."""
    with path.open("ab", buffering=0) as file:
        for length in (CHUNK_BYTES, 512):
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(length))
                    os.fsync(file.fileno())
