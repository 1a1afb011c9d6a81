"""A volume's quota as df, programs and clients of the share meet it, and as people set it."""

import errno
import os
import subprocess
from collections.abc import Iterator

import pytest

from odxfs.errors import ExitCode
from tests.mount.command import MountedPool, mounted_pool, odxfs, odxfs_ok

MIB = 1 << 20
USER, PASSWORD, SHARE = "ada", "correct horse", "data"


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MountedPool]:
    """A mounted and shared pool whose quota was set before anybody used it."""
    base = tmp_path_factory.mktemp("limited")
    odxfs_ok("mkfs", base / "pool")
    said = odxfs_ok("volume", "quota", base / "pool", "main", "16M").out
    assert said == "volume main: 0 B allocated, quota 16.0 MiB\n"
    with mounted_pool(base, "--share", SHARE, "--smb-listen", "127.0.0.1:0") as mounted:
        odxfs_ok("user", "add", mounted.directory, USER, "--password-stdin", stdin=PASSWORD + "\n")
        yield mounted


def write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def smbclient(pool: MountedPool, commands: str) -> str:
    port = odxfs_ok("status", pool.directory, "--json").json["smb"].rpartition(":")[2]
    words = ["smbclient", f"//127.0.0.1/{SHARE}", "-p", port, "-U", f"{USER}%{PASSWORD}", "-c", commands]
    done = subprocess.run(words, capture_output=True, timeout=300, check=False)
    return (done.stdout + done.stderr).decode()


def test_programs_and_clients_meet_the_quota(pool: MountedPool) -> None:
    found = os.statvfs(pool.mountpoint)
    assert (found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize) == (16 * MIB, 16 * MIB)
    file = pool.mountpoint / "file"
    file.write_bytes(os.urandom(15 * MIB))
    with (pool.mountpoint / "more").open("wb", buffering=0) as more:
        with pytest.raises(OSError, match="quota") as refused:
            write_all(more.fileno(), bytes(2 * MIB))
        assert refused.value.errno == errno.EDQUOT
    with file.open("r+b") as opened, pytest.raises(OSError, match="quota"):
        os.posix_fallocate(opened.fileno(), 0, 17 * MIB)
    (pool.mountpoint / "more").unlink()
    said = smbclient(pool, f"put {file} second")
    assert "NT_STATUS_DISK_FULL" in said
    assert "4096 blocks of size 4096" in smbclient(pool, "rm second; du")
    file.unlink()


def test_the_command_asks_the_process_that_serves_the_pool(pool: MountedPool) -> None:
    shown = odxfs_ok("volume", "quota", pool.directory, "main", "1G", "--json").json
    assert (shown["name"], shown["quota_bytes"]) == ("main", 1 << 30)
    assert os.statvfs(pool.mountpoint).f_blocks * 4096 == 1 << 30
    shown = odxfs_ok("volume", "quota", pool.directory, "main", "none", "--json").json
    assert shown["quota_bytes"] is None
    listed = odxfs_ok("volume", "list", pool.directory).out.splitlines()
    assert listed[0] == "volume\tfiles\tallocated\tquota"
    assert [line.split("\t")[0::3] for line in listed[1:]] == [["main", "none"]]
    assert (
        odxfs_ok("volume", "quota", pool.directory, "main").out == "volume main: 0 B allocated, quota none\n"
    )
    for words, code in ((("other", "1G"), ExitCode.NOT_FOUND), (("main", "much"), ExitCode.USAGE)):
        refused = odxfs("volume", "quota", pool.directory, *words)
        assert (refused.code, refused.err.count("\n")) == (code, 1), refused
