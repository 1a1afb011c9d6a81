"""Sessions on several connections, as their client and as somebody who would like to be on them meet them."""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import spnego
import trio

from odxfs.ntstatus import Status
from odxfs.smb.limits import MAX_CHANNELS_PER_SESSION
from odxfs.smb.settings import Encryption, ServerSettings
from odxfs.types import Buffer
from odxfs.wire.change_notify import ChangeNotifyRequest
from odxfs.wire.crypto.signing import AesGmacSigner
from odxfs.wire.echo import EchoRequest
from odxfs.wire.header import Command
from odxfs.wire.logoff import LogoffRequest
from odxfs.wire.negotiate import Dialect
from odxfs.wire.negotiation import SERVED_DIALECTS
from odxfs.wire.session_setup import SessionSetupFlags, SessionSetupRequest
from tests.support.peer import Peer, Refused, connect, logged_in
from tests.support.serving import OTHER_PASSWORD, OTHER_USER, PASSWORD, SHARE, USER, Served, serve

WHOLE_TREE, NAMES = 1, 0x3


async def _gone(served: Served, count: int) -> None:
    """Wait until only `count` connections are left."""
    with trio.fail_after(60):
        while len(served.server.connections) > count:
            await trio.sleep(0.01)


async def _check_refused(
    owner: Peer, peer: Peer, status: Status, user: str = USER, password: str = PASSWORD
) -> None:
    """The binding fails with `status` and harms neither the session nor, for other things, the connection."""
    fid = await owner.open("file")
    with pytest.raises(Refused) as refused:
        await peer.bind(owner, user, password)
    assert refused.value.status == status
    await owner.write(fid, 0, b"unharmed")
    assert await owner.read(fid, 0, 10) == b"unharmed"
    await owner.close(fid)
    peer.session_id = 0
    assert (await peer.answer(Command.ECHO, EchoRequest())).header.status == Status.SUCCESS


@pytest.mark.parametrize("dialect", [Dialect.SMB_3_0, Dialect.SMB_3_0_2, Dialect.SMB_3_1_1])
@pytest.mark.parametrize("encryption", [Encryption.OFF, Encryption.REQUIRED])
async def test_what_is_opened_on_one_connection_is_used_on_another(
    tmp_path: Path, dialect: int, encryption: Encryption
) -> None:
    settings = ServerSettings(encryption=encryption)
    async with (
        serve(tmp_path, settings) as served,
        logged_in(served.port, USER, PASSWORD, SHARE, [dialect]) as first,
        connect(served.port, [dialect]) as second,
    ):
        fid = await first.open("file")
        await second.bind(first, USER, PASSWORD)
        await second.write(fid, 0, b"second")
        assert await first.read(fid, 0, 10) == b"second"
        other = await second.open("other")
        await first.close(other)
        await second.login(USER, PASSWORD, again=True)
        assert await second.read(fid, 0, 10) == b"second"


