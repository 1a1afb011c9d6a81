"""Logging in and out, as a client and as somebody who should not get in meet it."""

import contextlib
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import trio

from odxfs.ntstatus import Status
from odxfs.smb.settings import Encryption, ServerSettings
from odxfs.smb.shares import Share
from odxfs.wire.client_connection import Call
from odxfs.wire.create import CreateDisposition, CreateRequest
from odxfs.wire.echo import EchoRequest
from odxfs.wire.header import PROTOCOL_ID, Command
from odxfs.wire.logoff import LogoffRequest
from odxfs.wire.negotiate import Dialect
from odxfs.wire.negotiation import SERVED_DIALECTS
from odxfs.wire.read import ReadRequest
from odxfs.wire.tree_connect import ShareFlags, TreeConnectRequest, TreeConnectResponse
from odxfs.wire.tree_disconnect import TreeDisconnectRequest
from tests.support.peer import FILE_ALL_ACCESS, Peer, Refused, connect, logged_in
from tests.support.serving import OTHER_PASSWORD, OTHER_USER, PASSWORD, SHARE, USER, serve

TREE = TreeConnectRequest(f"\\\\127.0.0.1\\{SHARE}")
CREATE = CreateRequest("file", FILE_ALL_ACCESS, 7, CreateDisposition.OPEN_IF)


async def _nothing_works(peer: Peer) -> None:
    for command, body in (
        (Command.TREE_CONNECT, TREE),
        (Command.CREATE, CREATE),
        (Command.LOGOFF, LogoffRequest()),
    ):
        response = await peer.answer(command, body)
        assert response.header.status == Status.USER_SESSION_DELETED, command


async def test_nothing_works_before_a_login(tmp_path: Path) -> None:
    async with serve(tmp_path) as served, connect(served.port) as peer:
        await _nothing_works(peer)
        assert (await peer.answer(Command.ECHO, EchoRequest())).header.status == Status.SUCCESS


@pytest.mark.parametrize(("user", "password"), [(USER, "wrong"), ("nobody", PASSWORD), (USER, "")])
async def test_a_failed_login_opens_nothing(tmp_path: Path, user: str, password: str) -> None:
    async with serve(tmp_path) as served, connect(served.port) as peer:
        with pytest.raises(Refused) as refused:
            await peer.login(user, password)
        assert refused.value.status == Status.LOGON_FAILURE
        await _nothing_works(peer)
        for session_id in range(1, 4):
            peer.session_id = session_id
            await _nothing_works(peer)
        assert not served.server.sessions
        peer.session_id = 0
        await peer.login(USER, PASSWORD)
        await peer.connect_tree(SHARE)


async def test_a_session_of_another_connection_is_of_no_use(tmp_path: Path) -> None:
    async with (
        serve(tmp_path) as served,
        logged_in(served.port, USER, PASSWORD, SHARE) as owner,
        connect(served.port) as thief,
    ):
        thief.session_id, thief.tree_id = owner.session_id, owner.tree_id
        await _nothing_works(thief)
        await owner.open("still mine")


async def test_an_open_of_another_session_is_of_no_use(tmp_path: Path) -> None:
    async with (
        serve(tmp_path) as served,
        logged_in(served.port, USER, PASSWORD, SHARE) as owner,
        logged_in(served.port, OTHER_USER, OTHER_PASSWORD, SHARE) as thief,
    ):
        fid = await owner.open("secret")
        response = await thief.answer(Command.READ, ReadRequest(fid, 0, 10))
        assert response.header.status == Status.FILE_CLOSED


async def test_logging_off_ends_everything_of_the_session(tmp_path: Path) -> None:
    async with serve(tmp_path) as served, logged_in(served.port, USER, PASSWORD, SHARE) as peer:
        await peer.open("one")
        await peer.open("two")
        await peer.call(Command.LOGOFF, LogoffRequest())
        assert len(served.server.registry) == 0
        assert len(served.server.opens) == 0
        assert not served.server.sessions
        await _nothing_works(peer)


async def test_a_tree_connect_ends_with_its_opens(tmp_path: Path) -> None:
    async with serve(tmp_path) as served, logged_in(served.port, USER, PASSWORD, SHARE) as peer:
        fid = await peer.open("one")
        first = peer.tree_id
        second = await peer.connect_tree(SHARE)
        kept = await peer.open("two")
        response = await peer.answer(Command.READ, ReadRequest(fid, 0, 1))
        assert response.header.status == Status.FILE_CLOSED, "an open belongs to its tree connect"
        peer.tree_id = first
        await peer.call(Command.TREE_DISCONNECT, TreeDisconnectRequest())
        assert (await peer.answer(Command.CREATE, CREATE)).header.status == Status.NETWORK_NAME_DELETED
        peer.tree_id = second
        await peer.close(kept)
        assert len(served.server.opens) == 0


