"""`odxfs` commands as processes of their own, forked from one that has imported what they need.

Half a second of imports is most of what a command takes that does little, and tests run more than a thousand of them. That
every command starts by itself is a test of its own (tests/mount/test_cli.py).
"""

import atexit
import functools
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]


def run_command(
    words: Sequence[str], stdin: bytes, environment: Mapping[str, str], seconds: int
) -> tuple[int, bytes, bytes]:
    """Run `odxfs WORDS`, which is killed after `seconds`: its exit code as that of a `subprocess`, its stdout and its stderr."""
    request = {
        "words": list(words),
        "environment": dict(environment),
        "folder": os.getcwd(),
        "seconds": seconds,
    }
    with (
        _memory(json.dumps(request).encode()) as said,
        _memory(stdin) as given,
        _memory() as out,
        _memory() as err,
    ):
        code = _start(said, given, out, err)
        return code, _content(out), _content(err)


def _start(*files: int) -> int:
    """Send the request and wait for the exit code."""
    reading, writing = os.pipe()
    with open(reading, "rb") as result:
        try:
            socket.send_fds(_starter(), [b"!"], [*files, writing])
        finally:
            os.close(writing)
        return int(result.read())


@functools.cache
def _starter() -> socket.socket:
    """Where requests go; the process that forks lives as long as this one."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    words = [sys.executable, "-m", "tests.support.start_server", str(its.fileno())]
    process = subprocess.Popen(
        words, pass_fds=[its.fileno()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, cwd=ROOT
    )
    its.close()
    atexit.register(_end, ours, process)
    return ours


def _end(starter: socket.socket, process: "subprocess.Popen[bytes]") -> None:
    starter.close()
    process.wait()


@contextmanager
def _memory(content: bytes = b"") -> Iterator[int]:
    """A file in memory that is read from its beginning."""
    file = os.memfd_create("tests")
    try:
        os.pwrite(file, content, 0)
        yield file
    finally:
        os.close(file)


def _content(file: int) -> bytes:
    return os.pread(file, os.fstat(file).st_size, 0)
