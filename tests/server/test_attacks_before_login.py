"""Any requests on connections without a login: the pool and the server are as before."""

import random
from pathlib import Path

import pytest
import trio

from odxfs.errors import ProtocolError
from odxfs.wire.framing import frame_prefix
from odxfs.wire.header import Command, Header, HeaderFlags
from odxfs.wire.session_setup import SessionSetupRequest
from tests.server.test_mutations import Damaged, _requests
from tests.support.peer import Peer, connect, logged_in
from tests.support.serving import PASSWORD, SHARE, USER, Served, serve

CONNECTIONS = 12
REQUESTS = 40


def _message(peer: Peer, owner: Peer, body: bytes, command: int, chance: random.Random) -> bytes:
    """A request as somebody sends it who has seen the ids of the one who has logged in."""
    (message_id,) = peer.wire.account.spend([1])
    header = Header(
        command,
        credit_charge=1,
        credits=64,
        flags=chance.choice((0, 0, HeaderFlags.SIGNED, HeaderFlags.RELATED)),
        message_id=message_id,
        tree_id=owner.tree_id,
        session_id=chance.choice((0, owner.session_id, peer.session_id, chance.getrandbits(32))),
    )
    message = header.pack() + body
    return frame_prefix(len(message)) + message


async def _harass(served: Served, owner: Peer, chance: random.Random) -> None:
    file, folder = await owner.open("file"), await owner.open("folder")
    whole = [*_requests(file, folder), (Command.SESSION_SETUP, SessionSetupRequest(b"NTLMSSP\0" + bytes(40)))]
    async with connect(served.port) as peer:
        for _ in range(REQUESTS):
            command, body = chance.choice(whole)
            packed = body.pack() if chance.random() < 0.7 else Damaged(body.pack(), chance).pack()
            try:
                await peer.stream.send_all(_message(peer, owner, packed, command, chance))
                for response in peer.wire.receive(await peer.stream.receive_some(1 << 16)):
                    assert response.header.status & 0xC0000000, "everything is refused"
            except (ProtocolError, trio.BrokenResourceError, ValueError):
                break
    await owner.close(file)
    await owner.close(folder)


@pytest.mark.parametrize("seed", range(2))
async def test_nothing_that_comes_before_a_login_does_anything(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    async with serve(tmp_path) as served, logged_in(served.port, USER, PASSWORD, SHARE) as owner:
        file = await owner.open("file")
        await owner.write(file, 0, b"content")
        await owner.close(file)
        await owner.close(await owner.open("folder", create_options=1))
        inode = await served.volume.lookup(served.volume.root, b"file")
        before = (inode.size, inode.mtime_ns, inode.ctime_ns, inode.mode)
        for _ in range(CONNECTIONS):
            await _harass(served, owner, chance)
        assert [entry.name for entry in await served.volume.list_directory(served.volume.root)] == [
            b"file",
            b"folder",
        ]
        assert (inode.size, inode.mtime_ns, inode.ctime_ns, inode.mode) == before
        assert bytes(await served.volume.read(inode, 0, 100)) == b"content"
        assert len(served.server.registry) == len(served.server.opens) == 0
        assert [session.id for session in served.server.sessions.values() if session.user] == [
            owner.session_id
        ]
        assert await served.pool.check() == []
