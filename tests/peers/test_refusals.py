"""What a client is told when a peer's token cannot be fetched, or not whole; and that nothing is lost by it."""

import math
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import spnego
import trio
import trio.testing

from odxfs.client.connection import Pending
from odxfs.client.errors import NetworkFailed
from odxfs.errors import OffloadRefused, QuotaExceeded, Refusal
from odxfs.ntstatus import Status
from odxfs.offload import TokenFiles, WriteCall
from odxfs.offload.rules import WRITE_INPUT_BYTES, WRITE_OUTPUT_BYTES
from odxfs.offload.token_files import TokenInode
from odxfs.peers import fetch, fetcher, link, trouble
from odxfs.peers.remote_token import RemoteToken
from odxfs.smb.auth.acceptor import Acceptor, AuthStep
from odxfs.volume import Inode, Volume
from tests.peers.pair import (
    Pair,
    content,
    new_file,
    party,
    read_token,
    serve_pair,
    write_token,
    write_whole_token,
)

MIB = 1024 * 1024
SIZE = 6 * MIB


@asynccontextmanager
async def with_token(folder: Path) -> AsyncIterator[tuple[Pair, bytes, bytes, Inode]]:
    """A pair, a token of the source with its bytes, and an empty file for them at the destination."""
    async with serve_pair(folder) as pair:
        source, data = await new_file(pair.source, "source"), os.urandom(SIZE)
        await pair.source.volume.write(source, 0, data)
        token = (await read_token(pair.source, source, 0, SIZE)).token
        yield pair, token, data, await new_file(pair.destination, "destination", SIZE)


async def refusal(pair: Pair, destination: Inode, token: bytes, offset: int = 0) -> Refusal:
    """Why one write of the token is refused."""
    with pytest.raises(OffloadRefused) as refused:
        await write_token(pair.destination, destination, token, 0, SIZE, offset)
    return refused.value.reason


async def test_the_token_of_a_pool_that_is_no_peer(tmp_path: Path) -> None:
    async with with_token(tmp_path) as (pair, token, data, destination):
        pair.configure(pool=uuid4())
        assert await refusal(pair, destination, token) is Refusal.UNKNOWN_PEER
        assert Refusal.UNKNOWN_PEER.status is Status.DEVICE_UNREACHABLE
        pair.configure()  # noticed at once
        assert await write_whole_token(pair.destination, destination, token, 0, SIZE) == SIZE
        assert await content(pair.destination, destination) == data


async def test_a_peer_that_takes_the_credential_no_more(tmp_path: Path) -> None:
    async with with_token(tmp_path) as (pair, token, data, destination):
        pair.configure(password="another")
        assert await refusal(pair, destination, token) is Refusal.PEER_REFUSES
        assert await refusal(pair, destination, token) is Refusal.PEER_REFUSES
        assert Refusal.PEER_REFUSES.status is Status.DEVICE_UNREACHABLE
        pair.configure(user="alice", password="correct horse")  # a user of files, not of tokens
        assert await refusal(pair, destination, token) is Refusal.PEER_REFUSES
        pair.configure()
        assert await write_whole_token(pair.destination, destination, token, 0, SIZE) == SIZE
        assert await content(pair.destination, destination) == data


async def test_another_pool_where_the_peer_should_be(tmp_path: Path) -> None:
    async with with_token(tmp_path) as (pair, token, _, destination):
        pair.configure(port=pair.destination.port, user="alice", password="correct horse")
        assert await refusal(pair, destination, token) is Refusal.PEER_REFUSES
    async with serve_pair(tmp_path / "others") as others, serve_pair(tmp_path / "ours") as pair:
        source = await new_file(pair.source, "source")
        await pair.source.volume.write(source, 0, bytes(1000) + b"x")
        token = (await read_token(pair.source, source, 0, 1024)).token
        pair.configure(port=others.source.port)
        destination = await new_file(pair.destination, "destination", SIZE)
        assert await refusal(pair, destination, token) is Refusal.PEER_REFUSES


async def test_nobody_listens_where_the_peer_should_be(tmp_path: Path) -> None:
    async with with_token(tmp_path) as (pair, token, _, destination):
        pair.configure(port=1)
        assert await refusal(pair, destination, token) is Refusal.PEER_UNREACHABLE
        assert Refusal.PEER_UNREACHABLE.status is Status.INSUFFICIENT_RESOURCES
        assert await content(pair.destination, destination) == bytes(SIZE)


