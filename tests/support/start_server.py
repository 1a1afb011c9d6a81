"""The process behind `tests.support.starting`: it has imported what `odxfs` needs, and forks a command for each request.

A request comes with five files: what to run (JSON), stdin, stdout, stderr, and where the exit code goes.
"""

import gc
import importlib
import json
import os
import pkgutil
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import IO, Any, NoReturn

import odxfs
from odxfs.cli.main import main as run_command_line

FOR_THE_MOUNT = ("odxfs.cli.umount",)
"""Modules that import `odxfs_mount`, which looks at the environment when it is imported: left to the commands."""

FILES = 5

Command = Callable[[], int]


def serve(requests: socket.socket) -> Command | None:
    """Fork for each request until nobody is left who could send one. Returns in a child what it is to run, else None."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those who wait for a command
    while True:
        said, files, _, _ = socket.recv_fds(requests, 1, FILES)
        if not said:
            return None
        if os.fork() == 0:
            requests.close()
            return _begin(files)
        _close(files)


def _begin(files: Sequence[int]) -> Command:
    """Fork once more: the child returns what it is to run, this process waits for it and says how it ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    with open(files[0], closefd=False) as file:
        request = json.load(file)
    pid = os.fork()
    if pid:
        _wait(pid, request["seconds"], files[-1])
    _become(request, files[1:4])
    _close(files)
    return partial(run_command_line, request["words"])


def _wait(pid: int, seconds: int, result: int) -> NoReturn:
    """Write the exit code of the command, which is killed when it takes too long."""
    signal.signal(signal.SIGALRM, lambda *_: os.kill(pid, signal.SIGKILL))
    signal.alarm(seconds)
    _, status = os.waitpid(pid, 0)
    os.write(result, str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


def _become(request: dict[str, Any], files: Sequence[int]) -> None:
    """Have the surroundings that a program would be started with."""
    for target, source in enumerate(files):
        os.dup2(source, target)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    sys.argv = ["odxfs", *request["words"]]
    sys.stdin, sys.stdout, sys.stderr = _opened(sys.stdin), _opened(sys.stdout), _opened(sys.stderr)


def _opened(old: IO[str]) -> IO[str]:
    """The stream anew, since the old one was made for another file."""
    mode = "r" if old.fileno() == 0 else "w"
    return open(old.fileno(), mode, encoding=old.encoding, errors=old.errors, closefd=False)


def _close(files: Sequence[int]) -> None:
    for file in files:
        os.close(file)


def import_everything() -> None:
    """What a command would import, so that none does."""
    for module in pkgutil.walk_packages(odxfs.__path__, "odxfs."):
        if module.name not in FOR_THE_MOUNT:
            importlib.import_module(module.name)
    assert "odxfs_mount" not in sys.modules
    gc.freeze()  # a collection in a child would copy all pages of what is here


def run(command: Command) -> NoReturn:
    """Run it and end as a program does, except that nothing of what was imported is taken down piece by piece."""
    code = command()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    import_everything()
    command = serve(socket.socket(fileno=int(sys.argv[1])))
    if command is not None:
        run(command)
