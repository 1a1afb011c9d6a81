"""Asking a running odxfs; plain blocking calls."""

import json
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from odxfs.control.address import socket_address
from odxfs.errors import ExitCode, UserError

ANSWER_SECONDS = 30.0
"""How long to wait for an answer that needs no work."""


class NotServed(UserError):
    """Nobody serves the pool now."""


def ask(
    directory: Path,
    command: str,
    arguments: Mapping[str, Any] | None = None,
    *,
    timeout: float | None = ANSWER_SECONDS,
) -> dict[str, Any]:
    """Send `command` to the process that serves the pool in `directory` and return its result.

    `arguments` are values that JSON knows; one that is None is left out. `timeout` in seconds, None to wait for ever.
    Raises NotServed, or UserError with what the other side says.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(timeout)
        _connect(connection, directory)
        try:
            connection.sendall(_request(command, arguments or {}))
            line = _read_line(connection)
        except TimeoutError as error:
            raise UserError(f"the process serving {directory} does not answer", ExitCode.BUSY) from error
        except OSError as error:
            raise NotServed(
                f"the process serving {directory} has gone: {error}", ExitCode.NOT_FOUND
            ) from error
    if not line:
        raise NotServed(f"the process serving {directory} went without an answer", ExitCode.NOT_FOUND)
    answer = json.loads(line)
    if not answer["ok"]:
        raise UserError(answer["error"], ExitCode(answer["exit_code"]))
    result: dict[str, Any] = answer["result"]
    return result


def is_served(directory: Path) -> bool:
    """Whether a process answers for the pool."""
    try:
        ask(directory, "ping")
    except NotServed:
        return False
    return True


def _request(command: str, arguments: Mapping[str, Any]) -> bytes:
    given = {name: value for name, value in arguments.items() if value is not None}
    return json.dumps({"command": command, "arguments": given}).encode() + b"\n"


def _connect(connection: socket.socket, directory: Path) -> None:
    try:
        with socket_address(directory) as address:
            connection.connect(address)
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise NotServed(f"{directory} is not mounted or served", ExitCode.NOT_FOUND) from error
    except PermissionError as error:
        raise UserError(f"{directory} is served by another user", ExitCode.REFUSED) from error
    except OSError as error:
        raise UserError(f"{directory}: {os.strerror(error.errno or 0)}", ExitCode.NOT_A_POOL) from error


def _read_line(connection: socket.socket) -> bytes:
    received = bytearray()
    while not received.endswith(b"\n"):
        chunk = connection.recv(65536)
        if not chunk:
            return b""
        received += chunk
    return bytes(received)
