"""A real file system on a disk that is ill: what programs on the mount, SMB clients and the administrator see, and what stays."""

import contextlib
import errno
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
from smbprotocol.exceptions import SMBOSError, SMBResponseException

from odxfs.client.client import connect
from odxfs.client.errors import RequestRefused
from odxfs.errors import ExitCode
from odxfs.ntstatus import Status
from tests.mount.command import clear, complaints, odxfs, odxfs_ok, wait_for_end
from tests.support.device import FaultyDevice, faulty_device, mounted_again
from tests.support.smbprotocol_client import smbclient as smbprotocol

USER, PASSWORD, SHARE = "ada", "correct horse", "data"
OLD = os.urandom(3 << 20)


class IllPool:
    """A pool on a faulty device, mounted and shared, with the durable files `old` and `other`."""

    def __init__(self, device: FaultyDevice, mountpoint: Path) -> None:
        self.device = device
        self.directory = device.path / "pool"
        self.mountpoint = mountpoint
        odxfs_ok("mkfs", self.directory)
        odxfs_ok("user", "add", self.directory, USER, "--password-stdin", stdin=PASSWORD)
        self.mount()
        for name in ("old", "other"):
            self.write(name, OLD)

    def mount(self) -> None:
        words = ("--share", SHARE, "--smb-listen", "127.0.0.1:0", "--json")
        live = odxfs_ok("mount", self.directory, self.mountpoint, *words).json
        self.pid, self.port = int(live["pid"]), int(live["smb"].rpartition(":")[2])

    def write(self, name: str, content: bytes) -> None:
        """Write a file and fsync it."""
        with (self.mountpoint / name).open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())

    def smbclient(self, commands: str) -> str:
        words = ["smbclient", f"//127.0.0.1/{SHARE}", "-p", str(self.port), "-U", f"{USER}%{PASSWORD}"]
        done = subprocess.run([*words, "-c", commands], capture_output=True, timeout=300, check=False)
        return (done.stdout + done.stderr).decode()

    def smbprotocol_write(self, name: str) -> int:
        """The NTSTATUS that smbprotocol gets for a new file that is written and flushed."""
        login = {"username": USER, "password": PASSWORD, "port": self.port, "connection_cache": {}}
        try:
            # Without buffering: a buffered file of Python's takes flush() for its own buffer's and sends no FLUSH.
            with smbprotocol.open_file(
                rf"\\127.0.0.1\{SHARE}\{name}", mode="wb", buffering=0, **login
            ) as file:
                file.write(b"x" * 100_000)
                file.flush()
        except SMBResponseException as error:
            return int(error.status)
        except SMBOSError as error:
            return int(error.ntstatus)
        finally:
            smbprotocol.reset_connection_cache(connection_cache=login["connection_cache"])
        return int(Status.SUCCESS)

    def our_client(self, name: str) -> Status:
        """The status that our own client gets for a file that is written and flushed."""
        return trio.run(self._write_and_flush, name)

    async def _write_and_flush(self, name: str) -> Status:
        async with connect("127.0.0.1", self.port, USER, PASSWORD) as client:
            tree = await client.tree(SHARE)
            try:
                file = await tree.open_to_write(name)
                await file.write(0, b"x" * 100_000)
                await file.flush()
                await file.close()
            except RequestRefused as refused:
                return Status(refused.status)
        return Status.SUCCESS

    def troubles(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = odxfs_ok("status", self.directory, "--json").json["pool"]["troubles"]
        return found

    def drop_pages(self) -> None:
        """Have everything read from the device the next time."""
        for segment in (self.directory / "segments").iterdir():
            self.device.forget_pages(segment)
        for name in ("old", "other"):
            self.device.forget_pages(self.mountpoint / name)

    def assert_sound_after_a_restart(self) -> None:
        """The disk works again: nothing that was acknowledged as durable is lost, and the pool is as good as new."""
        with mounted_again(self.device):
            assert odxfs_ok("fsck", self.directory, "--data", "--json").json["found"] == []
            self.mount()
            assert (self.mountpoint / "old").read_bytes() == OLD
            assert (self.mountpoint / "other").read_bytes() == OLD
            self.write("after", OLD)
            odxfs_ok("umount", self.mountpoint)


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[IllPool]:
    mountpoint = tmp_path / "mnt"
    mountpoint.mkdir()
    with faulty_device(tmp_path) as device:
        try:
            yield IllPool(device, mountpoint)
        finally:
            device.answer()
            device.fail()
            clear(mountpoint)


def errno_of(call: "Any", *arguments: object) -> int:
    try:
        call(*arguments)
    except OSError as error:
        return error.errno or 0
    return 0


def test_a_disk_that_takes_no_writes(pool: IllPool) -> None:
    pool.device.fail("write", "sync")
    assert errno_of(pool.write, "lost", OLD) == errno.EIO
    assert errno_of(pool.write, "lost", OLD) == errno.EROFS
    assert pool.our_client("refused") == Status.MEDIA_WRITE_PROTECTED
    assert pool.smbprotocol_write("refused") == Status.MEDIA_WRITE_PROTECTED
    assert "NT_STATUS_MEDIA_WRITE_PROTECTED" in pool.smbclient("put /etc/hostname refused")
    assert (pool.mountpoint / "old").read_bytes() == OLD
    assert "old" in pool.smbclient("ls")
    (trouble,) = pool.troubles()
    assert trouble["condition"] == "read_only"
    text = odxfs_ok("status", pool.directory).out
    assert "the disk is read-only" in text
    assert "what to do" in text
    assert len(complaints(pool.directory)) == 1
    ended = odxfs("umount", pool.mountpoint)
    assert ended.code == ExitCode.NEEDS_FSCK
    assert "without what was not durable yet" in ended.err
    wait_for_end(pool.pid)
    pool.assert_sound_after_a_restart()


@pytest.mark.parametrize("peer", ["our client", "smbprotocol"])
def test_the_client_that_meets_the_error_is_told_of_it(pool: IllPool, peer: str) -> None:
    pool.device.fail("write", "sync")
    status = pool.our_client("lost") if peer == "our client" else pool.smbprotocol_write("lost")
    assert status == Status.IO_DEVICE_ERROR
    odxfs("umount", pool.mountpoint)
    wait_for_end(pool.pid)
    pool.assert_sound_after_a_restart()


def test_a_disk_that_cannot_be_read(pool: IllPool, tmp_path: Path) -> None:
    pool.drop_pages()
    pool.device.fail("read")
    for _ in range(3):
        assert errno_of((pool.mountpoint / "old").read_bytes) == errno.EIO
        assert "NT_STATUS_IO_DEVICE_ERROR" in pool.smbclient(f"get other {tmp_path / 'got'}")
    (trouble,) = pool.troubles()
    assert trouble["condition"] == "unreadable"
    assert trouble["count"] >= 6
    assert pool.our_client("written meanwhile") == Status.SUCCESS
    assert len(complaints(pool.directory)) == 1
    pool.device.fail()
    assert (pool.mountpoint / "old").read_bytes() == OLD
    odxfs_ok("umount", pool.mountpoint)
    wait_for_end(pool.pid)
    pool.assert_sound_after_a_restart()


def until(condition: "Any") -> None:
    give_up = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.05)


