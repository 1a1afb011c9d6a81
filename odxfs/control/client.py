"""Asking a running odxfs; plain blocking calls."""

import json
import os
import select
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from struct import Struct
from typing import Any

from odxfs.control.address import socket_address
from odxfs.errors import ExitCode, UserError

ANSWER_SECONDS = 30.0
"""How long to wait for an answer that needs no work."""

END_SECONDS = 10.0
"""How long a process may take to end when it has said that it does."""

_TRY_AGAIN_SECONDS = 0.05

_CREDENTIALS = Struct("=3i")
"""What SO_PEERCRED tells (unix(7)): pid, uid and gid."""


class NotServed(UserError):
    """Nobody serves the pool now, and nothing was done."""


class Unanswered(NotServed):
    """Who served the pool has taken the command, and has gone before it said what became of it."""


def ask(
    directory: Path,
    command: str,
    arguments: Mapping[str, Any] | None = None,
    *,
    timeout: float | None = ANSWER_SECONDS,
    until_gone: bool = False,
) -> dict[str, Any]:
    """Send `command` to the process that serves the pool in `directory` and return its result.

    `arguments` are values that JSON knows; one that is None is left out. `timeout` in seconds, None to wait for ever. With
    `until_gone` the process is to end then: its end is waited for, END_SECONDS at the most.
    Raises NotServed, Unanswered, or UserError with what the other side says.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(timeout)
        _connect(connection, directory)
        try:
            connection.sendall(_request(command, arguments or {}))
            with _end_of_process(connection) if until_gone else nullcontext():
                line = _read_line(connection)
        except TimeoutError as error:
            raise _silent(directory) from error
        except OSError as error:  # unix(7) sockets say so when what was sent has not all been read
            raise NotServed(
                f"the process serving {directory} has gone: {error}", ExitCode.NOT_FOUND
            ) from error
    if not line:
        raise Unanswered(
            f"the process serving {directory} went without an answer: see whether it has done what it was asked",
            ExitCode.NEEDS_FSCK,
        )
    return _result(directory, line)


@contextmanager
def _end_of_process(connection: socket.socket) -> Iterator[None]:
    """Behind the block wait until the process at the other end has let go of its files, among them its log in the pool."""
    pid, _, _ = _CREDENTIALS.unpack(
        connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    )
    try:
        process = os.pidfd_open(pid)
    except OSError:  # it has gone, or is of another PID namespace
        yield
        return
    try:
        yield
        select.select((process,), (), (), END_SECONDS)
    finally:
        os.close(process)


def is_served(directory: Path) -> bool:
    """Whether a process answers for the pool."""
    try:
        ask(directory, "ping")
    except NotServed:
        return False
    return True


@contextmanager
def understood(directory: Path) -> Iterator[None]:
    """Inside, an answer of the process that serves the pool is read: one that another version of odxfs would understand, with
    other keys or values, raises UserError(FORMAT).
    """
    try:
        yield
    except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError) as error:
        raise _not_understood(directory) from error


def _request(command: str, arguments: Mapping[str, Any]) -> bytes:
    given = {name: value for name, value in arguments.items() if value is not None}
    return json.dumps({"command": command, "arguments": given}).encode() + b"\n"


def _result(directory: Path, line: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(line)
        if answer["ok"]:
            return dict(answer["result"])
        refusal, code = str(answer["error"]), answer["exit_code"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _not_understood(directory) from error
    known = code in list(ExitCode) and code != ExitCode.OK
    raise UserError(refusal, ExitCode(code) if known else ExitCode.REFUSED)


def _not_understood(directory: Path) -> UserError:
    return UserError(
        f"the process serving {directory} answers what this odxfs does not understand", ExitCode.FORMAT
    )


def _silent(directory: Path) -> UserError:
    return UserError(f"the process serving {directory} does not answer", ExitCode.BUSY)


def _connect(connection: socket.socket, directory: Path) -> None:
    try:
        with socket_address(directory) as address:
            _connect_in_time(connection, address)
    except BlockingIOError as error:
        raise _silent(directory) from error
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise NotServed(f"{directory} is not mounted or served", ExitCode.NOT_FOUND) from error
    except PermissionError as error:
        raise UserError(f"{directory} is served by another user", ExitCode.REFUSED) from error
    except OSError as error:
        raise UserError(f"{directory}: {os.strerror(error.errno or 0)}", ExitCode.NOT_A_POOL) from error


def _connect_in_time(connection: socket.socket, address: str) -> None:
    """Wait while more callers wait than are let in; BlockingIOError when the socket's time is over, and connect(2)'s OSErrors."""
    deadline = time.monotonic() + (connection.gettimeout() or 0)
    while True:
        try:
            return connection.connect(address)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise
        time.sleep(_TRY_AGAIN_SECONDS)


def _read_line(connection: socket.socket) -> bytes:
    received = bytearray()
    while not received.endswith(b"\n"):
        chunk = connection.recv(65536)
        if not chunk:
            return b""
        received += chunk
    return bytes(received)
