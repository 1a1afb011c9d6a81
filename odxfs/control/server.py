"""The answering end of the control socket."""

import json
import logging
import os
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import trio

from odxfs.accepting import accept
from odxfs.access_times import settle_access_time
from odxfs.control.address import MAX_LINE_BYTES, SOCKET_NAME, socket_address
from odxfs.control.arguments import Arguments
from odxfs.errors import SYSTEM_EXIT_CODES, ExitCode, UserError

log = logging.getLogger("odxfs.control")

Command = Callable[[Arguments], Awaitable[dict[str, Any]]]
"""What answers one command. Its caller waits meanwhile: a job that takes longer is started by one command and asked after
by another."""

_UCRED = struct.Struct("iII")
"""struct ucred of SO_PEERCRED: pid, uid, gid (unix(7))."""

_BACKLOG = 16
"""Callers waiting: people and their scripts."""

_MAX_CONVERSATIONS = 64
"""Callers being answered; further ones wait. Most of these wait for a command that takes long."""

_PATIENCE_SECONDS = 60.0
"""How long a caller may take to say what it wants, and to take the answer: one that hangs keeps nobody else out."""


class ControlServer:
    """Answers `commands` on DIR/control. The caller owns the pool's lock, so a socket found there is a dead one's."""

    def __init__(self, directory: Path, commands: Mapping[str, Command]) -> None:
        self._directory = directory
        self._commands = commands
        self._identity: tuple[int, int] | None = None
        """Of the socket, once there is one."""
        self._room = trio.Semaphore(_MAX_CONVERSATIONS)
        self._busy = 0
        self._idle = trio.Event()

    async def serve(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Listen until cancelled; started when the socket is there. `withdraw` takes the socket's name away. Raises UserError."""
        with closing(self._bind()) as listening:
            task_status.started()
            async with trio.open_nursery() as nursery:
                while True:
                    await self._room.acquire()
                    connection = await accept(listening)
                    if connection is None:
                        self._room.release()
                    else:
                        nursery.start_soon(self._converse, connection)

    async def withdraw(self) -> None:
        """Remove the socket's name: no new callers, while the present ones still get their answers.

        Another owner's socket stays. On a disk that does not answer this takes as long as that; one that fails keeps the name,
        which the next owner takes away.
        """
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(self._remove)

    def _remove(self) -> None:
        try:
            if self._identity == _identity(self._directory / SOCKET_NAME):
                (self._directory / SOCKET_NAME).unlink(missing_ok=True)
        except OSError as error:
            log.info("the control socket stays: %s", error)

    async def drain(self, seconds: float) -> None:
        """Wait until every request under way has its answer, at most `seconds`."""
        if not self._busy:
            return
        self._idle = trio.Event()
        with trio.move_on_after(seconds):
            await self._idle.wait()

    def _bind(self) -> socket.socket:
        """The socket under its name. Raises UserError, also where the file system has no sockets."""
        listener = socket.socket(socket.AF_UNIX)
        try:
            self._name(listener)
            listener.listen(_BACKLOG)
            listener.setblocking(False)
        except OSError as error:
            listener.close()
            code = SYSTEM_EXIT_CODES.get(error.errno or 0, ExitCode.NOT_A_POOL)
            what = f"{self._directory / SOCKET_NAME} cannot be made: {error.strerror or error}"
            raise UserError(what, code) from error
        return listener

    def _name(self, listener: socket.socket) -> None:
        (self._directory / SOCKET_NAME).unlink(missing_ok=True)
        before = os.umask(0o177)
        try:
            with socket_address(self._directory) as address:
                listener.bind(address)
                self._identity = _identity(self._directory / SOCKET_NAME)
                settle_access_time(self._directory / SOCKET_NAME)  # connect(2) notes an access, too
        finally:
            os.umask(before)

    async def _converse(self, connection: socket.socket) -> None:
        """Answer one caller's requests, one after the other, until it goes or leaves us waiting."""
        stream = trio.SocketStream(trio.socket.from_stdlib_socket(connection))
        try:
            async with stream:
                if _is_trusted(stream):
                    with suppress(trio.BrokenResourceError, trio.TooSlowError):
                        await self._answer_all(stream)
        finally:
            self._room.release()

    async def _answer_all(self, stream: trio.SocketStream) -> None:
        lines = _Lines(stream)
        while True:
            with trio.fail_after(_PATIENCE_SECONDS):
                line = await lines.next()
            if not line:
                return
            await self._reply(stream, line)

    async def _reply(self, stream: trio.SocketStream, line: bytes) -> None:
        self._busy += 1
        try:
            answer = json.dumps(await self._answer(line)).encode() + b"\n"
            with trio.fail_after(_PATIENCE_SECONDS):
                await stream.send_all(answer)
        finally:
            self._busy -= 1
            if not self._busy:
                self._idle.set()

    async def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            request = json.loads(line)
            command = self._commands[request["command"]]
            arguments = Arguments(dict(request.get("arguments", {})))
        except (ValueError, KeyError, TypeError, RecursionError):
            return _failure("no such command", ExitCode.USAGE)
        try:
            return {"ok": True, "result": await command(arguments)}
        except UserError as error:
            return _failure(str(error), error.exit_code)
        except Exception as error:
            log.exception("command=%s failed", request["command"])
            return _failure(f"{request['command']} failed: {error}", ExitCode.BUG)


def _identity(path: Path) -> tuple[int, int] | None:
    """What tells a socket from another that has its name; None when there is none. Raises OSError."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _failure(error: str, exit_code: ExitCode) -> dict[str, Any]:
    return {"ok": False, "error": error, "exit_code": int(exit_code)}


def _is_trusted(stream: trio.SocketStream) -> bool:
    """Only the owner of this process and root may command it, whatever the socket's mode has become."""
    credentials = stream.socket.getsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_PEERCRED, _UCRED.size)
    _, uid, _ = _UCRED.unpack(credentials)
    return uid in (0, os.geteuid())


class _Lines:
    """What one caller says, line by line."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._received = bytearray()

    async def next(self) -> bytes:
        """The next line; empty at the end, and for one that is too long. Raises trio.BrokenResourceError."""
        while True:
            line, newline, rest = self._received.partition(b"\n")
            if newline:
                self._received = rest
                return bytes(line + newline)
            chunk = await self._stream.receive_some(4096)
            self._received += chunk
            if not chunk or len(self._received) > MAX_LINE_BYTES:
                return b""
