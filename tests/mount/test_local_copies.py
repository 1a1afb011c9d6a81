"""`odxfs cp` between files of one mount, and tokens as extended attributes: extents are shared with the extension and without."""

import errno
import json
import os
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from odxfs.errors import ExitCode
from odxfs.token_attributes import READ_TOKEN, WRITE_TOKEN, TokenAnswer
from odxfs.types import LEAF_BYTES
from tests.mount.command import MountedPool, mounted_pool, odxfs, odxfs_ok, run


@pytest.fixture(scope="module", params=["1", "0"], ids=["with the extension", "without it"])
def pool(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[MountedPool]:
    before = os.environ.get("ODXFS_MOUNT_EXTENSION")
    os.environ["ODXFS_MOUNT_EXTENSION"] = request.param
    try:
        with mounted_pool(tmp_path_factory.mktemp("mounted")) as mounted:
            yield mounted
    finally:
        os.environ.pop("ODXFS_MOUNT_EXTENSION")
        if before is not None:
            os.environ["ODXFS_MOUNT_EXTENSION"] = before


@pytest.fixture
def disk(folder: Path) -> Path:
    """A disk of 100 MiB and a bit, with holes."""
    path = folder / "disk"
    with path.open("wb") as file:
        for window in range(0, 12, 3):
            file.seek(window * LEAF_BYTES + 5000)
            file.write(random.Random(window).randbytes(1 << 20))
        file.truncate(100 * (1 << 20) + 777)
    return path


def read_token(path: Path, offset: int, length: int) -> TokenAnswer:
    return TokenAnswer.unpack(os.getxattr(path, READ_TOKEN % (offset, length)))


def allocated_bytes(pool: MountedPool) -> int:
    return int(odxfs_ok("status", pool.directory, "--json").json["pool"]["allocated_bytes"])


def test_a_copy_moves_no_data(pool: MountedPool, folder: Path, disk: Path) -> None:
    before = allocated_bytes(pool)
    result = odxfs_ok("cp", disk, folder / "copy", "--require-offload", "--json").json
    assert (result["mechanism"], result["reason"]) == ("token", None)
    assert result["offloaded_bytes"] == disk.stat().st_size
    assert allocated_bytes(pool) - before < 1 << 20, (
        "only the end of the file, which is no whole block, is copied"
    )
    run("cmp", disk, folder / "copy")
    assert (folder / "copy").stat().st_blocks == disk.stat().st_blocks
    disk.write_bytes(b"changed")
    assert (folder / "copy").stat().st_size == 100 * (1 << 20) + 777


def test_a_copy_from_elsewhere_is_plain_and_says_why(pool: MountedPool, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").write_bytes(random.Random(1).randbytes(1 << 20))
    result = odxfs_ok("cp", tmp_path / "outside", folder / "inside", "--json").json
    assert result["mechanism"] == "plain"
    assert "one odxfs mount" in result["reason"]
    assert odxfs("cp", tmp_path / "outside", folder / "b", "--require-offload").code == ExitCode.NOT_OFFLOADED
    run("cmp", tmp_path / "outside", folder / "inside")


def test_a_token_is_a_point_in_time(pool: MountedPool, folder: Path) -> None:
    source, destination = folder / "source", folder / "destination"
    source.write_bytes(held := random.Random(2).randbytes(LEAF_BYTES))
    answer = read_token(source, 0, LEAF_BYTES)
    assert (answer.transfer_length, answer.zero_beyond) == (LEAF_BYTES, True)
    source.write_bytes(b"something else")
    source.unlink()
    with destination.open("wb+") as file:
        file.truncate(LEAF_BYTES)
        assert file.read(10) == bytes(10)  # the kernel has pages of it
        os.setxattr(file.fileno(), WRITE_TOKEN % (0, LEAF_BYTES, 0), answer.token)
        assert os.pread(file.fileno(), LEAF_BYTES, 0) == held
    os.setxattr(destination, WRITE_TOKEN % (0, 4096, 8192), answer.token)
    assert destination.read_bytes() == held[8192 : 8192 + 4096] + held[4096:]


def test_every_copy_is_counted_by_how_it_was_made(pool: MountedPool, folder: Path) -> None:
    def counters() -> dict[str, Any]:
        found: dict[str, Any] = odxfs_ok("status", pool.directory, "--json").json["offload"]["mechanisms"]
        return found

    before = counters()["token_attribute"]
    source, target = folder / "source", folder / "target"
    source.write_bytes(b"s" * 65536)
    target.write_bytes(bytes(65536))
    token = read_token(source, 0, 65536).token
    os.setxattr(target, WRITE_TOKEN % (0, 65536, 0), token)
    altered = token[:-1] + bytes([token[-1] ^ 1])
    with pytest.raises(OSError, match=os.strerror(errno.EKEYEXPIRED)):
        os.setxattr(target, WRITE_TOKEN % (0, 65536, 0), altered)
    after = counters()["token_attribute"]
    assert after["tokens"] > before["tokens"]  # Python asks again with more room, which reads another one
    assert after["calls"] - before["calls"] == 1
    assert after["shared_bytes"] - before["shared_bytes"] == 65536
    assert after["refusals"]["forged_token"] - before["refusals"].get("forged_token", 0) == 1
    lines = [json.loads(line) for line in (pool.directory / "offload.jsonl").read_text().splitlines()]
    told = [(line["call"], line["client"], line["reason"]) for line in lines[-3:]]
    assert told == [("read", "mount", ""), ("write", "mount", ""), ("write", "mount", "forged_token")]


def test_reserved_names_hold_nothing_else(pool: MountedPool, folder: Path) -> None:
    file = folder / "file"
    file.write_bytes(bytes(LEAF_BYTES))
    token = read_token(file, 0, LEAF_BYTES).token
    refusals = {
        lambda: os.setxattr(file, "user.odxfs.note", b"x"): "Invalid argument",
        lambda: os.getxattr(file, "user.odxfs.note"): "No data",
        lambda: os.getxattr(file, READ_TOKEN % (100, 512)): "Invalid argument",
        lambda: os.getxattr(file, READ_TOKEN % (2 * LEAF_BYTES, 512)): "Invalid argument",
        lambda: os.setxattr(file, WRITE_TOKEN % (0, 512, 0), b"short"): "Invalid argument",
        lambda: os.setxattr(file, WRITE_TOKEN % (0, 512, 0), bytes(512)): "Key has expired",
    }
    for refused, words in refusals.items():
        with pytest.raises(OSError, match=words):
            refused()
    os.setxattr(file, WRITE_TOKEN % (0, 512, 0), token)
    assert os.listxattr(file) == []


def test_only_who_may_read_gets_a_token_and_only_who_may_write_uses_it(
    pool: MountedPool, folder: Path
) -> None:
    for name, mode in (("secret", 0o600), ("readable", 0o644)):
        (folder / name).write_bytes(b"x" * 8192)
        (folder / name).chmod(mode)
    program = (
        "import os, sys\n"
        "for path in ('secret', 'readable'):\n"
        "    try: token = os.getxattr(path, 'user.odxfs.token.0.4096'); print('read', path)\n"
        "    except PermissionError: print('refused', path)\n"
        "try: os.setxattr('readable', 'user.odxfs.write.0.4096.0', token[16:])\n"
        "except PermissionError: print('may not write')\n"
    )
    done = subprocess.run(
        ["/usr/bin/python3", "-c", program],
        cwd=folder,
        user=65534,
        group=65534,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == ["refused secret", "read readable", "may not write"]