async def test_a_peer_that_says_nothing_is_given_up_in_time_and_not_asked_at_once_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "CONNECT_SECONDS", 0.2)
    async with with_token(tmp_path) as (pair, token, _, destination), trio.open_nursery() as nursery:
        asked = 0

        async def be_silent(stream: trio.SocketStream) -> None:
            nonlocal asked
            asked += 1
            await trio.sleep_forever()

        listeners = await nursery.start(
            lambda task_status: trio.serve_tcp(be_silent, 0, host="127.0.0.1", task_status=task_status)
        )
        pair.configure(port=listeners[0].socket.getsockname()[1])
        for _ in range(3):
            assert await refusal(pair, destination, token) is Refusal.PEER_UNREACHABLE
        assert asked == 1
        monkeypatch.setattr(trouble, "REMEMBERED_SECONDS", 0.0)
        pair.configure(name="another", port=listeners[0].socket.getsockname()[1])
        assert await refusal(pair, destination, token) is Refusal.PEER_UNREACHABLE
        assert asked == 2
        nursery.cancel_scope.cancel()


async def test_a_peer_that_cannot_be_logged_on_to_for_a_reason_of_ours_is_not_tried_at_every_call(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    expect_log: Callable[[str], None],
) -> None:
    expect_log("not the network's")

    def break_down(*_: object) -> None:
        raise ValueError("a bug")

    async with with_token(tmp_path) as (pair, token, _, destination):
        monkeypatch.setattr(link, "connect_to_tokens", break_down)
        for _ in range(3):
            assert await refusal(pair, destination, token) is Refusal.PEER_UNREACHABLE
    assert sum("not the network's" in record.message for record in caplog.records) == 1


