"""What commands say when the process that serves the pool answers what only another version of odxfs understands."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from odxfs.cli.main import main
from odxfs.errors import ExitCode
from odxfs.volume import create_pool

Answering = Callable[[dict[str, Any]], None]

COMMANDS = [
    "status {pool}",
    "tokens {pool}",
    "tokens {pool} --watch",
    "tokens cancel {pool} --all",
    "scrub {pool}",
    "scrub {pool} --json",
    "scrub {pool} --stop",
    "config show {pool}",
    "config reload {pool}",
    "svm list {pool}",
    "svm add {pool} second listen=127.0.0.1:4459",
    "user list {pool} --svm second",
    "share add {pool} vms",
    "snapshot create {pool}",
    "snapshot list {pool}",
    "snapshot restore {pool} before /file",
    "volume list {pool}",
    "volume quota {pool} main",
    "volume quota {pool} main 20G",
    "volume clone {pool} second --of before",
]
"""All that read an answer."""

KEYS = [
    "pool",
    "state",
    "directory",
    "mountpoint",
    "pid",
    "smb",
    "svms",
    "shares",
    "tokens",
    "offload",
    "troubles",
    "peers",
    "scrub",
    "cancelled",
    "progress",
    "is_running",
    "changes",
    "toml",
    "file",
    "snapshot",
    "snapshots",
    "volume",
    "volumes",
    "inodes",
    "bytes",
]

TOKEN = {
    "label": "x",
    "volume": "main",
    "source": 5,
    "offset": 0,
    "length": 1,
    "owner": "alice",
    "client": "mount",
    "age": 1.0,
    "remaining": 9.0,
}


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    create_pool(tmp_path / "pool")
    return tmp_path / "pool"


@pytest.fixture
def answering(pool: Path) -> Iterator[Answering]:
    """Called with the result that every caller gets from here on."""
    results: list[dict[str, Any]] = []

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listening.accept()
                with connection:
                    connection.recv(65536)
                    connection.sendall(json.dumps({"ok": True, "result": results[-1]}).encode() + b"\n")

    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(pool / "control"))
        listening.listen()
        serving = threading.Thread(target=serve)
        serving.start()
        yield results.append
        listening.shutdown(socket.SHUT_RDWR)
        serving.join()


def _run(pool: Path, command: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """The exit code, and what was said on stderr. Whatever would be a traceback is raised."""
    code = main([word.replace("{pool}", str(pool)) for word in command.split()])
    return code, capsys.readouterr().err


@pytest.mark.parametrize("command", COMMANDS)
def test_an_answer_without_the_expected_keys(
    pool: Path, answering: Answering, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    answering({})
    code, said = _run(pool, command, capsys)
    assert (code, said.count("\n")) == (ExitCode.FORMAT, 1)
    assert "answers what this odxfs does not understand" in said


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("value", [None, 7, "word", [7], [{}], 1e300], ids=str)
def test_an_answer_with_values_of_another_kind(
    pool: Path, answering: Answering, command: str, value: object, capsys: pytest.CaptureFixture[str]
) -> None:
    answering(dict.fromkeys(KEYS, value))
    code, said = _run(pool, command, capsys)
    assert code in set(ExitCode) - {ExitCode.BUG}
    assert said.count("\n") == (code != ExitCode.OK)


@pytest.mark.parametrize(
    ("command", "result"),
    [
        ("tokens {pool}", {"tokens": [TOKEN]}),
        ("tokens {pool} --watch", {"tokens": [TOKEN]}),
        ("status {pool}", {"state": "served", "directory": "/pool", "pool": {"uuid": "x", "troubles": [{}]}}),
        ("volume list {pool}", {"volumes": [{"name": "main", "inodes": 1}]}),
        ("snapshot list {pool}", {"snapshots": [{"name": "before", "created_ns": 1 << 200}]}),
        ("scrub {pool} --stop", {"progress": {"damaged": 1, "findings": [{}]}}),
    ],
)
def test_an_answer_that_lacks_something_within(
    pool: Path,
    answering: Answering,
    command: str,
    result: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
) -> None:
    answering(result)
    code, said = _run(pool, command, capsys)
    assert (code, said.count("\n")) == (ExitCode.FORMAT, 1)
