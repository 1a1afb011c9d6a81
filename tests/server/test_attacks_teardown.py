"""A client that goes away in the middle of what it asked for leaves nothing open behind it."""

from pathlib import Path

import pytest
import trio

from odxfs.errors import FileTooBig
from odxfs.ntstatus import Status
from odxfs.smb.closing import close_session
from odxfs.smb.opens import SmbOpen
from odxfs.smb.request import RequestContext
from odxfs.smb.stream_opening import open_path
from odxfs.volume import Inode, Volume
from odxfs.wire.create import CreateAction, CreateDisposition, CreateRequest
from odxfs.wire.header import Command
from odxfs.wire.lock import LockElement, LockFlags, LockRequest
from odxfs.wire.logoff import LogoffRequest
from tests.support.peer import FILE_ALL_ACCESS, Peer, logged_in
from tests.support.serving import PASSWORD, SHARE, USER, Served, serve

FILES = 20


async def _open_locked_files(peer: Peer) -> None:
    """Opens whose ends take several steps of the server's: whoever waits for one's lock has its turn after each."""
    for number in range(FILES):
        fid = await peer.open(f"file {number}")
        await peer.call(Command.LOCK, LockRequest(fid, (LockElement(0, 1, LockFlags.EXCLUSIVE_LOCK),)))


async def _expect_nothing_open(served: Served) -> None:
    with trio.fail_after(60):
        while served.server.connections:
            await trio.sleep(0.01)
    assert len(served.server.opens) == 0
    assert len(served.server.registry) == 0


async def test_a_connection_lost_during_logoff_leaves_no_open(tmp_path: Path) -> None:
    async with serve(tmp_path) as served:
        async with logged_in(served.port, USER, PASSWORD, SHARE) as peer:
            await _open_locked_files(peer)
            await peer.send(Command.LOGOFF, LogoffRequest())
        await _expect_nothing_open(served)


async def test_a_session_that_ends_during_a_create_gets_no_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def open_and_lose(context: RequestContext, request: CreateRequest) -> tuple[SmbOpen, CreateAction]:
        found = await open_path(context, request)
        await close_session(context.server, context.session)
        return found

    monkeypatch.setattr("odxfs.smb.handlers.create.open_path", open_and_lose)
    async with serve(tmp_path) as served, logged_in(served.port, USER, PASSWORD, SHARE) as peer:
        request = CreateRequest("file", FILE_ALL_ACCESS, 7, CreateDisposition.CREATE)
        response = await peer.answer(Command.CREATE, request)
        assert response.header.status == Status.USER_SESSION_DELETED
        assert len(served.server.registry) == len(served.server.opens) == 0


async def test_a_create_that_fails_after_its_session_ended_gives_its_hold_back_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serve(tmp_path) as served:
        inode = await served.volume.create(served.volume.root, b"file", 0o644, 0, 0)
        served.volume.hold(inode)

        async def end_and_fail(volume: Volume, inode: Inode, size: int) -> None:
            for session in list(served.server.sessions.values()):
                await close_session(served.server, session)
            raise FileTooBig("no")

        monkeypatch.setattr(Volume, "truncate", end_and_fail)
        async with logged_in(served.port, USER, PASSWORD, SHARE) as peer:
            request = CreateRequest("file", FILE_ALL_ACCESS, 7, CreateDisposition.OVERWRITE)
            response = await peer.answer(Command.CREATE, request)
        assert response.header.status == Status.INVALID_PARAMETER
        assert inode.holds == 1
        await served.volume.release(inode)
