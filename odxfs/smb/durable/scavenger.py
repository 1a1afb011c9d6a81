"""Closes the parked opens that nobody came back for (MS-SMB2 3.3.6.2, 3.3.6.4)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import trio

from odxfs.smb.closing import close_open
from odxfs.smb.durable.persistence import leave_open

if TYPE_CHECKING:
    from odxfs.smb.server import SmbServer


async def run(server: SmbServer) -> None:
    """Close each parked open when its time is over, until cancelled."""
    while True:
        changed = trio.Event()
        server.durable.on_parked = changed.set
        deadline = server.durable.next_deadline()
        with trio.move_on_at(math.inf if deadline is None else deadline):
            await changed.wait()
        for opened in server.durable.overdue(trio.current_time()):
            if opened.is_parked:  # its client may have come back while another was closed
                await close_open(server, opened)


async def close_all(server: SmbServer) -> None:
    """The server ends: close every parked open but the persistent ones, whose clients will find them after a restart."""
    with trio.CancelScope(shield=True):
        for opened in server.durable:
            if opened.durability is not None and opened.durability.is_persistent:
                await leave_open(server, opened)
            else:
                await close_open(server, opened)
