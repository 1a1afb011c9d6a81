"""A login whose answer is put off, and what its connection does meanwhile."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import spnego
import trio

from odxfs.ntstatus import Status
from odxfs.smb.connection import Connection
from odxfs.wire.change_notify import ChangeNotifyRequest
from odxfs.wire.client_connection import Call, Response
from odxfs.wire.create import CreateOptions
from odxfs.wire.echo import EchoRequest
from odxfs.wire.header import Command
from odxfs.wire.session_setup import SessionSetupRequest, SessionSetupResponse
from tests.support.peer import Peer, Refused, connect, logged_in
from tests.support.serving import OTHER_PASSWORD, OTHER_USER, PASSWORD, SHARE, USER, Served, serve
from tests.support.waiting import until


@asynccontextmanager
async def _held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Served, Peer, trio.Event]]:
    """A session on a server that answers no decided login before the event."""
    released = trio.Event()

    async def wait(_: float) -> None:
        await released.wait()

    with trio.fail_after(60):
        async with serve(tmp_path) as served, logged_in(served.port, USER, PASSWORD, SHARE) as peer:
            monkeypatch.setattr("odxfs.smb.logins._wait_until", wait)
            yield served, peer, released


def _token(user: str = USER, password: str = PASSWORD) -> bytes:
    client = spnego.client(user, password, hostname="127.0.0.1", service="cifs", protocol="ntlm")
    return client.step() or b""


async def _send_leg(peer: Peer, token: bytes, session_id: int = 0) -> int:
    message_id, buffers = peer.wire.session_setup(SessionSetupRequest(token).pack(), session_id)
    await peer.stream.send_all(b"".join(buffers))
    return message_id


async def _leg(peer: Peer, token: bytes, session_id: int = 0) -> Response:
    return await peer.final(await _send_leg(peer, token, session_id))


async def _send_guess(peer: Peer, user: str, password: str) -> tuple[int, int]:
    """The message id of the last leg of a login, and its session."""
    client = spnego.client(user, password, hostname="127.0.0.1", service="cifs", protocol="ntlm")
    first = await _leg(peer, client.step() or b"")
    token = client.step(SessionSetupResponse.unpack(first.pdu).security_buffer)
    session_id = first.header.session_id
    return await _send_leg(peer, token or b"", session_id), session_id


def _connection(served: Served) -> Connection:
    (connection,) = served.server.connections
    return connection


@pytest.mark.parametrize("password", ["wrong", OTHER_PASSWORD])
async def test_the_others_of_a_connection_do_not_wait_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, password: str
) -> None:
    async with _held(tmp_path, monkeypatch) as (served, peer, released):
        message_id, session_id = await _send_guess(peer, OTHER_USER, password)
        fid = await peer.open("file")
        await peer.write(fid, 0, b"goes on")
        assert not peer.has_response(message_id)
        released.set()
        status = (await peer.final(message_id)).header.status
        assert status == (Status.SUCCESS if password == OTHER_PASSWORD else Status.LOGON_FAILURE)
        assert (session_id in served.server.sessions) is (status == Status.SUCCESS)
        assert not _connection(served).logins
        assert not _connection(served).waiting_logins


async def test_it_is_not_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else two logins, of two users, would come to an end in one session."""
    async with _held(tmp_path, monkeypatch) as (served, peer, released):
        message_id, session_id = await _send_guess(peer, OTHER_USER, OTHER_PASSWORD)
        assert (await _leg(peer, _token(), session_id)).header.status == Status.REQUEST_NOT_ACCEPTED
        released.set()
        assert (await peer.final(message_id)).header.status == Status.USER_SESSION_DELETED
        assert session_id not in served.server.sessions


