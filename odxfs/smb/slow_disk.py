"""What clients are told while the disk keeps their requests waiting (MS-SMB2 3.3.4.2).

An interim answer lets a client wait longer than it would for a server that says nothing, and lets it cancel the request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from odxfs.volume.blocks.threads import SLOW_SECONDS

if TYPE_CHECKING:
    from odxfs.smb.server import SmbServer


async def run(server: SmbServer) -> None:
    """Tell the clients of all requests that wait while the disk is slow to answer; until cancelled."""
    threads = server.pool.threads
    while True:
        await threads.has_jobs()
        await trio.sleep(SLOW_SECONDS)
        if threads.is_slow:
            for connection in list(server.connections):
                connection.tell_waiting()
