"""How requests came is counted, by dialect, for as long as the server runs."""

from pathlib import Path

import trio

from odxfs.observe.status import smb_as_json, total_of
from odxfs.wire.negotiate import Dialect
from tests.support.peer import Peer, connect
from tests.support.serving import PASSWORD, SHARE, USER, serve


async def _use(peer: Peer, *, encrypt: bool) -> None:
    """A tree connect, an open and a close, signed or encrypted."""
    await peer.login(USER, PASSWORD)
    peer.wire.sessions[peer.session_id].encrypt_data = encrypt
    await peer.connect_tree(SHARE)
    await peer.close(await peer.open("file"))


async def test_requests_are_counted_by_dialect_and_by_how_they_came(tmp_path: Path) -> None:
    async with serve(tmp_path) as served:
        async with connect(served.port, [Dialect.SMB_2_1]) as peer:
            await _use(peer, encrypt=False)
        with trio.fail_after(60):
            while served.server.connections:
                await trio.sleep(0.01)
        async with connect(served.port, [Dialect.SMB_3_1_1]) as peer:
            await _use(peer, encrypt=True)
            counted = smb_as_json(served.server)
    assert counted["requests"] == {
        "2.1": {"plain": 0, "signed": 3, "encrypted": 0},
        "3.1.1": {"plain": 0, "signed": 0, "encrypted": 3},
    }
    assert total_of([counted, counted])["requests"]["2.1"] == {"plain": 0, "signed": 6, "encrypted": 0}