def in_background(call: "Any", *arguments: object) -> threading.Thread:
    thread = threading.Thread(target=call, args=arguments)
    thread.start()
    return thread


def test_a_disk_that_does_not_answer(pool: IllPool) -> None:
    """Nobody sleeps here but for the seconds after which a disk counts as silent."""
    pool.device.silence()
    statuses: list[Status] = []
    waiting = [
        in_background(pool.write, "waits", OLD),
        in_background(lambda: statuses.append(pool.our_client("waits too"))),
    ]
    until(pool.troubles)
    (trouble,) = pool.troubles()
    assert trouble["condition"] == "silent"
    assert "the disk is silent" in odxfs_ok("status", pool.directory).out
    assert (pool.mountpoint / "old").read_bytes() == OLD
    assert "blocks available" in pool.smbclient("ls")
    assert all(thread.is_alive() for thread in waiting)
    pool.device.answer()
    for thread in waiting:
        thread.join()
    assert statuses == [Status.SUCCESS]
    assert pool.troubles() == []
    odxfs_ok("umount", pool.mountpoint)
    wait_for_end(pool.pid)
    pool.assert_sound_after_a_restart()


def test_a_second_signal_ends_a_server_whose_disk_does_not_answer(pool: IllPool) -> None:
    unfinished = os.open(pool.mountpoint / "unfinished", os.O_WRONLY | os.O_CREAT)
    os.write(unfinished, OLD)
    pool.device.silence()
    log = pool.directory / "odxfs.log"
    for times in (1, 2):
        os.kill(pool.pid, signal.SIGTERM)
        until(lambda: log.read_text().count("signal=SIGTERM") == times)  # noqa: B023
        if times == 1:
            until(lambda: odxfs_ok("status", pool.directory, "--json").json["state"] == "opening or closing")
            assert f"(process {pool.pid})" in odxfs_ok("status", pool.directory).out
    pool.device.answer()
    wait_for_end(pool.pid)
    with contextlib.suppress(OSError):  # the mount is gone
        os.close(unfinished)
    pool.assert_sound_after_a_restart()
