"""Checks as people meet them: a bit that the disk has flipped, at both doors; scrub, dump and backup of a pool in use."""

import errno
import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from odxfs.errors import ExitCode
from tests.mount.command import ODXFS, clear, odxfs, odxfs_ok

BLOCK = 4096
USER, PASSWORD = "ada", "correct horse"
CONTENT = os.urandom(20 * BLOCK)
DAMAGED = 7
"""The block of the file that is damaged."""


@pytest.fixture
def mountpoint(tmp_path: Path) -> Iterator[Path]:
    """An empty directory to mount on; nothing is mounted on it afterwards."""
    place = tmp_path / "mnt"
    place.mkdir()
    yield place
    clear(place)


@pytest.fixture
def damaged(tmp_path: Path, mountpoint: Path) -> Path:
    """A pool with a file `sub/disk` of which a bit has been flipped, and a clone of it, `copy`. Not mounted."""
    directory = tmp_path / "pool"
    odxfs_ok("mkfs", directory)
    odxfs_ok("user", "add", directory, USER, "--password-stdin", stdin=PASSWORD)
    odxfs_ok("mount", directory, mountpoint)
    (mountpoint / "sub").mkdir()
    (mountpoint / "sub" / "disk").write_bytes(CONTENT)
    with (mountpoint / "sub" / "disk").open("rb") as source, (mountpoint / "copy").open("wb") as copy:
        os.copy_file_range(source.fileno(), copy.fileno(), len(CONTENT))
    odxfs_ok("umount", mountpoint)
    flip(directory, place_of(directory, "/sub/disk", DAMAGED))
    return directory


def place_of(directory: Path, path: str, block: int) -> int:
    """The byte in segment 0 at which a block of a file lies, as `odxfs dump` tells."""
    for line in odxfs_ok("dump", directory, "--path", path).out.splitlines():
        found = re.fullmatch(r" +byte (\d+): (\d+) blocks at segment 0, byte (\d+).*", line)
        if found is not None:
            offset, blocks, place = map(int, found.groups())
            if offset <= block * BLOCK < offset + blocks * BLOCK:
                return place + block * BLOCK - offset
    raise AssertionError(f"{path} has no block {block}")


def flip(directory: Path, position: int) -> None:
    with (directory / "segments" / "00000000").open("r+b") as segment:
        segment.seek(position + 99)
        byte = segment.read(1)[0]
        segment.seek(position + 99)
        segment.write(bytes([byte ^ 0x10]))