async def test_a_lost_connection_closes_everything_and_deletes_on_close(tmp_path: Path) -> None:
    async with serve(tmp_path) as served:
        async with logged_in(served.port, USER, PASSWORD, SHARE) as peer:
            await peer.open("kept")
            await peer.open("temporary", create_options=0x1000)
        with trio.fail_after(60):
            while served.server.connections:
                await trio.sleep(0.01)
        assert len(served.server.opens) == 0
        names = [entry.name for entry in await served.volume.list_directory(served.volume.root)]
        assert names == [b"kept"]


async def test_a_client_that_comes_back_ends_its_lost_session(tmp_path: Path) -> None:
    async with serve(tmp_path) as served, logged_in(served.port, USER, PASSWORD, SHARE) as old:
        await old.open("file", share_access=0)
        async with connect(served.port) as stranger:
            await stranger.login(OTHER_USER, OTHER_PASSWORD, previous=old.session_id)
            await old.open("another")
        async with connect(served.port) as again:
            await again.login(USER, PASSWORD, previous=old.session_id)
            await again.connect_tree(SHARE)
            await again.open("file", share_access=0)
        response = await old.answer(Command.CREATE, CREATE)
        assert response.header.status == Status.USER_SESSION_DELETED


async def test_a_share_that_is_not_there(tmp_path: Path) -> None:
    async with serve(tmp_path) as served, connect(served.port) as peer:
        await peer.login(USER, PASSWORD)
        with pytest.raises(Refused) as refused:
            await peer.connect_tree("nothing")
        assert refused.value.status == Status.BAD_NETWORK_NAME
        await peer.connect_tree(SHARE.upper())


async def test_a_server_that_demands_encryption(tmp_path: Path) -> None:
    settings = ServerSettings(encryption=Encryption.REQUIRED)
    async with serve(tmp_path, settings) as served:
        async with logged_in(served.port, USER, PASSWORD, SHARE) as peer:
            assert peer.wire.sessions[peer.session_id].encrypt_data
            fid = await peer.open("file")
            await peer.write(fid, 0, b"sealed")
            assert await peer.read(fid, 0, 10) == b"sealed"
        async with connect(served.port, [Dialect.SMB_2_1]) as old:
            with pytest.raises(Refused) as refused:
                await old.login(USER, PASSWORD)
            assert refused.value.status == Status.ACCESS_DENIED


async def test_a_share_that_demands_encryption_refuses_plain_requests(tmp_path: Path) -> None:
    shares = [Share("sealed", encrypt_required=True)]
    async with serve(tmp_path, shares=shares) as served:
        async with connect(served.port) as peer:
            await peer.login(USER, PASSWORD)
            await peer.connect_tree("sealed")
            assert (await peer.answer(Command.CREATE, CREATE)).header.status == Status.ACCESS_DENIED
        async with connect(served.port, [Dialect.SMB_2_1]) as old:
            await old.login(USER, PASSWORD)
            with pytest.raises(Refused) as refused:
                await old.connect_tree("sealed")
            assert refused.value.status == Status.ACCESS_DENIED


async def test_who_asks_plainly_is_told_plainly_that_a_share_demands_encryption(tmp_path: Path) -> None:
    """Also where the same frame has a request that uses the share already."""
    async with (
        serve(tmp_path, shares=[Share("sealed", encrypt_required=True)]) as served,
        connect(served.port) as peer,
    ):
        await peer.login(USER, PASSWORD)
        await peer.call(Command.ECHO, EchoRequest())
        connect_tree = TreeConnectRequest("\\\\127.0.0.1\\sealed").pack()
        calls = [
            Call(Command.TREE_CONNECT, connect_tree, session_id=peer.session_id),
            Call(Command.CREATE, CREATE.pack(), session_id=peer.session_id, related=True),
        ]
        ids, buffers = peer.wire.compound(calls)
        await peer.stream.send_all(b"".join(buffers))
        frame = await peer.stream.receive_some(65536)
        assert frame[4:8] == PROTOCOL_ID
        told, refused = peer.wire.receive(frame)
        assert [told.header.message_id, refused.header.message_id] == ids
        assert (told.header.status, refused.header.status) == (Status.SUCCESS, Status.ACCESS_DENIED)
        assert TreeConnectResponse.unpack(told.pdu).share_flags & ShareFlags.ENCRYPT_DATA


async def test_a_connection_without_a_login_is_closed_after_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("odxfs.smb.connection.LOGIN_SECONDS", 0.05)
    async with serve(tmp_path) as served, await trio.open_tcp_stream("127.0.0.1", served.port) as stream:
        with trio.fail_after(60), contextlib.suppress(trio.BrokenResourceError):
            await stream.send_all(b"".join(Peer(stream, SERVED_DIALECTS).wire.negotiate()[1]))
            while await stream.receive_some():  # the answer, when the server has got to it by then
                pass
        assert not served.server.connections


async def test_too_many_sessions_on_one_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("odxfs.smb.handlers.session_setup.MAX_SESSIONS_PER_CONNECTION", 2)
    async with serve(tmp_path) as served, connect(served.port) as peer:
        await peer.login(USER, PASSWORD)
        await peer.login(OTHER_USER, OTHER_PASSWORD)
        with pytest.raises(Refused) as refused:
            await peer.login(USER, PASSWORD)
        assert refused.value.status == Status.INSUFFICIENT_RESOURCES


