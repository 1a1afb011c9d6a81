"""What a client can make the server hold, and for how long."""

import tracemalloc
from pathlib import Path

from odxfs.wire.change_notify import ChangeNotifyRequest
from odxfs.wire.client_connection import Call
from odxfs.wire.create import CreateOptions
from odxfs.wire.credits import CREDIT_BYTES
from odxfs.wire.header import Command
from odxfs.wire.write import WriteRequest
from tests.support.peer import Peer, logged_in
from tests.support.serving import PASSWORD, SHARE, USER, serve

MEBIBYTE = 1024 * 1024


async def _write_and_wait(peer: Peer, write: WriteRequest, notify: ChangeNotifyRequest) -> None:
    """Both in one frame; the second is told that it waits."""
    charge = len(write.data) // CREDIT_BYTES
    calls = [
        Call(Command.WRITE, write.pack(), None, peer.tree_id, peer.session_id, charge),
        Call(Command.CHANGE_NOTIFY, notify.pack(), None, peer.tree_id, peer.session_id),
    ]
    (_, waiting), buffers = peer.wire.compound(calls)
    await peer.stream.send_all(b"".join(buffers))
    assert (await peer.next_response(waiting)).interim


async def test_what_waits_for_long_does_not_keep_the_frame_it_came_in(tmp_path: Path) -> None:
    """A notify behind a write of 3 MiB would otherwise keep these 3 MiB, and 512 may wait on one connection."""
    waiting, data = 10, bytes(3 * MEBIBYTE)
    async with serve(tmp_path) as served, logged_in(served.port, USER, PASSWORD, SHARE) as peer:
        file = await peer.open("file")
        folder = await peer.open("folder", create_options=CreateOptions.DIRECTORY_FILE)
        for _ in range(waiting + 2):
            await peer.write(file, 0, data)
        tracemalloc.start()
        try:
            for _ in range(waiting):
                await _write_and_wait(peer, WriteRequest(file, 0, data), ChangeNotifyRequest(folder, 1, 4096))
            held = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
    assert held < waiting * len(data) // 2