def write_durably(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def fails_with_eio(path: Path, offset: int) -> None:
    with path.open("rb", buffering=0) as file, pytest.raises(OSError) as caught:  # noqa: PT011 - the errno says it
        os.pread(file.fileno(), BLOCK, offset)
    assert caught.value.errno == errno.EIO


def smbclient(port: str, folder: Path, command: str) -> str:
    login = folder / "login"
    login.write_text(f"username = {USER}\npassword = {PASSWORD}\n")
    words = ["smbclient", "//127.0.0.1/data", "-p", port, "-A", str(login), "-c", command]
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return done.stdout


def test_a_flipped_bit_is_an_error_at_both_doors_and_the_rest_is_readable(
    damaged: Path, mountpoint: Path, tmp_path: Path
) -> None:
    words = ("--share", "data", "--smb-listen", "127.0.0.1:0", "--json")
    live = odxfs_ok("mount", damaged, mountpoint, *words).json
    port = live["smb"].rpartition(":")[2]
    for name in ("sub/disk", "copy"):
        fails_with_eio(mountpoint / name, DAMAGED * BLOCK)
        with (mountpoint / name).open("rb", buffering=0) as file:
            assert os.pread(file.fileno(), BLOCK, (DAMAGED + 3) * BLOCK) == CONTENT[-10 * BLOCK : -9 * BLOCK]
    # STATUS_DATA_CHECKSUM_ERROR, for which this smbclient has no name
    assert "0xc0000470" in smbclient(port, tmp_path, f"get copy {tmp_path / 'got'}")
    with (mountpoint / "copy").open("rb") as source, (mountpoint / "again").open("wb") as copy:
        assert os.copy_file_range(source.fileno(), copy.fileno(), len(CONTENT)) == len(CONTENT)
    fails_with_eio(mountpoint / "again", DAMAGED * BLOCK)
    odxfs_ok("umount", mountpoint)
    log = (damaged / "odxfs.log").read_text()
    assert re.search(rf"/sub/disk \(inode \d+ of volume main\), byte {DAMAGED * BLOCK}: block \d+", log)
    found = odxfs("fsck", damaged, "--data", "--json")
    assert found.code == ExitCode.FSCK_FOUND
    where = {finding["where"].partition(" (")[0] for finding in found.json["found"]}
    assert where == {"/sub/disk", "/copy", "/again"}
    repaired = odxfs("fsck", damaged, "--data", "--repair", "--json")
    assert repaired.code == ExitCode.FSCK_FOUND
    assert repaired.json["lost"] == []
    assert not list(damaged.glob("catalog.db.before*"))


@pytest.mark.parametrize("served", [True, False])
def test_scrub_names_the_file_and_status_remembers(damaged: Path, mountpoint: Path, served: bool) -> None:
    assert "never" in odxfs_ok("status", damaged).out
    if served:
        odxfs_ok("mount", damaged, mountpoint)
    result = odxfs("scrub", damaged, "--rate", "1000", "--json")
    assert result.code == ExitCode.CORRUPT, result
    last = json.loads(result.out.splitlines()[-1])
    assert last["state"] == "complete"
    assert {finding["where"].partition(" (")[0] for finding in last["findings"]} == {"/sub/disk", "/copy"}
    scrub = odxfs_ok("status", damaged, "--json").json["scrub"]
    assert (scrub["state"], scrub["damaged"]) == ("complete", last["damaged"])
    if served:
        odxfs_ok("umount", mountpoint)
        assert odxfs_ok("status", damaged, "--json").json["scrub"] == scrub


def test_scrub_of_a_served_pool_is_stopped_and_goes_on(damaged: Path, mountpoint: Path) -> None:
    odxfs_ok("mount", damaged, mountpoint)
    write_durably(mountpoint / "large", os.urandom(32 << 20))
    slow = subprocess.Popen(
        [str(ODXFS), "scrub", str(damaged), "--rate", "2", "--json"], stdout=subprocess.PIPE, text=True
    )
    assert slow.stdout is not None
    while json.loads(slow.stdout.readline()).get("done_bytes", 0) == 0:
        pass
    second = odxfs("scrub", damaged)
    assert (second.code, "under way" in second.err) == (ExitCode.BUSY, True)
    odxfs("scrub", damaged, "--stop")
    stopped = odxfs_ok("status", damaged, "--json").json["scrub"]
    assert stopped["state"] == "stopped"
    slow.wait()
    slow.stdout.close()
    odxfs("scrub", damaged, "--rate", "1000")
    complete = odxfs_ok("status", damaged, "--json").json["scrub"]
    assert complete["state"] == "complete"
    assert complete["started_ns"] == stopped["started_ns"]
    odxfs_ok("umount", mountpoint)


def test_a_pool_in_use_is_dumped_and_backed_up(tmp_path: Path, mountpoint: Path) -> None:
    directory = tmp_path / "pool"
    odxfs_ok("mount", directory, mountpoint, "--create")
    write_durably(mountpoint / "kept", CONTENT)
    copy = tmp_path / "copy.db"
    odxfs_ok("backup", directory, copy)
    write_durably(mountpoint / "later", CONTENT)
    assert "path /later" in odxfs_ok("dump", directory, "--path", "/later").out
    for words in ([], ["--inode", "2"], ["--leaf", "1"], ["--segment", "0"], ["--space", "0"], ["--pins"]):
        odxfs_ok("dump", directory, *words)
    assert odxfs("backup", directory, copy).code == ExitCode.EXISTS
    assert odxfs("backup", directory, copy, "--restore").code == ExitCode.BUSY
    odxfs_ok("umount", mountpoint)
    (directory / "catalog.db").write_bytes(b"not a database at all" * 1000)
    damaged = odxfs("fsck", directory)
    assert (damaged.code, damaged.err.count("\n")) == (ExitCode.CORRUPT, 1)
    assert "odxfs backup" in damaged.err
    odxfs_ok("backup", directory, copy, "--restore")
    odxfs("fsck", "--repair", "--data", directory)
    assert odxfs_ok("fsck", directory, "--data", "--json").json["found"] == []
    odxfs_ok("mount", directory, mountpoint)
    assert (mountpoint / "kept").read_bytes() == CONTENT
    assert not (mountpoint / "later").exists()
    odxfs_ok("umount", mountpoint)


def test_a_copy_of_another_pool_is_not_put_back(tmp_path: Path) -> None:
    for name in ("one", "other"):
        odxfs_ok("mkfs", tmp_path / name)
    odxfs_ok("backup", tmp_path / "one", tmp_path / "copy.db")
    result = odxfs("backup", tmp_path / "other", tmp_path / "copy.db", "--restore")
    assert (result.code, "another pool" in result.err) == (ExitCode.CONFIG, True)
    odxfs_ok("fsck", tmp_path / "other")


def test_whoever_comes_second_is_told_who_has_the_pool(tmp_path: Path, mountpoint: Path) -> None:
    directory, other = tmp_path / "pool", tmp_path / "other"
    other.mkdir()
    pid = odxfs_ok("mount", directory, mountpoint, "--create", "--json").json["pid"]
    for words in (["mount", directory, other], ["fsck", directory], ["fsck", "--repair", directory]):
        result = odxfs(*words)
        assert result.code == ExitCode.BUSY, result
        assert f"odxfs mount (process {pid})" in result.err
        assert result.err.count("\n") == 1
    odxfs_ok("scrub", directory)
    odxfs_ok("umount", mountpoint)
    odxfs_ok("fsck", directory)