async def test_connections_without_a_login_make_room_for_new_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("odxfs.smb.listener.MAX_UNAUTHENTICATED_CONNECTIONS", 2)
    monkeypatch.setattr("odxfs.smb.connection.LOGIN_SECONDS", 3600.0)  # else that ends it, too
    async with (
        serve(tmp_path) as served,
        connect(served.port) as first,
        connect(served.port),
        connect(served.port),
    ):
        with trio.fail_after(60):
            assert await first.closed_by_server()
        async with logged_in(served.port, USER, PASSWORD, SHARE) as peer:
            await peer.open("in")


async def test_who_floods_the_server_with_connections_drives_out_himself_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("odxfs.smb.listener.MAX_UNAUTHENTICATED_CONNECTIONS", 3)
    async with (
        serve(tmp_path) as served,
        connect(served.port, address="127.0.0.2") as honest,
        contextlib.AsyncExitStack() as flood,
    ):
        for _ in range(6):
            await flood.enter_async_context(connect(served.port))
        await honest.login(USER, PASSWORD)
        await honest.connect_tree(SHARE)


async def test_dropping_the_connection_does_not_hasten_the_next_guess(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody sleeps; what counts is the moment that an answer is put off to, too far away for the test's own time to matter."""
    answered: list[float] = []
    delay = 1_000_000.0

    async def wait(moment: float) -> None:
        answered.append(moment)

    monkeypatch.setattr("odxfs.smb.logins._wait_until", wait)
    async with serve(tmp_path, ServerSettings(failed_login_seconds=delay)) as served:
        started = trio.current_time()
        for user, password in ((USER, "wrong"), (USER.upper(), "guess"), (f"{USER}@realm", PASSWORD)):
            async with connect(served.port) as peer:
                with contextlib.suppress(Refused):
                    await peer.login(user, password)
        async with connect(served.port) as peer:
            await peer.login(OTHER_USER, OTHER_PASSWORD)
    first, second, right, other = answered
    assert started + delay <= first
    assert second == first + delay, "behind the first, whatever connection it came on"
    assert right == second, "a right password waits as well"
    assert other < first, "another user does not"


async def test_an_attempt_too_many_fails_with_the_right_password_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("odxfs.smb.auth.login_delays.MAX_WAITING_ATTEMPTS", 0)
    monkeypatch.setattr("odxfs.smb.logins._wait_until", _no_wait)
    async with serve(tmp_path, ServerSettings(failed_login_seconds=1_000_000.0)) as served:
        for password in ("wrong", PASSWORD):
            async with connect(served.port) as peer:
                with pytest.raises(Refused) as refused:
                    await peer.login(USER, password)
                assert refused.value.status == Status.LOGON_FAILURE
        assert not served.server.sessions


async def _no_wait(moment: float) -> None:
    pass


async def test_connections_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("odxfs.smb.listener.MAX_CONNECTIONS", 1)
    monkeypatch.setattr("odxfs.smb.connection.LOGIN_SECONDS", 3600.0)  # else that ends it, too
    async with serve(tmp_path) as served, logged_in(served.port, USER, PASSWORD, SHARE) as peer:
        async with await trio.open_tcp_stream("127.0.0.1", served.port) as stream:
            with trio.fail_after(60):
                assert await stream.receive_some(1) == b""
        await peer.open("the first one is served")


async def test_who_has_not_logged_in_makes_room_when_all_places_are_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("odxfs.smb.listener.MAX_CONNECTIONS", 2)
    monkeypatch.setattr("odxfs.smb.connection.LOGIN_SECONDS", 3600.0)  # else that ends it, too
    async with (
        serve(tmp_path) as served,
        logged_in(served.port, USER, PASSWORD, SHARE) as first,
        connect(served.port) as idle,
        logged_in(served.port, USER, PASSWORD, SHARE) as second,
    ):
        with trio.fail_after(60):
            assert await idle.closed_by_server()
        await first.open("the first one is served")
        await second.open("the second, too")


async def test_as_many_log_in_at_the_same_moment_as_a_cluster_has_hosts(tmp_path: Path) -> None:
    async with serve(tmp_path) as served, AsyncExitStack() as stack:
        peers = [await stack.enter_async_context(connect(served.port)) for _ in range(300)]
        await peers[0].login(USER, PASSWORD)
        await peers[-1].login(USER, PASSWORD)
        assert len(served.server.connections) == len(peers)


async def test_a_damaged_file_of_shares_is_logged_and_repaired_in_place(
    tmp_path: Path, expect_log: Callable[[str], None]
) -> None:
    expect_log("no share can be connected")
    async with serve(tmp_path) as served, connect(served.port) as peer:
        await peer.login(USER, PASSWORD)
        good = (tmp_path / "shares.json").read_text()
        (tmp_path / "shares.json").write_text("{")
        with pytest.raises(Refused) as refused:
            await peer.connect_tree(SHARE)
        assert refused.value.status == Status.BAD_NETWORK_NAME
        (tmp_path / "shares.json").write_text(good)
        await peer.connect_tree(SHARE)
