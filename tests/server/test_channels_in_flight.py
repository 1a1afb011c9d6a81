"""Requests that wait on two connections of one session, when the session, a share of it or one of the connections ends."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio

from odxfs.ntstatus import Status
from odxfs.smb.sending import PeerStalled
from odxfs.smb.shares import Share
from odxfs.wire.change_notify import ChangeNotifyRequest
from odxfs.wire.create import CreateDisposition, CreateRequest
from odxfs.wire.create_contexts import DurableHandleRequestV2
from odxfs.wire.echo import EchoRequest
from odxfs.wire.file_id import FileId
from odxfs.wire.header import Command
from odxfs.wire.lock import LockElement, LockFlags, LockRequest
from odxfs.wire.logoff import LogoffRequest
from odxfs.wire.transform import TRANSFORM_PROTOCOL_ID
from odxfs.wire.tree_disconnect import TreeDisconnectRequest
from tests.support.peer import FILE_ALL_ACCESS, SHARE_ALL, Peer, connect, logged_in
from tests.support.serving import PASSWORD, SHARE, USER, Served, serve
from tests.support.waiting import until

WHOLE_TREE, NAMES = 1, 0x3
LIST = 0x1
BATCH = 0x09
AT_ONCE = LockFlags.EXCLUSIVE_LOCK | LockFlags.FAIL_IMMEDIATELY


@dataclass
class Waiting:
    """A channel with a LOCK of byte `offset` and a CHANGE_NOTIFY that wait on it."""

    peer: Peer
    offset: int
    lock: int = 0
    notify: int = 0

    async def begin(self, file: FileId, folder: FileId) -> None:
        lock = LockRequest(file, (LockElement(self.offset, 1, LockFlags.EXCLUSIVE_LOCK),))
        self.lock = await pending(self.peer, Command.LOCK, lock)
        watch = ChangeNotifyRequest(folder, NAMES, 4096, WHOLE_TREE)
        self.notify = await pending(self.peer, Command.CHANGE_NOTIFY, watch)

    async def endings(self) -> tuple[Status, Status]:
        with trio.fail_after(60):
            return await status_of(self.peer, self.lock), await status_of(self.peer, self.notify)


@dataclass
class Scene:
    served: Served
    stranger: Peer
    held: FileId
    file: FileId
    first: Waiting
    second: Waiting

    async def let_go(self) -> None:
        """The stranger gives up the lock that both wait for."""
        unlock = LockRequest(self.held, (LockElement(0, 10, LockFlags.UNLOCK),))
        await self.stranger.call(Command.LOCK, unlock)


async def pending(peer: Peer, command: int, body: LockRequest | ChangeNotifyRequest) -> int:
    """The message id of a request that the server has said to be waiting."""
    message_id = await peer.send(command, body)
    assert (await peer.next_response(message_id)).header.status == Status.PENDING
    return message_id


async def status_of(peer: Peer, message_id: int) -> Status:
    return Status((await peer.final(message_id)).header.status)


@asynccontextmanager
async def scene(folder: Path) -> AsyncIterator[Scene]:
    """A session on two connections, whose opens wait for a stranger's lock and for changes."""
    async with (
        serve(folder) as served,
        logged_in(served.port, USER, PASSWORD, SHARE) as stranger,
        logged_in(served.port, USER, PASSWORD, SHARE) as first,
        connect(served.port) as second,
    ):
        held, file = await stranger.open("file"), await first.open("file")
        await stranger.call(Command.LOCK, LockRequest(held, (LockElement(0, 10, AT_ONCE),)))
        await second.bind(first, USER, PASSWORD)
        made = Scene(served, stranger, held, file, Waiting(first, 0), Waiting(second, 1))
        for waiting in (made.first, made.second):
            watched = await first.open("", desired_access=LIST)
            await waiting.begin(file, watched)
        yield made


async def test_logging_off_answers_what_waits_on_every_connection(tmp_path: Path) -> None:
    async with scene(tmp_path) as made:
        await made.first.peer.call(Command.LOGOFF, LogoffRequest())
        for waiting in (made.second, made.first):
            assert await waiting.endings() == (Status.RANGE_NOT_LOCKED, Status.NOTIFY_CLEANUP)
            waiting.peer.session_id = 0
            assert (await waiting.peer.answer(Command.ECHO, EchoRequest())).header.status == Status.SUCCESS
        assert len(made.served.server.opens) == 1
        assert len(made.served.server.sessions) == 1
        await made.let_go()
        await made.stranger.call(Command.LOCK, LockRequest(made.held, (LockElement(0, 10, AT_ONCE),)))


