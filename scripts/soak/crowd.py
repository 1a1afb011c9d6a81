"""The clients as processes: started, killed at random, started again; one that ends by itself is a finding."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

HERE = Path(__file__).resolve().parent
KILL_SECONDS = (5.0, 30.0)
"""Between two kills, at random between these."""
TAIL_CHARACTERS = 600


class Crowd:
    """Those clients of a soak. `kills` counts how often each was killed."""

    def __init__(
        self, clients: Sequence[str], work: Path, port: int, share_of_time: float, choice: random.Random
    ) -> None:
        self.clients = clients
        self.kills: Counter[str] = Counter()
        self._command = [sys.executable, str(HERE / "client.py")]
        self._arguments = [str(work), str(port), str(share_of_time)]
        self._work = work
        self._choice = choice
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._next_kill = time.monotonic() + KILL_SECONDS[1]

    def start(self) -> None:
        """All of them."""
        for name in self.clients:
            self._start(name)

    def look(self) -> Iterator[str]:
        """What is wrong with those that have ended by themselves; they are started again."""
        for name, process in list(self._running.items()):
            if process.poll() is not None:
                log = self._log(name).read_text(errors="replace")
                yield f"client {name} has ended with {process.returncode}: {log[-TAIL_CHARACTERS:].strip()}"
                self._start(name)

    def kill_some(self) -> None:
        """When it is time: one client with all its children by SIGKILL, at once started again."""
        if time.monotonic() < self._next_kill:
            return
        self._next_kill = time.monotonic() + self._choice.uniform(*KILL_SECONDS)
        name = self._choice.choice(self.clients)
        self._kill(name)
        self.kills[name] += 1
        self._start(name)

    def stop(self) -> None:
        """Kill them all."""
        for name in list(self._running):
            self._kill(name)

    def _start(self, name: str) -> None:
        with self._log(name).open("wb") as log:
            self._running[name] = subprocess.Popen(
                [*self._command, name, *self._arguments],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def _kill(self, name: str) -> None:
        process = self._running.pop(name)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def _log(self, name: str) -> Path:
        return self._work / f"client-{name}.log"