async def test_a_logon_that_waits_for_others_holds_up_nobody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Kerberos does for its centre, where pyspnego finds a library for it."""
    has_answered = threading.Event()

    def wait(*_: object, **__: object) -> None:
        has_answered.wait(5)
        raise ValueError("no such realm")

    monkeypatch.setattr(link, "CONNECT_SECONDS", 0.2)
    async with with_token(tmp_path) as (pair, token, _, destination):
        monkeypatch.setattr(spnego, "client", wait)
        with trio.fail_after(4):
            assert await refusal(pair, destination, token) is Refusal.PEER_UNREACHABLE
        has_answered.set()


async def test_a_peer_that_takes_no_further_connection_is_not_asked_for_one_at_every_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with with_token(tmp_path) as (pair, token, data, destination):
        assert await write_whole_token(pair.destination, destination, token, 0, SIZE) == SIZE
        asked = 0

        def refuse(*_: object) -> None:
            nonlocal asked
            asked += 1
            raise NetworkFailed("there are enough")

        monkeypatch.setattr(link, "connect_to_tokens", refuse)
        for _ in range(10):
            async with trio.open_nursery() as nursery:
                for offset in (0, MIB):
                    nursery.start_soon(write_token, pair.destination, destination, token, offset, MIB, offset)
        assert 1 <= asked < 5
        assert await content(pair.destination, destination) == data


async def test_a_peer_whose_logon_is_garbage_is_remembered_as_one_that_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = 0

    def step(*_: object) -> AuthStep:
        nonlocal steps
        steps += 1
        return AuthStep(b"\xa1\x30\x55\x11" * 9, done=False)

    async with with_token(tmp_path) as (pair, token, _, destination):
        monkeypatch.setattr(Acceptor, "step", step)
        for _ in range(3):
            assert await refusal(pair, destination, token) is Refusal.PEER_REFUSES
    assert steps == 1


async def test_a_token_that_its_server_takes_no_more(tmp_path: Path) -> None:
    async with with_token(tmp_path) as (pair, token, _, destination):
        forged = token[:-1] + bytes([token[-1] ^ 1])
        assert await refusal(pair, destination, forged) is Refusal.PEER_REFUSED_TOKEN
        assert Refusal.PEER_REFUSED_TOKEN.status is Status.INVALID_TOKEN
        assert await refusal(pair, destination, token, SIZE) is Refusal.OFFSET_BEYOND_TOKEN
        pair.source.server.engine.registry.clear()
        assert (await refusal(pair, destination, token)).status in (
            Status.INVALID_TOKEN,
            Status.INSUFFICIENT_RESOURCES,
        )
        assert await content(pair.destination, destination) == bytes(SIZE)


async def test_a_slow_peer_makes_calls_short_and_the_copy_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asking_seconds = 3.0  # far more than it takes to ask for the first, also on a busy machine
    monkeypatch.setattr(fetcher, "ASKING_SECONDS", asking_seconds)
    monkeypatch.setattr(fetcher, "CALL_SECONDS", 60.0)
    monkeypatch.setattr(fetch, "READS_AHEAD", 2)
    on_the_way = RemoteToken.try_submit_read
    last_read_at = math.inf

    class Late(Pending):
        """An answer that is looked at when nothing more may be asked for."""

        def __init__(self, pending: Pending) -> None:
            self._wait = pending.wait

        async def wait(self) -> object:  # type: ignore[override]
            await trio.sleep_until(last_read_at)
            return await self._wait()

    def submit(token: RemoteToken, offset: int, length: int) -> Pending | None:
        pending = on_the_way(token, offset, length)
        return None if pending is None else Late(pending)

    monkeypatch.setattr(RemoteToken, "try_submit_read", submit)
    async with with_token(tmp_path) as (pair, token, data, destination):
        last_read_at = trio.current_time() + asking_seconds
        first = await write_token(pair.destination, destination, token, 0, SIZE)
        assert 0 < first < SIZE
        assert first % 512 == 0
        monkeypatch.undo()
        rest = await write_whole_token(pair.destination, destination, token, first, SIZE - first, first)
        assert first + rest == SIZE
        assert await content(pair.destination, destination) == data


async def test_a_peer_that_stalls_makes_the_call_end_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetcher, "CALL_SECONDS", 0.3)
    async with with_token(tmp_path) as (pair, token, data, destination):
        monkeypatch.setattr(RemoteToken, "wait_for_room", _stall)
        monkeypatch.setattr(RemoteToken, "try_submit_read", lambda *_: None)
        assert await refusal(pair, destination, token) is Refusal.PEER_BUSY
        assert Refusal.PEER_BUSY.status is Status.INSUFFICIENT_RESOURCES
        monkeypatch.undo()
        assert await write_whole_token(pair.destination, destination, token, 0, SIZE) == SIZE
        assert await content(pair.destination, destination) == data


async def _stall(*_: object) -> None:
    await trio.sleep_forever()


@pytest.mark.parametrize("cut", [0, 1, 4])
async def test_a_connection_that_breaks_in_the_middle_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut: int
) -> None:
    """The first `cut` reads are answered, the next one finds the connection gone."""
    on_the_way, asked = RemoteToken.try_submit_read, 0

    def submit(token: RemoteToken, offset: int, length: int) -> Pending | None:
        nonlocal asked
        asked += 1
        if asked == cut + 1:
            token._line.client.connection.close()
        return on_the_way(token, offset, length)

    monkeypatch.setattr(RemoteToken, "try_submit_read", submit)
    async with with_token(tmp_path) as (pair, token, data, destination):
        assert await write_whole_token(pair.destination, destination, token, 0, SIZE) == SIZE
        assert await content(pair.destination, destination) == data


async def test_bytes_that_are_too_few_are_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on_the_way = RemoteToken.try_submit_read
    monkeypatch.setattr(
        RemoteToken, "try_submit_read", lambda token, offset, length: on_the_way(token, offset, length - 1)
    )
    async with with_token(tmp_path) as (pair, token, _, destination):
        assert await refusal(pair, destination, token) is Refusal.PEER_UNREACHABLE
        assert await content(pair.destination, destination) == bytes(SIZE)


async def test_a_lock_at_the_destination_holds(tmp_path: Path) -> None:
    async with with_token(tmp_path) as (pair, token, _, destination):
        call = WriteCall(WRITE_INPUT_BYTES, WRITE_OUTPUT_BYTES, WRITE_INPUT_BYTES, 0, SIZE, 0, token)
        with pytest.raises(OffloadRefused) as refused:
            await pair.destination.server.engine.offload_write(
                party(pair.destination, destination, locked=True), call
            )
        assert refused.value.reason is Refusal.LOCKED
        assert await content(pair.destination, destination) == bytes(SIZE)


async def test_a_lock_that_comes_while_bytes_are_on_their_way_into_the_file_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with with_token(tmp_path) as (pair, token, _, destination):
        locks: list[Inode] = []
        write = Volume.write

        async def lock_and_write(
            volume: Volume, inode: Inode, offset: int, piece: bytes, **options: Any
        ) -> None:
            locks.append(inode)
            await write(volume, inode, offset, piece, **options)

        monkeypatch.setattr(Volume, "write", lock_and_write)
        locked = replace(party(pair.destination, destination), write_conflicts=lambda *_: bool(locks))
        call = WriteCall(WRITE_INPUT_BYTES, WRITE_OUTPUT_BYTES, WRITE_INPUT_BYTES, 0, SIZE, 0, token)
        with pytest.raises(OffloadRefused) as refused:
            await pair.destination.server.engine.offload_write(locked, call)
        assert refused.value.reason is Refusal.LOCKED
        assert await content(pair.destination, destination) == bytes(SIZE)


async def test_a_call_ends_with_its_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who closes the file waits for the call."""
    async with with_token(tmp_path) as (pair, token, data, destination):
        written = 0
        write = Volume.write

        async def note_and_write(
            volume: Volume, inode: Inode, offset: int, piece: bytes, **options: Any
        ) -> None:
            nonlocal written
            await write(volume, inode, offset, piece, **options)
            written += len(piece)

        monkeypatch.setattr(Volume, "write", note_and_write)
        closing = replace(party(pair.destination, destination), is_given_up=lambda: written > 0)
        call = WriteCall(WRITE_INPUT_BYTES, WRITE_OUTPUT_BYTES, WRITE_INPUT_BYTES, 0, SIZE, 0, token)
        told = await pair.destination.server.engine.offload_write(closing, call)
        assert 0 < told == written < SIZE
        assert await content(pair.destination, destination) == data[:told] + bytes(SIZE - told)
        assert await write_whole_token(pair.destination, destination, token, 0, SIZE) == SIZE
        assert await content(pair.destination, destination) == data


