"""kill -9 of the client and of the servers in the middle of a copy with --resume, each a process of its own."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio

from odxfs.client.client import connect
from odxfs.client.partial import RECORD_BYTES, PartialRecord
from tests.mount.command import ODXFS, odxfs_ok
from tests.support.cp import cp, variables
from tests.support.ports import free_port

MIB = 1024 * 1024
CONTENT_BYTES = 256 * MIB
PATIENCE_SECONDS = 300.0
EAGER = (
    "from odxfs.client import targets; targets.CHECKPOINT_SECONDS = 0.02\n"
    "from odxfs.cli.main import main; raise SystemExit(main())"
)
"""`odxfs` that writes down how far it is so often that a small copy can be killed in the middle."""

USER, PASSWORD, SHARE = "ada", "correct horse", "data"


class Server:
    """An `odxfs serve` that can be killed and started again on its port."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port()
        self._process: subprocess.Popen[str] | None = None

    def url(self, name: str) -> str:
        return f"smb://{USER}@127.0.0.1:{self.port}/{SHARE}/{name}"

    def start(self) -> None:
        """Ready on return."""
        self._process = subprocess.Popen(
            [
                *(str(ODXFS), "serve", str(self.directory), "--create", "--share", SHARE, "--json"),
                *("--smb-listen", f"127.0.0.1:{self.port}"),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline()

    def kill(self) -> None:
        """As when the machine's power fails for this process alone."""
        assert self._process is not None
        self._process.kill()
        self._process.communicate()

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.communicate()


@contextmanager
def server(base: Path) -> Iterator[Server]:
    found = Server(base / "pool")
    found.start()
    odxfs_ok("user", "add", "--password-stdin", found.directory, USER, stdin=PASSWORD)
    try:
        yield found
    finally:
        found.stop()


def make_source(path: Path) -> None:
    """Data that differs from place to place."""
    piece = os.urandom(MIB)
    with path.open("wb") as stream:
        for number in range(CONTENT_BYTES // MIB):
            stream.write(number.to_bytes(4, "big") + piece[4:])


def wait_until(ready: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not ready():
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


def reached(path: Path) -> int:
    """How far a partial file says to be."""
    try:
        with path.open("rb") as stream:
            stream.seek(-RECORD_BYTES, os.SEEK_END)
            record = PartialRecord.unpack(stream.read())
    except OSError:
        return 0
    return record.reached if record is not None else 0


def start_copy(*arguments: object) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [
            sys.executable,
            "-c",
            EAGER,
            "cp",
            "--resume",
            "--no-offload",
            "--verify",
            "--json",
            *map(str, arguments),
        ],
        env=variables(PASSWORD),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def source(tmp_path: Path) -> Path:
    make_source(tmp_path / "source.bin")
    return tmp_path / "source.bin"


def test_a_killed_client_goes_on_where_it_was(tmp_path: Path, source: Path) -> None:
    target = tmp_path / "target.bin"
    partial = tmp_path / "target.bin.odxfs-partial"
    with server(tmp_path) as found:
        assert cp("--quiet", source, found.url("source.bin"), password=PASSWORD).returncode == 0
        copy = start_copy(found.url("source.bin"), target)
        wait_until(lambda: reached(partial) > 0, copy)
        copy.kill()
        copy.communicate()
        assert not target.exists()
        reached_bytes = reached(partial)
        again = start_copy(found.url("source.bin"), target)
        out, err = again.communicate(timeout=PATIENCE_SECONDS)
    assert again.returncode == 0, err
    document = json.loads(out)
    assert document["resumed_bytes"] == reached_bytes > 0
    assert document["plain_bytes"] == CONTENT_BYTES - reached_bytes
    assert document["verified"] is True
    assert not partial.exists()


def test_a_killed_source_server_is_waited_for(tmp_path: Path, source: Path) -> None:
    partial = tmp_path / "target.bin.odxfs-partial"
    with server(tmp_path) as found:
        assert cp("--quiet", source, found.url("source.bin"), password=PASSWORD).returncode == 0
        found.stop()  # so that the source is durable with its times
        found.start()
        copy = start_copy(found.url("source.bin"), tmp_path / "target.bin")
        wait_until(lambda: reached(partial) > 0, copy)
        found.kill()
        found.start()
        out, err = copy.communicate(timeout=PATIENCE_SECONDS)
    assert copy.returncode == 0, err
    document = json.loads(out)
    assert document["resumed_bytes"] > 0
    assert document["verified"] is True


def test_a_killed_destination_server_is_waited_for(tmp_path: Path, source: Path) -> None:
    with server(tmp_path) as found:
        copy = start_copy(source, found.url("target.bin"))
        seen = set[int]()
        wait_until(lambda: saw_two_steps(found, seen), copy)
        found.kill()
        found.start()
        out, err = copy.communicate(timeout=PATIENCE_SECONDS)
        assert copy.returncode == 0, err
        document = json.loads(out)
        assert document["verified"] is True
        assert document["resumed_bytes"] > 0
    odxfs_ok("fsck", found.directory)


def saw_two_steps(found: Server, seen: set[int]) -> bool:
    """Whether the partial file's record has moved on: then what it said before is on stable storage."""
    seen.add(trio.run(reached_on_share, found.port))
    return len(seen - {0}) > 1


async def reached_on_share(port: int) -> int:
    """`reached` of the partial file on the server."""
    async with connect("127.0.0.1", port, USER, PASSWORD) as client:
        tree = await client.tree(SHARE)
        if await tree.look("target.bin.odxfs-partial") is None:
            return 0
        file = await tree.open_to_read("target.bin.odxfs-partial")
        record = None
        if file.size >= RECORD_BYTES:
            record = PartialRecord.unpack(await file.read(file.size - RECORD_BYTES, RECORD_BYTES))
        await file.close()
    return record.reached if record is not None else 0
