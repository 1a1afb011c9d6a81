"""The control socket: arguments reach their command, and what is wrong with them is said to the caller."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest
import trio

from odxfs.control.arguments import Arguments
from odxfs.control.client import NotServed, ask
from odxfs.control.server import ControlServer
from odxfs.errors import ExitCode, UserError


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
