"""Clients that read or send slowly, or vanish: what they hold is bounded and let go, and nobody else notices."""

import contextlib
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from odxfs.wire.change_notify import ChangeNotifyRequest
from odxfs.wire.client_connection import Call
from odxfs.wire.create import CreateOptions
from odxfs.wire.header import Command
from odxfs.wire.negotiation import SERVED_DIALECTS
from odxfs.wire.read import ReadRequest
from tests.support.elsewhere import Host, elsewhere
from tests.support.peer import Peer, logged_in
from tests.support.serving import PASSWORD, SHARE, USER, Served, serve

KIBIBYTE = 1024
MEBIBYTE = 1024 * KIBIBYTE
READS = 500
READ_BYTES = 64 * KIBIBYTE


async def _ask_for_much(peer: Peer) -> None:
    """Send reads of 31 MiB in all, and look at no answer."""
    fid = await peer.open("large")
    await peer.write(fid, 0, bytes(READ_BYTES))
    while peer.wire.credits < READS:
        await peer.read(fid, 0, 1)
    calls = [
        Call(Command.READ, ReadRequest(fid, 0, READ_BYTES, 0).pack(), None, peer.tree_id, peer.session_id)
        for _ in range(READS)
    ]
    for call in calls:
        await peer.stream.send_all(b"".join(peer.wire.compound([call])[1]))


async def _until(served: Served, connections: int) -> None:
    with trio.fail_after(60):
        while len(served.server.connections) != connections:
            await trio.sleep(0.01)


async def test_who_does_not_read_stops_itself_alone(tmp_path: Path) -> None:
    async with (
        serve(tmp_path) as served,
        logged_in(served.port, USER, PASSWORD, SHARE) as stalled,
        logged_in(served.port, USER, PASSWORD, SHARE) as other,
    ):
        tracemalloc.start()
        try:
            await _ask_for_much(stalled)
            for number in range(20):
                fid = await other.open(f"file-{number}")
                await other.write(fid, 0, b"in time")
                assert await other.read(fid, 0, 7) == b"in time"
            held = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
        assert held < 12 * MEBIBYTE


async def test_who_does_not_read_for_long_is_dropped_with_all_it_has_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("odxfs.smb.sending.STALLED_SECONDS", 0.2)
    async with (
        serve(tmp_path) as served,
        logged_in(served.port, USER, PASSWORD, SHARE) as other,
        logged_in(served.port, USER, PASSWORD, SHARE) as stalled,
    ):
        with contextlib.suppress(trio.BrokenResourceError):  # dropped before it has asked for everything
            await _ask_for_much(stalled)
        await _until(served, connections=1)
        assert len(served.server.sessions) == 1
        assert not len(served.server.registry)
        await other.open("still here")


async def test_bytes_that_trickle_in_do_not_make_a_login_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("odxfs.smb.connection.LOGIN_SECONDS", 0.2)
    async with serve(tmp_path) as served, await trio.open_tcp_stream("127.0.0.1", served.port) as stream:
        await stream.send_all((1000).to_bytes(4, "big"))
        with trio.fail_after(60):
            while served.server.connections:
                with contextlib.suppress(trio.BrokenResourceError):
                    await stream.send_all(b"\xfe")
                await trio.sleep(0.02)


async def test_a_request_that_trickles_in_keeps_nobody_waiting(tmp_path: Path) -> None:
    async with (
        serve(tmp_path) as served,
        logged_in(served.port, USER, PASSWORD, SHARE) as slow,
        logged_in(served.port, USER, PASSWORD, SHARE) as other,
    ):
        fid = await slow.open("file")
        await slow.write(fid, 0, b"data")
        (message_id,), buffers = slow.wire.compound(
            [Call(Command.READ, ReadRequest(fid, 0, 4, 0).pack(), None, slow.tree_id, slow.session_id)]
        )
        for byte in b"".join(buffers):
            await slow.stream.send_all(bytes([byte]))
            await other.open("other")
        assert b"data" in bytes((await slow.final(message_id)).pdu)


async def test_who_vanishes_with_an_answer_under_way_is_let_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel sends no probes while something is not confirmed; by itself it sends that again for a quarter of an hour."""
    monkeypatch.setattr("odxfs.smb.listener._UNCONFIRMED_MILLISECONDS", 1000)
    with elsewhere() as host:
        async with (
            serve(tmp_path, address=host.address) as served,
            logged_in(served.port, USER, PASSWORD, SHARE, host=host.address) as other,
            _far_away(host, served) as far,
        ):
            folder = await far.open("folder", create_options=CreateOptions.DIRECTORY_FILE)
            waiting = await far.send(Command.CHANGE_NOTIFY, ChangeNotifyRequest(folder, 1, 4096))
            assert (await far.next_response(waiting)).interim
            host.cut()
            await other.open("folder\\new")
            await _until(served, connections=1)
            assert len(served.server.sessions) == 1


async def test_who_vanishes_in_silence_is_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KEEPALIVE_IDLE_SECONDS", "KEEPALIVE_INTERVAL_SECONDS"):
        monkeypatch.setattr(f"odxfs.smb.listener._{name}", 1)
    monkeypatch.setattr("odxfs.smb.listener._UNCONFIRMED_MILLISECONDS", 1000)
    with elsewhere() as host:
        async with serve(tmp_path, address=host.address) as served, _far_away(host, served) as far:
            await far.open("file")
            host.cut()
            await _until(served, connections=0)
            assert not len(served.server.registry)


@asynccontextmanager
async def _far_away(host: Host, served: Served) -> AsyncIterator[Peer]:
    """A client on the other host, with a session and a tree connect."""
    with trio.socket.from_stdlib_socket(host.make_socket()) as socket:
        await socket.connect((host.address, served.port))
        peer = Peer(trio.SocketStream(socket), SERVED_DIALECTS)
        await peer.negotiate()
        await peer.login(USER, PASSWORD)
        await peer.connect_tree(SHARE)
        yield peer