async def test_the_destinations_quota_holds(tmp_path: Path) -> None:
    async with with_token(tmp_path) as (pair, token, data, destination):
        await pair.destination.pool.volumes.set_quota("main", 3 * MIB)
        with pytest.raises(QuotaExceeded):
            await write_whole_token(pair.destination, destination, token, 0, SIZE)
        await pair.destination.pool.volumes.set_quota("main", 0)
        assert await write_whole_token(pair.destination, destination, token, 0, SIZE) == SIZE
        assert await content(pair.destination, destination) == data


async def test_a_file_that_is_cut_meanwhile_stays_cut(tmp_path: Path) -> None:
    async with with_token(tmp_path) as (pair, token, data, destination):
        volume = pair.destination.volume
        write: Callable[..., Awaitable[None]] = volume.write

        async def write_and_cut(inode: Inode, offset: int, piece: bytes, **options: bool) -> None:
            await write(inode, offset, piece, **options)
            await volume.truncate(inode, 100_000)

        volume.write = write_and_cut  # type: ignore[assignment, method-assign]
        await write_token(pair.destination, destination, token, 0, SIZE)
        assert destination.size == 100_000
        assert await content(pair.destination, destination) == data[:100_000]


async def test_connections_that_nobody_uses_are_closed_and_opened_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "IDLE_SECONDS", 0.05)
    async with with_token(tmp_path) as (pair, token, data, destination):
        for _ in range(2):
            assert await write_whole_token(pair.destination, destination, token, 0, SIZE) == SIZE
            assert await content(pair.destination, destination) == data
            await pair.destination.volume.truncate(destination, 0)
            await pair.destination.volume.truncate(destination, SIZE)
            with trio.fail_after(60):
                while len(pair.source.server.sessions) > 1:  # alice stays
                    await trio.sleep(0.01)


async def test_a_peer_that_is_removed_is_asked_no_more(tmp_path: Path) -> None:
    async with with_token(tmp_path) as (pair, token, _, destination):
        assert await write_whole_token(pair.destination, destination, token, 0, SIZE) == SIZE
        pair.peers.delete("a")
        assert await refusal(pair, destination, token) is Refusal.UNKNOWN_PEER
        with trio.fail_after(60):
            while len(pair.source.server.sessions) > 1:
                await trio.sleep(0.01)


async def test_a_peer_that_has_anothers_name_is_not_told_to_have_its_connections(tmp_path: Path) -> None:
    async with with_token(tmp_path) as (pair, token, _, destination):
        assert await write_whole_token(pair.destination, destination, token, 0, SIZE) == SIZE
        engine = pair.destination.server.engine
        assert isinstance(engine._foreign, fetcher.Fetcher)
        assert engine._foreign.as_json()[0]["connections"] > 0
        pair.configure(pool=uuid4())
        assert engine._foreign.as_json()[0]["connections"] == 0


