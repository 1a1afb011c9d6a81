"""The control socket: arguments reach their command, and what is wrong with them is said to the caller."""

import errno
import json
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from functools import partialmethod
from pathlib import Path
from typing import Any

import pytest
import trio

from odxfs.administration import COMMANDS, administer
from odxfs.control.arguments import Arguments
from odxfs.control.client import NotServed, Unanswered, ask
from odxfs.control.server import ControlServer
from odxfs.errors import ExitCode, UserError
from odxfs.volume import create_pool


async def _multiply(arguments: Arguments) -> dict[str, Any]:
    product = arguments.number("by", 2) * arguments.number("number")
    return {"text": arguments.text("what", "it") + f" is {product}", "loud": arguments.flag("loud")}


async def answers(directory: Path, *requests: dict[str, Any] | None) -> list[dict[str, Any]]:
    server = ControlServer(directory, {"multiply": _multiply})
    async with trio.open_nursery() as nursery:
        await nursery.start(server.serve)
        try:
            return [
                await trio.to_thread.run_sync(ask, directory, "multiply", request) for request in requests
            ]
        finally:
            nursery.cancel_scope.cancel()


async def test_arguments_reach_the_command(tmp_path: Path) -> None:
    found = await answers(
        tmp_path,
        {"number": 21},
        {"number": 3, "by": 5, "what": "this", "loud": True},
        {"number": 1, "by": None},
    )
    assert found == [
        {"text": "it is 42", "loud": False},
        {"text": "this is 15", "loud": True},
        {"text": "it is 2", "loud": False},
    ]


@pytest.mark.parametrize("arguments", [None, {}, {"number": "3"}, {"number": True}, {"number": 1, "loud": 1}])
async def test_wrong_arguments_are_the_callers_mistake(
    tmp_path: Path, arguments: dict[str, Any] | None
) -> None:
    with pytest.RaisesGroup(UserError) as caught:
        await answers(tmp_path, arguments)
    error = caught.value.exceptions[0]
    assert isinstance(error, UserError)
    assert error.exit_code is ExitCode.USAGE


def test_nobody_answers_for_a_pool_that_is_not_served(tmp_path: Path) -> None:
    with pytest.raises(NotServed):
        ask(tmp_path, "multiply", {"number": 1})


async def test_a_socket_that_cannot_be_made_is_told_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))  # as vfat does, which has no sockets

    (tmp_path / "control").mkdir()
    for said in ("control cannot be made: Is a directory", "control cannot be made: Operation not permitted"):
        with pytest.raises(UserError, match=said) as refused:
            await ControlServer(tmp_path, {}).serve()
        assert refused.value.exit_code is ExitCode.NOT_A_POOL
        if (tmp_path / "control").exists():
            (tmp_path / "control").rmdir()
        monkeypatch.setattr(socket.socket, "bind", refuse)


async def test_an_owner_that_lost_the_pool_leaves_the_new_owners_socket_alone(tmp_path: Path) -> None:
    stale, current = ControlServer(tmp_path, {}), ControlServer(tmp_path, {"multiply": _multiply})
    async with trio.open_nursery() as nursery:
        await nursery.start(stale.serve)
        await nursery.start(current.serve)
        await stale.withdraw()
        found = await trio.to_thread.run_sync(ask, tmp_path, "multiply", {"number": 1})
        assert found["text"] == "it is 2"
        await current.withdraw()
        assert not (tmp_path / "control").exists()
        nursery.cancel_scope.cancel()


async def test_a_disk_that_keeps_the_sockets_name_fails_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    server = ControlServer(tmp_path, {})
    async with trio.open_nursery() as nursery:
        await nursery.start(server.serve)
        monkeypatch.setattr(Path, "unlink", refuse)
        await server.withdraw()
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def _listening(directory: Path) -> AsyncIterator[None]:
    """The server during the block, which must not take long."""
    async with trio.open_nursery() as nursery:
        await nursery.start(ControlServer(directory, {"multiply": _multiply}).serve)
        with trio.fail_after(60):
            yield
        nursery.cancel_scope.cancel()


def _request(number: int) -> bytes:
    return json.dumps({"command": "multiply", "arguments": {"number": number}}).encode() + b"\n"


async def _lines(stream: trio.SocketStream, count: int) -> list[Any]:
    received = b""
    while received.count(b"\n") < count:
        received += await stream.receive_some()
    return [json.loads(line) for line in received.splitlines()]


@pytest.mark.parametrize(
    "line", [b"[" * 60_000, b"{" * 60_000, b"9" * 60_000, b"\xff", b"7", b'{"command":[]}']
)
async def test_a_line_that_makes_no_sense_is_its_callers_alone(tmp_path: Path, line: bytes) -> None:
    async with _listening(tmp_path), await trio.open_unix_socket(tmp_path / "control") as stream:
        await stream.send_all(line + b"\n" + _request(4))
        refused, answered = await _lines(stream, 2)
    assert (refused["ok"], refused["exit_code"]) == (False, ExitCode.USAGE)
    assert answered["result"]["text"] == "it is 8"


