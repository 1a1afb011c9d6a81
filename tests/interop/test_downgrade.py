"""Somebody between client and server who talks both down to an old dialect, and hides the question that would tell."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from odxfs.client.client import connect
from odxfs.client.errors import NetworkFailed
from odxfs.ntstatus import Status
from odxfs.smb.handlers import ioctl
from odxfs.smb.request import SmbError
from odxfs.smb.settings import ServerSettings
from odxfs.wire.error import ErrorResponse
from odxfs.wire.fsctl.codes import Fsctl
from odxfs.wire.header import HEADER_BYTES, NO_SIGNATURE, Command, Header, HeaderFlags
from odxfs.wire.negotiate import Dialect, NegotiateRequest
from odxfs.wire.negotiation import SERVED_DIALECTS
from tests.support.serving import PASSWORD, SHARE, USER, serve

Lie = Callable[[Header], bytes | None]
"""What the middle answers to a request in the server's place, None to pass it on."""


def no_lie(_: Header) -> bytes | None:
    return None


def session_gone(header: Header) -> bytes | None:
    """The one kind of answer that a client takes without a signature, for the question about the negotiation."""
    if header.command != Command.IOCTL:
        return None
    flags = HeaderFlags.SERVER_TO_REDIR
    answer = replace(
        header, status=Status.USER_SESSION_DELETED, flags=flags, credits=1, signature=NO_SIGNATURE
    )
    return answer.pack() + ErrorResponse().pack()


async def messages(stream: trio.SocketStream) -> AsyncIterator[bytes]:
    """The SMB2 messages of a direction, without their framing."""
    buffer = bytearray()
    async for data in stream:
        buffer += data
        while len(buffer) >= 4 and len(buffer) >= 4 + int.from_bytes(buffer[:4], "big"):
            size = int.from_bytes(buffer[:4], "big")
            message = bytes(buffer[4 : 4 + size])
            del buffer[: 4 + size]
            yield message


def framed(message: bytes) -> bytes:
    return len(message).to_bytes(4, "big") + message


def talked_down(message: bytes, dialect: int) -> bytes:
    """The client's NEGOTIATE as if it spoke that dialect alone and could not encrypt."""
    request = NegotiateRequest.unpack(memoryview(message))
    request = replace(request, dialects=(dialect,), negotiate_contexts=(), capabilities=0)
    return message[:HEADER_BYTES] + request.pack()


async def stand_between(client: trio.SocketStream, port: int, dialect: int, lie: Lie) -> None:
    async with await trio.open_tcp_stream("127.0.0.1", port) as server, trio.open_nursery() as both:

        async def pass_down() -> None:
            async for data in server:
                await client.send_all(data)
            both.cancel_scope.cancel()

        both.start_soon(pass_down)
        async for message in messages(client):
            header = Header.unpack(memoryview(message))
            negotiates = header.command == Command.NEGOTIATE
            answer = lie(header)
            if answer is None:
                await server.send_all(framed(talked_down(message, dialect) if negotiates else message))
            else:
                await client.send_all(framed(answer))
        both.cancel_scope.cancel()


@asynccontextmanager
async def middle(folder: Path, dialect: int, lie: Lie = no_lie) -> AsyncIterator[int]:
    """A server, and the port of somebody who stands before it."""
    async with serve(folder) as served, trio.open_nursery() as nursery:

        async def handle(stream: trio.SocketStream) -> None:
            async with stream:
                try:
                    await stand_between(stream, served.port, dialect, lie)
                except* (trio.BrokenResourceError, trio.ClosedResourceError):
                    pass

        listeners = await nursery.start(
            lambda task_status: trio.serve_tcp(handle, 0, host="127.0.0.1", task_status=task_status)
        )
        yield listeners[0].socket.getsockname()[1]
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("dialect", [Dialect.SMB_2_1, Dialect.SMB_3_0, Dialect.SMB_3_0_2])
@pytest.mark.parametrize("lie", [no_lie, session_gone])
async def test_a_negotiation_that_was_talked_down_is_noticed(
    tmp_path: Path, dialect: Dialect, lie: Lie
) -> None:
    async with middle(tmp_path, dialect, lie) as port, connect("127.0.0.1", port, USER, PASSWORD) as client:
        assert client.connection.wire.dialect == dialect
        with pytest.raises(NetworkFailed):
            await client.tree(SHARE)


@pytest.mark.parametrize(
    ("status", "believed"),
    [
        (Status.FILE_CLOSED, True),
        (Status.INVALID_DEVICE_REQUEST, True),
        (Status.ACCESS_DENIED, False),
        (Status.USER_SESSION_DELETED, False),
        (Status.IO_DEVICE_ERROR, False),
    ],
)
async def test_a_server_that_does_not_know_the_question_is_believed_and_one_that_evades_it_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: Status, believed: bool
) -> None:
    async def answer(*_: object) -> bytes:
        raise SmbError(status)

    monkeypatch.setitem(ioctl._WITHOUT_OPEN, Fsctl.VALIDATE_NEGOTIATE_INFO, answer)
    async with (
        serve(tmp_path) as served,
        connect("127.0.0.1", served.port, USER, PASSWORD, dialects=SERVED_DIALECTS[:-1]) as client,
    ):
        if believed:
            await client.tree(SHARE)
            return
        with pytest.raises(NetworkFailed):
            await client.tree(SHARE)


@pytest.mark.parametrize("dialect", SERVED_DIALECTS)
async def test_an_old_server_that_nobody_has_talked_down_is_taken(tmp_path: Path, dialect: Dialect) -> None:
    settings = ServerSettings(failed_login_seconds=0.0, max_dialect=dialect)
    async with (
        serve(tmp_path, settings) as served,
        connect("127.0.0.1", served.port, USER, PASSWORD) as client,
    ):
        assert client.connection.wire.dialect == dialect
        await client.tree(SHARE)