async def test_one_that_has_failed_and_is_gone_on_with_has_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its session ends at once, before it has keys."""
    async with _held(tmp_path, monkeypatch) as (served, peer, released):
        message_id, session_id = await _send_guess(peer, OTHER_USER, "wrong")
        assert (await _leg(peer, _token(), session_id)).header.status == Status.REQUEST_NOT_ACCEPTED
        released.set()
        assert (await peer.final(message_id)).header.status == Status.LOGON_FAILURE
        assert session_id not in served.server.sessions
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_no_more_are_looked_at_than_may_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("odxfs.smb.logins.MAX_WAITING_LOGINS", 2)
    async with _held(tmp_path, monkeypatch) as (served, peer, released):
        waiting = [await _send_leg(peer, b"?") for _ in range(2)]
        assert (await _leg(peer, b"?")).header.status == Status.INSUFFICIENT_RESOURCES
        with pytest.raises(Refused) as refused:
            await peer.login(USER, PASSWORD, again=True)
        assert refused.value.status == Status.INSUFFICIENT_RESOURCES
        assert len(served.server.sessions) == 3, "no session is left of what was not looked at"
        await peer.open("file")
        released.set()
        for message_id in waiting:
            assert (await peer.final(message_id)).header.status == Status.LOGON_FAILURE
        await peer.login(USER, PASSWORD, again=True)


async def test_a_client_that_is_gone_keeps_nothing_open_until_it_is_due(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with _held(tmp_path, monkeypatch) as (served, peer, _):
        await peer.open("file", share_access=0)
        for _ in range(30):
            await _send_leg(peer, b"?")
        await peer.stream.aclose()
        await until(lambda: not served.server.connections)
        assert len(served.server.opens) == 0
        assert not served.server.sessions


async def test_a_login_that_is_refused_for_want_of_room_leaves_no_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serve(tmp_path) as served, logged_in(served.port, USER, PASSWORD, SHARE) as peer:
        monkeypatch.setattr("odxfs.smb.logins.MAX_SESSIONS_PER_CONNECTION", 0)
        for _ in range(3):
            assert (await _leg(peer, _token())).header.status == Status.INSUFFICIENT_RESOURCES
        assert list(served.server.sessions) == [peer.session_id]
        assert list(_connection(served).sessions) == [peer.session_id]


async def test_a_login_that_is_not_gone_on_with_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("odxfs.smb.logins.LOGIN_SECONDS", 0.05)
    async with serve(tmp_path) as served, logged_in(served.port, USER, PASSWORD, SHARE) as peer:
        for _ in range(2):
            sessions = [(await _leg(peer, _token())).header.session_id for _ in range(3)]
            await until(lambda: list(served.server.sessions) == [peer.session_id])
            assert not _connection(served).logins
            for session_id in sessions:
                assert (await _leg(peer, _token(), session_id)).header.status == Status.USER_SESSION_DELETED
        await peer.open("file")


async def test_so_is_one_that_has_begun_before_another_succeeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("odxfs.smb.logins.LOGIN_SECONDS", 0.05)
    async with serve(tmp_path) as served, connect(served.port) as peer:
        await _leg(peer, _token())
        await peer.login(USER, PASSWORD)
        await until(lambda: list(served.server.sessions) == [peer.session_id])


async def test_a_repeated_login_that_is_not_gone_on_with_leaves_the_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serve(tmp_path) as served, logged_in(served.port, USER, PASSWORD, SHARE) as peer:
        with monkeypatch.context() as patch:
            patch.setattr("odxfs.smb.logins.LOGIN_SECONDS", 0.05)
            answer = await _leg(peer, _token(), peer.session_id)
        assert answer.header.status == Status.MORE_PROCESSING_REQUIRED
        await until(lambda: not _connection(served).logins)
        await peer.open("file")
        await peer.login(USER, PASSWORD, again=True)
        await peer.open("file")


async def test_a_binding_that_is_not_gone_on_with_can_be_begun_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        serve(tmp_path) as served,
        logged_in(served.port, USER, PASSWORD, SHARE) as owner,
        logged_in(served.port, USER, PASSWORD, SHARE) as peer,
    ):
        keys = owner.wire.sessions[owner.session_id]
        with monkeypatch.context() as patch:
            patch.setattr("odxfs.smb.logins.LOGIN_SECONDS", 0.05)
            answer = await peer.bind_leg(owner.session_id, _token(), keys)
        assert answer.header.status == Status.MORE_PROCESSING_REQUIRED
        await until(lambda: not any(connection.logins for connection in served.server.connections))
        await peer.bind(owner, USER, PASSWORD)
        await peer.open("file")


async def test_what_waits_behind_a_login_in_one_frame_waits_alone(tmp_path: Path) -> None:
    with trio.fail_after(60):
        async with serve(tmp_path) as served:
            async with logged_in(served.port, USER, PASSWORD, SHARE) as peer:
                folder = await peer.open(
                    "folder", create_options=CreateOptions.DIRECTORY_FILE, share_access=0
                )
                watch = ChangeNotifyRequest(folder, 1, 4096).pack()
                ids, buffers = peer.wire.compound(
                    [
                        Call(
                            Command.SESSION_SETUP,
                            SessionSetupRequest(_token()).pack(),
                            None,
                            0,
                            peer.session_id,
                        ),
                        Call(Command.CHANGE_NOTIFY, watch, None, peer.tree_id, peer.session_id),
                    ]
                )
                await peer.stream.send_all(b"".join(buffers))
                interim = await peer.next_response(ids[1])
                assert interim.interim
                await peer.call(Command.ECHO, EchoRequest())
                await peer.cancel(ids[1], interim.header.async_id)
                assert (await peer.final(ids[1])).header.status == Status.CANCELLED
            await until(lambda: not served.server.connections)
            assert len(served.server.opens) == 0
