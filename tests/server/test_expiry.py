"""A session whose ticket is over, until its client logs in again."""

from pathlib import Path

import pytest
import trio
import trio.testing

from odxfs.ntstatus import Status
from odxfs.wire.create import CreateDisposition, CreateRequest, OplockLevel
from odxfs.wire.header import Command
from odxfs.wire.lock import LockElement, LockFlags, LockRequest
from odxfs.wire.read import ReadRequest
from tests.support.peer import FILE_ALL_ACCESS, Refused, logged_in
from tests.support.serving import OTHER_PASSWORD, OTHER_USER, PASSWORD, SHARE, USER, serve

_NOW = LockFlags.EXCLUSIVE_LOCK | LockFlags.FAIL_IMMEDIATELY


async def test_an_expired_session_goes_on_after_another_login(tmp_path: Path) -> None:
    async with serve(tmp_path) as served, logged_in(served.port, USER, PASSWORD, SHARE) as peer:
        kept, other = await peer.open("kept"), await peer.open("other")
        await peer.write(kept, 0, b"data")
        await peer.call(Command.LOCK, LockRequest(kept, (LockElement(0, 1, _NOW),)))
        served.server.expiry.renew(served.server.sessions[peer.session_id], trio.current_time())
        await trio.testing.wait_all_tasks_blocked()
        for command, body in (
            (Command.READ, ReadRequest(kept, 0, 4)),
            (Command.CREATE, CreateRequest("new", FILE_ALL_ACCESS, 7, CreateDisposition.OPEN_IF)),
            (Command.LOCK, LockRequest(kept, (LockElement(8, 1, _NOW),))),
        ):
            assert (await peer.answer(command, body)).header.status == Status.NETWORK_SESSION_EXPIRED
        await peer.call(Command.LOCK, LockRequest(kept, (LockElement(0, 1, LockFlags.UNLOCK),)))
        await peer.close(other)
        with pytest.raises(Refused):
            await peer.login(OTHER_USER, OTHER_PASSWORD, again=True)
        response = await peer.answer(Command.READ, ReadRequest(kept, 0, 4))
        assert response.header.status == Status.NETWORK_SESSION_EXPIRED, "another user's login renews nothing"
        await peer.login(USER, PASSWORD, again=True)
        assert await peer.read(kept, 0, 4) == b"data"


async def test_a_create_that_waits_while_its_session_expires_says_so(tmp_path: Path) -> None:
    """Its client logs in again, and does not think that all it has open is lost."""
    async with (
        serve(tmp_path) as served,
        logged_in(served.port, USER, PASSWORD, SHARE) as holder,
        logged_in(served.port, USER, PASSWORD, SHARE) as peer,
    ):
        held = await holder.open("file", requested_oplock_level=OplockLevel.BATCH)
        opening = await peer.send(Command.CREATE, CreateRequest("file", FILE_ALL_ACCESS, 7))
        assert (await peer.next_response(opening)).interim
        served.server.expiry.renew(served.server.sessions[peer.session_id], trio.current_time())
        await trio.testing.wait_all_tasks_blocked()
        await holder.close(held)
        assert (await peer.final(opening)).header.status == Status.NETWORK_SESSION_EXPIRED
