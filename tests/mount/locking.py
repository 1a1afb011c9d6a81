"""A volume mounted and shared by this process, and programs that lock its files."""

import contextlib
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import trio

from odxfs.opens import OpenTable
from odxfs.wire.file_id import FileId
from odxfs.wire.header import Command
from odxfs.wire.lock import LockElement, LockFlags, LockRequest
from odxfs_mount.session import run_mount
from odxfs_mount.unmounting import find_mount, unmount
from tests.mount.inside import on
from tests.support.peer import Peer, logged_in
from tests.support.serving import PASSWORD, SHARE, USER, serve

EXCLUSIVE = LockFlags.EXCLUSIVE_LOCK | LockFlags.FAIL_IMMEDIATELY
SHARED = LockFlags.SHARED_LOCK | LockFlags.FAIL_IMMEDIATELY

PROGRAM = """
import errno, fcntl, os, signal, struct, sys
from fcntl import F_RDLCK, F_UNLCK, F_WRLCK, LOCK_EX, LOCK_NB, LOCK_SH, LOCK_UN
OFD = {fcntl.F_GETLK: 36, fcntl.F_SETLK: 37, fcntl.F_SETLKW: 38}
def control(command, fd, kind, start, length, ofd):
    data = struct.pack("hhqqi4x", kind, os.SEEK_SET, start, length, 0)
    return struct.unpack("hhqqi4x", fcntl.fcntl(fd, OFD[command] if ofd else command, data))
def lock(fd, kind, start=0, length=0, ofd=False):
    control(fcntl.F_SETLK, fd, kind, start, length, ofd)
def wait(fd, kind, start=0, length=0, ofd=False):
    control(fcntl.F_SETLKW, fd, kind, start, length, ofd)
def ask(fd, kind, start=0, length=0, ofd=False):
    kind, _, start, length, pid = control(fcntl.F_GETLK, fd, kind, start, length, ofd)
    return {F_RDLCK: "shared", F_WRLCK: "exclusive", F_UNLCK: "free"}[kind], start, length, pid
def interrupted(*_):
    raise InterruptedError(errno.EINTR, "signal")
signal.signal(signal.SIGUSR1, interrupted)
fd = os.open(sys.argv[1], os.O_RDWR)
for line in sys.stdin:
    try:
        answer = repr(eval(line))
    except OSError as error:
        answer = errno.errorcode[error.errno]
    print(answer, flush=True)
"""


class Program:
    """A process that has a file of the mount open as `fd`, and does what it is told."""

    def __init__(self, path: Path) -> None:
        words = [sys.executable, "-c", PROGRAM, str(path)]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    @property
    def pid(self) -> int:
        return self.process.pid

    def say(self, expression: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(expression + "\n")
        self.process.stdin.flush()

    def hear(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    async def do(self, expression: str) -> str:
        """What the expression came to; the name of its errno when it failed."""
        await on(self.say, expression)
        return await on(self.hear)

    def end(self) -> None:
        """Let it exit by itself, with whatever it holds. Harmless a second time."""
        with contextlib.suppress(BrokenPipeError):
            self.process.communicate()

    def kill(self) -> None:
        self.process.kill()
        self.end()


@dataclass(frozen=True)
class Both:
    """`path` is an empty file on the mount, and `peer` a session on the share that has it open as `fid`."""

    path: Path
    peer: Peer
    fid: FileId
    opens: OpenTable
    port: int
    programs: list[Program]
    mounted: trio.CancelScope

    async def program(self) -> Program:
        program = await on(Program, self.path)
        self.programs.append(program)
        return program

    async def lock(self, offset: int, length: int, flags: int = EXCLUSIVE) -> None:
        """LOCK; Refused with its status."""
        await self.peer.call(Command.LOCK, LockRequest(self.fid, (LockElement(offset, length, flags),)))

    async def unlock(self, offset: int, length: int) -> None:
        await self.lock(offset, length, LockFlags.UNLOCK)

    async def until_somebody_waits(self, count: int = 1) -> None:
        """Until so many wait for a lock of any file."""
        with trio.fail_after(60):
            while sum(len(file.released) for file in self.opens._files.values()) < count:
                await trio.sleep(0.005)

    async def until_free(self) -> None:
        """Until no lock is left; the kernel tells of the end of an open after close(2) has returned."""
        with trio.fail_after(60):
            while self.opens.count_locks():
                await trio.sleep(0.005)


@asynccontextmanager
async def mounted_and_shared(base: Path) -> AsyncIterator[Both]:
    """Both doors to one fresh volume, with a file; afterwards no lock may be left."""
    directory, mountpoint = base / "pool", base / "mnt"
    mountpoint.mkdir()
    programs: list[Program] = []
    try:
        with trio.fail_after(60):
            async with serve(directory) as served, trio.open_nursery() as nursery:
                volume = served.pool.volume("main", origin="mount")
                opens, engine = served.server.opens, served.server.engine
                await nursery.start(run_mount, volume, opens, engine, mountpoint)
                path = mountpoint / "file"
                await on(path.write_bytes, b"content" * 100)
                async with logged_in(served.port, USER, PASSWORD, SHARE) as peer:
                    fid = await peer.open("file")
                    scope = nursery.cancel_scope
                    both = Both(path, peer, fid, opens, served.port, programs, scope)
                    yield both
                    for program in programs:
                        await on(program.end)
                    await peer.close(fid)
                    await both.until_free()
                nursery.cancel_scope.cancel()
    finally:
        for program in programs:
            program.kill()
        if find_mount(str(mountpoint)) is not None:
            unmount(str(mountpoint), lazy=True)