async def test_two_connections_never_sign_with_one_nonce(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AES-GMAC takes its nonce from the message id, which each connection counts for itself."""
    signed: list[tuple[AesGmacSigner, int, bool, bool]] = []
    sign = AesGmacSigner.sign

    def watch(
        signer: AesGmacSigner, pieces: Sequence[Buffer], message_id: int, from_server: bool, cancel: bool
    ) -> bytes:
        signed.append((signer, message_id, from_server, cancel))
        return sign(signer, pieces, message_id, from_server, cancel)

    monkeypatch.setattr(AesGmacSigner, "sign", watch)
    async with (
        serve(tmp_path) as served,
        logged_in(served.port, USER, PASSWORD, SHARE) as first,
        connect(served.port) as second,
    ):
        await second.bind(first, USER, PASSWORD)
        for peer in (first, second) * 3:
            await peer.close(await peer.open("file"))
    assert len(signed) > 40
    assert len(set(signed)) == len(signed)


async def test_a_lost_connection_leaves_the_session_to_the_others(tmp_path: Path) -> None:
    async with serve(tmp_path) as served:
        async with connect(served.port) as second:
            async with logged_in(served.port, USER, PASSWORD, SHARE) as first:
                fid = await first.open("file", share_access=0)
                folder = await first.open("", desired_access=0x1, share_access=7)
                await first.send(Command.CHANGE_NOTIFY, ChangeNotifyRequest(folder, NAMES, 4096, WHOLE_TREE))
                await second.bind(first, USER, PASSWORD)
            await _gone(served, 1)
            await second.write(fid, 0, b"alive")
            assert await second.read(fid, 0, 10) == b"alive"
            assert len(served.server.sessions) == 1
        await _gone(served, 0)
        assert not served.server.sessions
        assert len(served.server.opens) == 0


async def test_logging_off_on_one_connection_ends_the_session_on_all(tmp_path: Path) -> None:
    async with (
        serve(tmp_path) as served,
        logged_in(served.port, USER, PASSWORD, SHARE) as first,
        connect(served.port) as second,
    ):
        await second.bind(first, USER, PASSWORD)
        await second.call(Command.LOGOFF, LogoffRequest())
        for peer in (first, second):
            response = await peer.answer(Command.LOGOFF, LogoffRequest())
            assert response.header.status == Status.USER_SESSION_DELETED
        assert len(served.server.opens) == 0


async def test_who_has_not_the_sessions_key_cannot_bind(tmp_path: Path) -> None:
    async with (
        serve(tmp_path) as served,
        logged_in(served.port, USER, PASSWORD, SHARE) as owner,
        logged_in(served.port, USER, PASSWORD, SHARE) as thief,
    ):
        own = thief.wire.sessions[thief.session_id]
        fid = await owner.open("file")
        async with connect(served.port) as peer:
            with pytest.raises(Refused) as refused:
                await peer.bind(owner, USER, PASSWORD, signer=own)
            assert refused.value.status == Status.ACCESS_DENIED
            own.signing_required = False
            with pytest.raises(Refused) as refused:
                await peer.bind(owner, USER, PASSWORD, signer=own)
            assert refused.value.status == Status.INVALID_PARAMETER, "not signed at all"
        await owner.write(fid, 0, b"unharmed")


@pytest.mark.parametrize(
    ("user", "password", "status"),
    [
        (USER, "wrong", Status.LOGON_FAILURE),
        ("nobody", PASSWORD, Status.LOGON_FAILURE),
        (OTHER_USER, OTHER_PASSWORD, Status.ACCESS_DENIED),
    ],
)
async def test_only_its_own_user_may_bind_to_a_session(
    tmp_path: Path, user: str, password: str, status: Status
) -> None:
    async with (
        serve(tmp_path) as served,
        logged_in(served.port, USER, PASSWORD, SHARE) as owner,
        connect(served.port) as peer,
    ):
        await _check_refused(owner, peer, status, user, password)
        await peer.bind(owner, USER, PASSWORD)
        await peer.open("file")


@pytest.mark.parametrize(
    ("first", "second", "status"),
    [
        (Dialect.SMB_2_1, Dialect.SMB_2_1, Status.REQUEST_NOT_ACCEPTED),
        (Dialect.SMB_3_0, Dialect.SMB_2_1, Status.REQUEST_NOT_ACCEPTED),
        (Dialect.SMB_3_0, Dialect.SMB_3_0_2, Status.INVALID_PARAMETER),
        (Dialect.SMB_2_1, Dialect.SMB_3_0, Status.INVALID_PARAMETER),
        (Dialect.SMB_3_1_1, Dialect.SMB_3_0, Status.REQUEST_OUT_OF_SEQUENCE),
        (Dialect.SMB_3_0, Dialect.SMB_3_1_1, Status.NOT_SUPPORTED),
    ],
)
async def test_connections_of_one_session_speak_alike(
    tmp_path: Path, first: int, second: int, status: Status
) -> None:
    async with (
        serve(tmp_path) as served,
        logged_in(served.port, USER, PASSWORD, SHARE, [first]) as owner,
        connect(served.port, [second]) as peer,
    ):
        await _check_refused(owner, peer, status)


async def test_a_session_that_is_not_there_or_whose_login_is_half_done(tmp_path: Path) -> None:
    async with (
        serve(tmp_path) as served,
        logged_in(served.port, USER, PASSWORD, SHARE) as owner,
        connect(served.port) as peer,
    ):
        await owner.call(Command.LOGOFF, LogoffRequest())
        with pytest.raises(Refused) as refused:
            await peer.bind(owner, USER, PASSWORD)
        assert refused.value.status == Status.USER_SESSION_DELETED
        async with connect(served.port) as half:
            token = spnego.client(USER, PASSWORD, hostname="h", service="cifs", protocol="ntlm").step() or b""
            begun = await half.answer(Command.SESSION_SETUP, SessionSetupRequest(token))
            assert begun.header.status == Status.MORE_PROCESSING_REQUIRED
            peer.session_id = begun.header.session_id
            binding = SessionSetupRequest(token, flags=SessionSetupFlags.BINDING)
            answer = await peer.answer(Command.SESSION_SETUP, binding)
            assert answer.header.status == Status.REQUEST_NOT_ACCEPTED


async def test_a_connection_is_bound_to_so_many_sessions_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many as could log in on it."""
    monkeypatch.setattr("odxfs.smb.binding.MAX_SESSIONS_PER_CONNECTION", 2)
    async with serve(tmp_path) as served, connect(served.port) as peer, AsyncExitStack() as stack:
        owners = [
            await stack.enter_async_context(logged_in(served.port, USER, PASSWORD, SHARE)) for _ in range(3)
        ]
        for owner in owners[:2]:
            await peer.bind(owner, USER, PASSWORD)
        await _check_refused(owners[2], peer, Status.INSUFFICIENT_RESOURCES)
        peer.session_id, peer.tree_id = owners[0].session_id, owners[0].tree_id
        await peer.close(await peer.open("file"))


async def test_bindings_that_fail_leave_nothing_of_their_logins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each session's would count against those that may be half done on a connection."""
    monkeypatch.setattr("odxfs.wire.server_outbound.MAX_LOGINS", 2)
    async with serve(tmp_path) as served, connect(served.port) as peer, AsyncExitStack() as stack:
        for _ in range(4):
            owner = await stack.enter_async_context(logged_in(served.port, USER, PASSWORD, SHARE))
            await _check_refused(owner, peer, Status.LOGON_FAILURE, password="wrong")
        await peer.login(USER, PASSWORD)


async def test_a_session_has_so_many_connections_and_no_more(tmp_path: Path) -> None:
    async with (
        serve(tmp_path) as served,
        logged_in(served.port, USER, PASSWORD, SHARE, SERVED_DIALECTS) as owner,
        AsyncExitStack() as stack,
    ):
        for _ in range(MAX_CHANNELS_PER_SESSION - 1):
            peer = await stack.enter_async_context(connect(served.port))
            await peer.bind(owner, USER, PASSWORD)
        await _check_refused(
            owner, await stack.enter_async_context(connect(served.port)), Status.INSUFFICIENT_RESOURCES
        )