async def test_a_tree_disconnect_answers_what_waits_on_every_connection_and_no_more(tmp_path: Path) -> None:
    async with scene(tmp_path) as made:
        second = made.second.peer
        lost = second.tree_id
        await second.connect_tree(SHARE)
        kept = await second.open("file")
        lock = LockRequest(kept, (LockElement(2, 1, LockFlags.EXCLUSIVE_LOCK),))
        waits_on = await pending(second, Command.LOCK, lock)
        second.tree_id, stays = lost, second.tree_id
        await second.call(Command.TREE_DISCONNECT, TreeDisconnectRequest())
        for waiting in (made.first, made.second):
            assert await waiting.endings() == (Status.RANGE_NOT_LOCKED, Status.NOTIFY_CLEANUP)
        second.tree_id = stays
        await made.let_go()
        assert await status_of(second, waits_on) is Status.SUCCESS
        await second.close(kept)


async def test_a_lost_connection_ends_what_waits_on_it_and_nothing_on_the_other(tmp_path: Path) -> None:
    async with scene(tmp_path) as made:
        await made.first.peer.stream.aclose()
        with trio.fail_after(60):
            while len(made.served.server.connections) > 2:
                await trio.sleep(0.01)
        await made.let_go()
        await made.stranger.call(Command.LOCK, LockRequest(made.held, (LockElement(0, 1, AT_ONCE),)))
        await made.stranger.close(await made.stranger.open("new"))
        assert await made.second.endings() == (Status.SUCCESS, Status.SUCCESS)
        await made.second.peer.close(made.file)


async def test_both_connections_lost_at_once_leave_nothing(tmp_path: Path) -> None:
    async with scene(tmp_path) as made:
        await made.second.peer.stream.aclose()
        await made.first.peer.stream.aclose()
        with trio.fail_after(60):
            while len(made.served.server.connections) > 1:
                await trio.sleep(0.01)
        assert (len(made.served.server.opens), len(made.served.server.sessions)) == (1, 1)


async def test_a_share_that_is_encrypted_is_so_on_every_connection_and_in_breaks(tmp_path: Path) -> None:
    async with (
        serve(tmp_path, shares=[Share("sealed", encrypt_required=True)]) as served,
        logged_in(served.port, USER, PASSWORD, SHARE) as stranger,
        connect(served.port) as first,
        connect(served.port) as second,
    ):
        await first.login(USER, PASSWORD)
        await first.connect_tree("sealed")
        await second.bind(first, USER, PASSWORD)
        create = CreateRequest("file", FILE_ALL_ACCESS, SHARE_ALL, CreateDisposition.OPEN_IF)
        for peer in (first, second):
            assert (await peer.answer(Command.CREATE, create)).header.status == Status.ACCESS_DENIED
            peer.wire.sessions[peer.session_id].encrypt_data = True
        fid = await second.open("file", requested_oplock_level=BATCH)
        await first.write(fid, 0, b"sealed")
        assert await second.read(fid, 0, 10) == b"sealed"
        await stranger.send(Command.CREATE, create)
        with trio.fail_after(60):
            told = await first.stream.receive_some(1 << 16)
        assert told[4:8] == TRANSFORM_PROTOCOL_ID, (
            "the break of what is in an encrypted share came in the clear"
        )


@pytest.mark.parametrize("error", [ConnectionResetError(), PeerStalled(), trio.ClosedResourceError()])
async def test_who_is_gone_when_it_is_told_to_wait_is_dropped(
    tmp_path: Path, error: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """And its CREATE goes on for the channel that is left; it is no fault of the server."""

    async def fail(*_: object) -> None:
        raise error

    wish = DurableHandleRequestV2.NAME, DurableHandleRequestV2(60_000, 0, b"0123456789abcdef").pack()
    request = CreateRequest(
        "kept", FILE_ALL_ACCESS, SHARE_ALL, CreateDisposition.OPEN_IF, create_contexts=(wish,)
    )
    async with (
        serve(tmp_path) as served,
        logged_in(served.port, USER, PASSWORD, SHARE) as stranger,
        logged_in(served.port, USER, PASSWORD, SHARE) as first,
        connect(served.port) as second,
    ):
        await second.bind(first, USER, PASSWORD)
        session = served.server.sessions[first.session_id]
        kept = await stranger.open("kept", requested_oplock_level=BATCH)
        monkeypatch.setattr(session.connection.sender, "send", fail)
        await first.send(Command.CREATE, request)
        await until(lambda: len(session.channels) == 1)
        await stranger.close(kept)
        await until(lambda: [opened.path for opened in session.opens.values()] == ["kept"])
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
