"""The names of a server's accounts as the named pipes ask for them, call after call."""

from pathlib import Path

import pytest
from impacket.dcerpc.v5 import lsat

from odxfs.errors import UserError
from odxfs.smb.auth.groups import GroupStore
from odxfs.smb.auth.users import UserStore
from odxfs.smb.rpc.endpoints import open_pipe
from odxfs.smb.security.names import CurrentNames, Names
from tests.server.test_rpc import bind_pdu, read_call, request_pdus
from tests.server.test_rpc_accounts import lookup
from tests.support.peer import logged_in
from tests.support.serving import PASSWORD, USER, serve


def test_they_are_made_once_and_again_when_somebody_has_changed_an_account(tmp_path: Path) -> None:
    """A command changes the files, of which the server has its own view."""
    command, current = UserStore(tmp_path), CurrentNames(UserStore(tmp_path))
    assert current.of("BOX") is current.of("BOX")
    changes = (
        lambda: command.add("alice", "secret", 1, 1),
        lambda: command.add_group("staff", 5),
        lambda: command.set_member("staff", "alice", member=True),
        lambda: command.delete("alice"),
        lambda: command.groups.delete("staff"),
        (tmp_path / "groups.json").unlink,
    )
    seen = [current.of("BOX")]
    for change in changes:
        change()
        seen.append(current.of("BOX"))
        assert current.of("BOX") is seen[-1]
        fresh = Names("BOX", UserStore(tmp_path))
        assert vars(seen[-1]) == vars(fresh)
    assert current.of("OTHER").server_name == "OTHER"
    (tmp_path / "users.json").write_text("{}")
    with pytest.raises(UserError):
        current.of("OTHER")


async def test_a_call_reads_no_account_that_has_not_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of ten thousand users it would keep all else waiting for a tenth of a second."""
    async with serve(tmp_path) as served, logged_in(served.port, USER, PASSWORD, "IPC$") as peer:
        pipe = open_pipe("lsarpc", served.server, served.server.sessions[peer.session_id])
        pipe.transceive(bind_pdu("12345778-1234-abcd-ef00-0123456789ab", "0.0"), 4280)
        pipe.write(request_pdus(6, b""))
        handle = read_call(pipe)[:20]
        pipe.write(request_pdus(14, lookup(handle, [USER])))
        read_call(pipe)
        for store in (UserStore, GroupStore):
            monkeypatch.setattr(store, "list", None)
        pipe.write(request_pdus(14, lookup(handle, [USER])))
        assert lsat.LsarLookupNamesResponse(read_call(pipe))["MappedCount"] == 1
