"""Servers as processes of their own, the odxfs command, and a wire between two servers that can be cut."""

import json
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import trio

from odxfs.client.client import Client, connect
from tests.mount.command import ODXFS
from tests.support.starting import run_command

USER, PASSWORD, SHARE = "alice", "correct horse", "vol"
MACHINE, MACHINE_PASSWORD = "b$", "of the machine"
WAIT_SECONDS = 300
"""Ends a test in which something hangs."""


@dataclass(frozen=True)
class Done:
    """How a command line ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


async def odxfs(*words: str | Path, stdin: str = "") -> Done:
    """Run `odxfs WORDS` as alice."""
    environment = {"ODXFS_PASSWORD": PASSWORD, "PATH": "/usr/bin:/bin"}
    run = partial(run_command, list(map(str, words)), stdin.encode(), environment, WAIT_SECONDS)
    code, out, err = await trio.to_thread.run_sync(run)
    return Done(code, out.decode(), err.decode())


async def odxfs_ok(*words: str | Path, stdin: str = "") -> Done:
    """Run `odxfs WORDS` and insist that it succeeds."""
    done = await odxfs(*words, stdin=stdin)
    assert done.code == 0, f"{words}: {done.code} {done.err}{done.out}"
    return done


class Server:
    """`odxfs serve` of a pool. It keeps its port when it is started again."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = 0
        self.ended = trio.Event()
        self._process: trio.Process | None = None

    async def make(self, *machines: str) -> None:
        """A new pool with alice, a share and accounts of other servers."""
        await odxfs_ok("mkfs", self.directory)
        await odxfs_ok("user", "add", self.directory, USER, "--password-stdin", stdin=PASSWORD + "\n")
        await odxfs_ok("share", "add", self.directory, SHARE)
        for machine in machines:
            words = ("user", "add", self.directory, machine, "--peer", "--password-stdin")
            await odxfs_ok(*words, stdin=MACHINE_PASSWORD + "\n")

    async def start(self) -> None:
        """Return when it listens."""
        command = [
            str(ODXFS),
            "serve",
            str(self.directory),
            "--smb-listen",
            f"127.0.0.1:{self.port}",
            "--json",
        ]
        with (self.directory.parent / f"{self.directory.name}.log").open("ab") as log:
            self._process = await trio.lowlevel.open_process(command, stdout=subprocess.PIPE, stderr=log)
        assert self._process.stdout is not None
        said = b""
        with trio.fail_after(WAIT_SECONDS):
            while not said.rstrip().endswith(b"}"):
                part = await self._process.stdout.receive_some()
                assert part, "the server did not start"
                said += part
        self.port = int(json.loads(said)["smb"].rpartition(":")[2])

    async def kill(self) -> None:
        """kill -9."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> None:
        """End it in order; the pool must be sound."""
        if self._process is not None:
            await self._end(signal.SIGTERM)
        found = (await odxfs_ok("fsck", self.directory, "--json")).json["found"]
        assert found == [], found

    async def _end(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)
        with trio.fail_after(WAIT_SECONDS):
            await self._process.wait()
        self._process = None
        self.ended.set()

    def url(self, path: str) -> str:
        """A file on the share."""
        return f"smb://{USER}@127.0.0.1:{self.port}/{SHARE}/{path}"

    def connect(self) -> Any:
        """Our client, logged on as alice."""
        return connect("127.0.0.1", self.port, USER, PASSWORD)


@asynccontextmanager
async def two_servers(folder: Path) -> AsyncIterator[tuple[Server, Server]]:
    """Two running servers with a pool each; the second has the first as its peer `a`. Both must end sound."""
    a, b = Server(folder / "a"), Server(folder / "b")
    await a.make(MACHINE)
    await b.make()
    await a.start()
    await b.start()
    try:
        await add_peer(b, a.port)
        yield a, b
    finally:
        with trio.CancelScope(shield=True):
            await a.stop()
            await b.stop()


async def add_peer(server: Server, port: int) -> Done:
    """Make the server behind that port the server's peer `a`."""
    words = ("peer", "add", server.directory, "a", f"127.0.0.1:{port}", "--user", MACHINE, "--password-stdin")
    return await odxfs_ok(*words, stdin=MACHINE_PASSWORD + "\n")


async def put(client: Client, path: str, data: bytes) -> None:
    """A file with that content."""
    file = await (await client.tree(SHARE)).open_to_write(path)
    for offset in range(0, len(data), file.max_write_bytes):
        await file.write(offset, data[offset : offset + file.max_write_bytes])
    await file.flush()
    await file.close()


async def get(client: Client, path: str) -> bytes:
    """The content of a file."""
    file, data = await (await client.tree(SHARE)).open_to_read(path), bytearray()
    while len(data) < file.size:
        data += await file.read(len(data), 1 << 20)
    await file.close()
    return bytes(data)


class Wire:
    """Passes the bytes between two servers on, until it is cut after so many of them."""

    def __init__(self, port: int, limit: float = float("inf")) -> None:
        self._port = port
        self.left = limit
        self.cut = trio.Event()

    async def run(self, *, task_status: trio.TaskStatus[int]) -> None:
        """Listen until cancelled; started with the port."""
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        port = listeners[0].socket.getsockname()[1]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(trio.serve_listeners, self._connected, listeners))
            task_status.started(port)

    async def _connected(self, stream: trio.SocketStream) -> None:
        if self.left <= 0:
            return
        try:
            other = await trio.open_tcp_stream("127.0.0.1", self._port)
        except OSError:
            return  # nobody is there: the caller's connection ends, too
        async with other, trio.open_nursery() as both:
            both.start_soon(self._pass_on, stream, other, both.cancel_scope)
            both.start_soon(self._pass_on, other, stream, both.cancel_scope)

    async def _pass_on(
        self, one: trio.SocketStream, other: trio.SocketStream, scope: trio.CancelScope
    ) -> None:
        try:
            while self.left > 0 and (data := await one.receive_some(1 << 16)):
                self.left -= len(data)
                await other.send_all(data)
        except trio.BrokenResourceError:
            pass
        if self.left <= 0:
            self.cut.set()
        scope.cancel()
