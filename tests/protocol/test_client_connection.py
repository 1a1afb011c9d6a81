"""What the client makes of servers that misbehave."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import trio

from odxfs.client.client import connect
from odxfs.client.errors import NetworkFailed

Behaviour = Callable[[trio.SocketStream], Awaitable[None]]


@asynccontextmanager
async def server(behave: Behaviour) -> AsyncIterator[int]:
    """A listener on a free port that treats every connection in one way."""
    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, behave, listeners)
        yield listeners[0].socket.getsockname()[1]
        nursery.cancel_scope.cancel()


async def say_nothing(stream: trio.SocketStream) -> None:
    while await stream.receive_some():
        pass


async def hang_up(stream: trio.SocketStream) -> None:
    await stream.receive_some()
    await stream.aclose()


async def talk_nonsense(stream: trio.SocketStream) -> None:
    await stream.receive_some()
    await stream.send_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    await say_nothing(stream)


async def promise_too_much(stream: trio.SocketStream) -> None:
    await stream.receive_some()
    await stream.send_all(b"\x00\xff\xff\xff" + bytes(1000))
    await say_nothing(stream)


@pytest.mark.parametrize(
    ("behave", "complaint"),
    [
        (hang_up, "closed the connection"),
        (talk_nonsense, "breaks the protocol"),
        (promise_too_much, "breaks"),
    ],
)
async def test_a_broken_server_is_told_from_a_bug_of_ours(behave: Behaviour, complaint: str) -> None:
    async with server(behave) as port:
        with pytest.raises(NetworkFailed, match=complaint):
            async with connect("127.0.0.1", port, "ann", "secret"):
                pass


@pytest.mark.parametrize("host", ["a..b", "...", "h\udcff", 64 * "x"])
async def test_a_name_that_no_host_can_have(host: str) -> None:
    with pytest.raises(NetworkFailed, match="no host can have this name"):
        async with connect(host, 445, "ann", "secret"):
            pass


@pytest.mark.mock_clock
async def test_a_silent_server_is_left_after_a_minute() -> None:
    async with server(say_nothing) as port:
        before = trio.current_time()
        with pytest.raises(NetworkFailed, match="has not answered"):
            async with connect("127.0.0.1", port, "ann", "secret"):
                pass
        assert trio.current_time() - before >= 60