async def test_requests_that_arrive_together_are_answered_one_after_the_other(tmp_path: Path) -> None:
    async with _listening(tmp_path), await trio.open_unix_socket(tmp_path / "control") as stream:
        await stream.send_all(_request(1) + _request(2) + _request(3)[:10])
        answers = await _lines(stream, 2)
        await stream.send_all(_request(3)[10:])
        answers += await _lines(stream, 1)
    assert [answer["result"]["text"] for answer in answers] == ["it is 2", "it is 4", "it is 6"]


async def test_a_process_without_a_free_descriptor_answers_when_it_has_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, expect_log: Callable[[str], None]
) -> None:
    expect_log("cannot accept a connection")
    accept, refusals = socket.socket.accept, [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ECONNABORTED]

    def refuse_first(listening: socket.socket) -> Any:
        if refusals:
            raise OSError(code := refusals.pop(), os.strerror(code))
        return accept(listening)

    monkeypatch.setattr(socket.socket, "accept", partialmethod(refuse_first))
    async with _listening(tmp_path):
        found = await trio.to_thread.run_sync(ask, tmp_path, "multiply", {"number": 1})
    assert (found["text"], refusals) == ("it is 2", [])


async def test_callers_that_say_nothing_keep_nobody_else_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("odxfs.control.server._PATIENCE_SECONDS", 0.5)
    monkeypatch.setattr("odxfs.control.server._MAX_CONVERSATIONS", 3)
    async with _listening(tmp_path), AsyncExitStack() as silent:
        for _ in range(5):
            await silent.enter_async_context(await trio.open_unix_socket(tmp_path / "control"))
        found = await trio.to_thread.run_sync(ask, tmp_path, "multiply", {"number": 1})
    assert found["text"] == "it is 2"


@contextmanager
def _impostor(directory: Path, converse: Callable[[socket.socket], None]) -> Iterator[None]:
    """Something that listens where a serving process would, and does `converse` with its first caller."""

    def serve() -> None:
        connection, _ = listening.accept()
        with connection:
            converse(connection)

    with socket.socket(socket.AF_UNIX) as listening, ThreadPoolExecutor() as threads:
        listening.bind(str(directory / "control"))
        listening.listen()
        served = threads.submit(serve)
        yield
        served.result(60)


def _take_and_go(connection: socket.socket) -> None:
    connection.recv(65536)


def test_a_command_that_was_taken_and_not_answered_may_have_been_done(tmp_path: Path) -> None:
    with _impostor(tmp_path, _take_and_go), pytest.raises(Unanswered, match="went without an answer"):
        ask(tmp_path, "multiply")


def test_a_command_that_nobody_has_read_was_not_done(tmp_path: Path) -> None:
    with _impostor(tmp_path, lambda _: None), pytest.raises(NotServed) as gone:
        ask(tmp_path, "multiply")
    assert not isinstance(gone.value, Unanswered)


async def test_a_command_is_not_done_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who serves the pool has made the snapshot when it dies."""
    create_pool(tmp_path)
    done = []

    async def create(*_: Any) -> dict[str, Any]:
        done.append("here")
        return {}

    monkeypatch.setitem(COMMANDS, "snapshot create", create)
    values = {"volume": "main", "name": "before"}
    with _impostor(tmp_path, _take_and_go), pytest.raises(Unanswered):
        await administer(tmp_path, "snapshot create", values)
    assert done == []
    (tmp_path / "control").unlink()
    with _impostor(tmp_path, lambda _: None):
        await administer(tmp_path, "snapshot create", values)
    assert done == ["here"]


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (b'{"ok": false, "error": "no", "exit_code": 99}', ExitCode.REFUSED),
        (b'{"ok": false, "error": "no", "exit_code": 0}', ExitCode.REFUSED),
        (b'{"ok": false, "error": "no", "exit_code": []}', ExitCode.REFUSED),
        (b'{"ok": false, "error": "no", "exit_code": 5}', ExitCode.BUSY),
        (b'{"ok": false}', ExitCode.FORMAT),
        (b'{"ok": true}', ExitCode.FORMAT),
        (b'{"ok": true, "result": 7}', ExitCode.FORMAT),
        (b"[" * 60_000, ExitCode.FORMAT),
        (b"7", ExitCode.FORMAT),
        (b"\xff", ExitCode.FORMAT),
        (b"", ExitCode.FORMAT),
    ],
)
def test_whatever_another_version_answers_is_an_error_in_words(
    tmp_path: Path, answer: bytes, code: ExitCode
) -> None:
    def converse(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(answer + b"\n")

    with _impostor(tmp_path, converse), pytest.raises(UserError) as refused:
        ask(tmp_path, "multiply")
    assert refused.value.exit_code is code


def test_a_process_that_hangs_with_callers_waiting_is_busy(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as hung, ExitStack() as waiting:
        hung.bind(str(tmp_path / "control"))
        hung.listen(0)
        for _ in range(2):
            caller = waiting.enter_context(socket.socket(socket.AF_UNIX))
            caller.setblocking(False)
            caller.connect_ex(str(tmp_path / "control"))
        with pytest.raises(UserError, match="does not answer") as refused:
            ask(tmp_path, "multiply", timeout=0.2)
        assert refused.value.exit_code is ExitCode.BUSY
