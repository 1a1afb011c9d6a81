"""A server that is started with few descriptors allowed, as a shell's ulimit has it."""

import socket
import subprocess
from contextlib import ExitStack
from pathlib import Path

from tests.mount.command import ODXFS, odxfs_ok
from tests.serving.running import Running, make_pool

FEW, CONNECTIONS = 100, 150


def test_connections_are_not_bounded_by_the_soft_limit_of_descriptors(tmp_path: Path) -> None:
    pool = tmp_path / "pool"
    make_pool(pool)
    words = ["sh", "-c", f'ulimit -S -n {FEW} && exec "$0" serve "$1"', str(ODXFS), str(pool)]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as process, ExitStack() as stack:
        assert process.stdout is not None
        assert process.stdout.readline()
        running = Running(pool, process)
        address = ("127.0.0.1", running.port("default"))
        for _ in range(CONNECTIONS):
            stack.enter_context(socket.create_connection(address))
        while running.svm("default")["clients"]["connections"] < CONNECTIONS:
            assert process.poll() is None
        odxfs_ok("umount", pool)
