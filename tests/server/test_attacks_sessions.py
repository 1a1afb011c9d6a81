"""Ids of sessions, tree connects and opens that are somebody else's, old, halved or guessed."""

import uuid
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import trio

from odxfs.ntstatus import Status
from odxfs.smb.closing import close_session
from odxfs.smb.paths import share_root
from odxfs.smb.settings import ServerSettings
from odxfs.types import InodeNumber
from odxfs.wire.client_connection import ClientConnection, ClientOffer
from odxfs.wire.create import CreateDisposition, CreateRequest
from odxfs.wire.echo import EchoRequest
from odxfs.wire.file_id import FileId
from odxfs.wire.framing import frame_prefix
from odxfs.wire.header import Command, Header
from odxfs.wire.negotiate import Dialect
from odxfs.wire.read import ReadRequest
from odxfs.wire.session_setup import SessionSetupRequest
from odxfs.wire.tree_connect import TreeConnectRequest
from tests.support.peer import FILE_ALL_ACCESS, Peer, Refused, connect, logged_in
from tests.support.serving import OTHER_PASSWORD, OTHER_USER, PASSWORD, SHARE, USER, serve
from tests.support.waiting import until

TREE = TreeConnectRequest(f"\\\\127.0.0.1\\{SHARE}")
CREATE = CreateRequest("file", FILE_ALL_ACCESS, 7, CreateDisposition.OPEN_IF)


async def _status(peer: Peer, fid: FileId) -> int:
    return (await peer.answer(Command.READ, ReadRequest(fid, 0, 1))).header.status


async def test_tree_connects_and_opens_of_another_session_of_one_connection(tmp_path: Path) -> None:
    async with serve(tmp_path) as served, logged_in(served.port, USER, PASSWORD, SHARE) as peer:
        fid, tree, owner = await peer.open("file"), peer.tree_id, peer.session_id
        await peer.login(OTHER_USER, OTHER_PASSWORD)
        assert (await peer.answer(Command.CREATE, CREATE)).header.status == Status.NETWORK_NAME_DELETED
        assert await _status(peer, fid) == Status.NETWORK_NAME_DELETED
        assert await peer.connect_tree(SHARE) == tree, "each session counts its own"
        assert await _status(peer, fid) == Status.FILE_CLOSED
        peer.session_id = owner
        await peer.close(fid)


async def test_half_a_file_id_is_none(tmp_path: Path) -> None:
    async with serve(tmp_path) as served, logged_in(served.port, USER, PASSWORD, SHARE) as peer:
        fid = await peer.open("file")
        for wrong in (FileId(fid.persistent ^ 1, fid.volatile), FileId(fid.persistent, fid.volatile ^ 1)):
            assert await _status(peer, wrong) == Status.FILE_CLOSED
        await peer.close(fid)


async def test_no_id_tells_another(tmp_path: Path) -> None:
    """Counters would tell how many others there are, and let an attacker guess."""
    async with serve(tmp_path) as served, logged_in(served.port, USER, PASSWORD, SHARE) as peer:
        opens = [await peer.open(f"file {number}") for number in range(8)]
        halves = sorted([*(fid.persistent for fid in opens), *(fid.volatile for fid in opens)])
        assert all(after - before > 1 << 32 for before, after in pairwise(halves))
        sessions = [peer.session_id]
        for _ in range(4):
            await peer.login(USER, PASSWORD)
            sessions.append(peer.session_id)
        sessions.sort()
        assert all(after - before > 8 for before, after in pairwise(sessions))


async def test_a_session_that_ends_while_its_client_logs_in_again_stays_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serve(tmp_path) as served, logged_in(served.port, USER, PASSWORD, SHARE) as peer:

        async def end_meanwhile(_: float) -> None:
            for session in list(served.server.sessions.values()):
                await close_session(served.server, session)

        monkeypatch.setattr("odxfs.smb.logins._wait_until", end_meanwhile)
        with pytest.raises(Refused) as refused:
            await peer.login(USER, PASSWORD, again=True)
        assert refused.value.status == Status.USER_SESSION_DELETED
        assert not served.server.sessions
        assert (await peer.answer(Command.TREE_CONNECT, TREE)).header.status == Status.USER_SESSION_DELETED


async def test_tree_connects_of_a_session_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("odxfs.smb.handlers.tree_connect.MAX_TREES_PER_SESSION", 2)
    async with serve(tmp_path) as served, logged_in(served.port, USER, PASSWORD, SHARE) as peer:
        await peer.connect_tree(SHARE)
        response = await peer.answer(Command.TREE_CONNECT, TREE)
        assert response.header.status == Status.INSUFFICIENT_RESOURCES
        await peer.open("file")


async def test_tree_connects_that_wait_together_are_counted_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("odxfs.smb.handlers.tree_connect.MAX_TREES_PER_SESSION", 2)
    waiting, go_on = 0, trio.Event()

    async def wait(*arguments: Any) -> InodeNumber:
        nonlocal waiting
        waiting += 1
        await go_on.wait()
        return await share_root(*arguments)

    async with serve(tmp_path) as served, logged_in(served.port, USER, PASSWORD, SHARE) as peer:
        await peer.call(Command.ECHO, EchoRequest())
        monkeypatch.setattr("odxfs.smb.handlers.tree_connect.share_root", wait)
        ids = [await peer.send(Command.TREE_CONNECT, TREE) for _ in range(3)]
        await until(lambda: waiting == 3)
        go_on.set()
        found = [(await peer.final(message_id)).header.status for message_id in ids]
    assert sorted(found) == [Status.SUCCESS, *[Status.INSUFFICIENT_RESOURCES] * 2]


async def test_half_logins_of_a_connection_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("odxfs.smb.logins.MAX_SESSIONS_PER_CONNECTION", 0)
    async with serve(tmp_path) as served, connect(served.port) as peer:
        response = await peer.answer(Command.SESSION_SETUP, SessionSetupRequest(b"anything"))
        assert response.header.status == Status.INSUFFICIENT_RESOURCES


async def test_a_tree_connect_that_nobody_has_signed_ends_the_connection(tmp_path: Path) -> None:
    """On 3.1.1 it proves that nobody sits in between, whether signatures are required or not."""
    settings = ServerSettings(signing_required=False, failed_login_seconds=0.0)
    async with (
        serve(tmp_path, settings) as served,
        await trio.open_tcp_stream("127.0.0.1", served.port) as stream,
    ):
        peer = Peer(stream, (Dialect.SMB_3_1_1,))
        peer.wire = ClientConnection(
            ClientOffer(uuid.uuid4().bytes, (Dialect.SMB_3_1_1,), signing_required=False)
        )
        await peer.negotiate()
        await peer.login(USER, PASSWORD)
        (message_id,) = peer.wire.account.spend([1])
        header = Header(Command.TREE_CONNECT, 1, message_id=message_id, session_id=peer.session_id)
        message = header.pack() + TREE.pack()
        await peer.stream.send_all(frame_prefix(len(message)) + message)
        with trio.fail_after(60):
            while await stream.receive_some(4096):
                pass
