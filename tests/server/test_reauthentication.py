"""Logging in again to a session that stands, and failing to (MS-SMB2 3.3.5.5.3)."""

from pathlib import Path

import pytest

from odxfs.ntstatus import Status
from odxfs.smb.settings import Encryption, ServerSettings
from odxfs.wire.change_notify import ChangeNotifyRequest
from odxfs.wire.header import Command
from odxfs.wire.read import ReadRequest
from tests.support.peer import Peer, Refused, connect, logged_in
from tests.support.serving import OTHER_PASSWORD, OTHER_USER, PASSWORD, SHARE, USER, serve

WHOLE_TREE, NAMES = 1, 0x3


async def _fail(peer: Peer, user: str, password: str, status: Status) -> None:
    with pytest.raises(Refused) as refused:
        await peer.login(user, password, again=True)
    assert refused.value.status == status


@pytest.mark.parametrize("encryption", [Encryption.OFF, Encryption.REQUIRED])
@pytest.mark.parametrize(("user", "password"), [(USER, "wrong"), ("nobody", PASSWORD)])
async def test_a_wrong_password_ends_the_session_and_what_waits_in_it(
    tmp_path: Path, user: str, password: str, encryption: Encryption
) -> None:
    settings = ServerSettings(failed_login_seconds=0.0, encryption=encryption)
    async with serve(tmp_path, settings) as served, logged_in(served.port, USER, PASSWORD, SHARE) as peer:
        fid = await peer.open("file")
        folder = await peer.open("", desired_access=0x1, share_access=7)
        waiting = await peer.send(Command.CHANGE_NOTIFY, ChangeNotifyRequest(folder, NAMES, 4096, WHOLE_TREE))
        await _fail(peer, user, password, Status.LOGON_FAILURE)
        assert (await peer.final(waiting)).header.status == Status.NOTIFY_CLEANUP
        assert not served.server.sessions
        assert len(served.server.opens) == 0
        if (
            encryption is Encryption.OFF
        ):  # with encryption the connection ends: there are no keys to answer with
            response = await peer.answer(Command.READ, ReadRequest(fid, 0, 1))
            assert response.header.status == Status.USER_SESSION_DELETED
            await peer.login(USER, PASSWORD)
            await peer.connect_tree(SHARE)
            await peer.open("file", share_access=0)


async def test_the_end_of_every_login_is_signed(tmp_path: Path) -> None:
    """So that a client knows, which signs nothing itself, that it still talks to the same server."""
    async with serve(tmp_path) as served, logged_in(served.port, USER, PASSWORD, SHARE) as peer:
        assert peer.login_was_signed
        security = served.server.sessions[peer.session_id].security
        assert security is not None
        security.signing_required = peer.wire.sessions[peer.session_id].signing_required = False
        await peer.login(USER, PASSWORD, again=True)
        assert peer.login_was_signed


async def test_another_user_gets_no_session_and_ends_none(tmp_path: Path) -> None:
    async with serve(tmp_path) as served, logged_in(served.port, USER, PASSWORD, SHARE) as peer:
        fid = await peer.open("file")
        await _fail(peer, OTHER_USER, OTHER_PASSWORD, Status.ACCESS_DENIED)
        await peer.write(fid, 0, b"unharmed")


@pytest.mark.parametrize("protection", ["signed", "encrypted"])
async def test_who_has_no_key_of_a_protected_session_cannot_end_it(tmp_path: Path, protection: str) -> None:
    """Somebody on the network puts a login of their own between the client's messages."""
    encryption = Encryption.REQUIRED if protection == "encrypted" else Encryption.OFF
    settings = ServerSettings(failed_login_seconds=0.0, encryption=encryption)
    async with serve(tmp_path, settings) as served, logged_in(served.port, USER, PASSWORD, SHARE) as peer:
        fid = await peer.open("file")
        security = served.server.sessions[peer.session_id].security
        assert security is not None
        security.signing_required = protection == "signed"
        keys = peer.wire.sessions.pop(peer.session_id)
        refusal = Status.ACCESS_DENIED if protection == "signed" else Status.LOGON_FAILURE
        await _fail(peer, USER, "wrong", refusal)
        peer.wire.sessions[peer.session_id] = keys
        await peer.write(fid, 0, b"unharmed")


async def test_attempts_of_others_end_no_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So many wrong passwords were tried that the right one is not looked at, either."""
    async with (
        serve(tmp_path, ServerSettings(failed_login_seconds=30.0)) as served,
        logged_in(served.port, USER, PASSWORD, SHARE) as peer,
        connect(served.port) as guesser,
    ):
        fid = await peer.open("file")
        monkeypatch.setattr("odxfs.smb.auth.login_delays.MAX_WAITING_ATTEMPTS", -1)
        with pytest.raises(Refused):
            await guesser.login(USER, "wrong")
        await _fail(peer, USER, PASSWORD, Status.LOGON_FAILURE)
        await peer.write(fid, 0, b"unharmed")
