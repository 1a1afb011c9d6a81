"""Crowds as seen from outside: a process each, asked in lines of JSON."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent


class CrowdProcess:
    """One process full of clients."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def answer(self) -> dict[str, Any]:
        """The next line that it prints."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"a crowd has ended: {self._process.args!r}")
        told: dict[str, Any] = json.loads(line)
        return told

    def tell(self, words: str) -> None:
        """One line to it."""
        assert self._process.stdin is not None
        self._process.stdin.write(words + "\n")
        self._process.stdin.flush()


@contextmanager
def crowd(
    port: int, connections: int, opens_each: int, in_flight: int, pause_seconds: float
) -> Iterator[CrowdProcess]:
    """A crowd that is logging in; it leaves at the end of the block."""
    words = [
        sys.executable,
        str(HERE / "crowd.py"),
        *map(str, (port, connections, opens_each, in_flight, pause_seconds)),
    ]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield CrowdProcess(process)
        assert process.stdin is not None
        process.stdin.close()
        process.wait(60)
    finally:
        process.kill()
        process.wait()