async def test_a_server_that_stops_in_the_middle_of_a_call_stops_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fetcher ends before the call does: the call is refused, nothing hangs, and the log has no complaint."""
    monkeypatch.setattr(fetcher, "CALL_SECONDS", 1.0)  # the call waits for it
    async with with_token(tmp_path) as (pair, token, _, destination), trio.open_nursery() as nursery:
        monkeypatch.setattr(RemoteToken, "wait_for_room", _stall)
        monkeypatch.setattr(RemoteToken, "try_submit_read", lambda *_: None)
        found: list[Refusal] = []

        async def write() -> None:
            found.append(await refusal(pair, destination, token))

        nursery.start_soon(write)
        await trio.testing.wait_all_tasks_blocked(0.05)
        engine = pair.destination.server.engine
        assert isinstance(engine._foreign, fetcher.Fetcher)
        assert engine._foreign._nursery is not None
        engine._foreign._nursery.cancel_scope.cancel()
    assert found == [Refusal.PEER_BUSY] or found == [Refusal.PEER_UNREACHABLE]
    assert await refusal(pair, destination, token) is Refusal.PEER_UNREACHABLE


async def test_a_call_whose_time_was_up_before_it_asked_for_anything_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A success of no bytes would let a client ask again and again, or give up on tokens."""
    async with with_token(tmp_path) as (pair, token, data, destination):
        with monkeypatch.context() as patch:
            patch.setattr(fetcher, "ASKING_SECONDS", 0.0)
            assert await refusal(pair, destination, token) is Refusal.PEER_BUSY
        assert await write_whole_token(pair.destination, destination, token, 0, SIZE) == SIZE
        assert await content(pair.destination, destination) == data


async def test_a_connection_that_has_fallen_silent_holds_up_one_call_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a peer's loss of power: nothing is refused and nothing is answered."""
    frozen = list[trio.Event]()

    async with with_token(tmp_path) as (pair, token, data, destination), trio.open_nursery() as nursery:
        port = pair.source.port

        async def relay(stream: trio.SocketStream) -> None:
            silent = trio.Event()
            frozen.append(silent)
            async with await trio.open_tcp_stream("127.0.0.1", port) as server, trio.open_nursery() as both:
                both.start_soon(pass_on, stream, server, silent, both.cancel_scope)
                both.start_soon(pass_on, server, stream, silent, both.cancel_scope)

        listeners = await nursery.start(
            lambda task_status: trio.serve_tcp(relay, 0, host="127.0.0.1", task_status=task_status)
        )
        pair.configure(port=listeners[0].socket.getsockname()[1])
        assert await write_token(pair.destination, destination, token, 0, SIZE) > 0
        for silent in frozen:
            silent.set()
        with monkeypatch.context() as patch:
            patch.setattr(fetcher, "CALL_SECONDS", 2.0)
            patch.setattr(link, "SILENT_SECONDS", 0.5)
            assert await refusal(pair, destination, token) is Refusal.PEER_BUSY
        assert await write_whole_token(pair.destination, destination, token, 0, SIZE) == SIZE
        assert await content(pair.destination, destination) == data
        nursery.cancel_scope.cancel()


async def pass_on(
    source: trio.SocketStream, sink: trio.SocketStream, silent: trio.Event, both: trio.CancelScope
) -> None:
    """What comes from one to the other, as long as they talk."""
    async for data in source:
        if not silent.is_set():
            await sink.send_all(data)
    both.cancel()


async def test_what_is_opened_too_late_is_closed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_token = TokenFiles.open_token

    async def open_late(files: TokenFiles, token: bytes) -> TokenInode:
        await trio.sleep(1.0)
        return await open_token(files, token)

    async with with_token(tmp_path) as (pair, token, _, destination):
        await write_token(pair.destination, destination, token, 0, SIZE)  # so that there is a connection
        with monkeypatch.context() as patch:
            patch.setattr(TokenFiles, "open_token", open_late)
            patch.setattr(fetcher, "CALL_SECONDS", 0.5)
            for _ in range(3):
                assert await refusal(pair, destination, token) is Refusal.PEER_BUSY
            with trio.fail_after(60):
                while (
                    pair.source.server.registry._by_id
                    or pair.source.server.engine.registry.list(0)[0].uses < 4
                ):
                    await trio.sleep(0.01)
