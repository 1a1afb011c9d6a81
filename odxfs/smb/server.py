"""The SMB server: what all its connections share, and how it is started (MS-SMB2 3.3.1.5)."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import trio

from odxfs.smb import slow_disk
from odxfs.smb.auth.login_delays import LoginDelays
from odxfs.smb.caching.breaks import Breaks
from odxfs.smb.caching.leases import LeaseTable
from odxfs.smb.durable import scavenger
from odxfs.smb.durable.persistence import follow_name, restore_opens
from odxfs.smb.durable.table import DurableOpens
from odxfs.smb.expiry import SessionExpiry
from odxfs.smb.interfaces import Listening, listening_of
from odxfs.smb.listener import bind, serve_listener
from odxfs.smb.notify.hub import NotifyHub
from odxfs.smb.opens import OpenRegistry
from odxfs.smb.rpc.turns import CallTurns
from odxfs.smb.security.names import CurrentNames
from odxfs.wire.traffic import Traffic

if TYPE_CHECKING:
    import socket

    from odxfs.offload import OffloadEngine
    from odxfs.opens import OpenTable
    from odxfs.smb.auth.users import UserStore
    from odxfs.smb.connection import Connection
    from odxfs.smb.sessions import Session
    from odxfs.smb.settings import ServerSettings
    from odxfs.smb.shares import Shares
    from odxfs.volume import Pool


class SmbServer:
    """One virtual SMB server over one pool: an SVM, called `name`. It owns its sessions and opens.

    Several of a process share `opens`, `engine` and the pool. `settings`, `shares` and `owns_volume`, which says whether a
    volume is this server's to serve, may be replaced at any time: handlers read them at each call.
    """

    def __init__(
        self,
        pool: Pool,
        *,
        opens: OpenTable,
        engine: OffloadEngine,
        users: UserStore,
        shares: Shares,
        settings: ServerSettings,
        name: str = "default",
        owns_volume: Callable[[str], bool] = lambda _: True,
    ) -> None:
        self.name = name
        self.pool = pool
        self.opens = opens
        self.engine = engine
        self.users = users
        self.names = CurrentNames(users)
        self.shares = shares
        self.settings = settings
        self.owns_volume = owns_volume
        self.login_delays = LoginDelays(settings.failed_login_seconds)
        self.guid = uuid.UUID(bytes=secrets.token_bytes(16))
        self.sessions: dict[int, Session] = {}
        self.connections: set[Connection] = set()
        self._traffic: dict[int, Traffic] = {}
        self.listening: list[Listening] = []
        self.registry = OpenRegistry()
        self.durable = DurableOpens()
        self.expiry = SessionExpiry()
        self.nursery: trio.Nursery | None = None
        self.notifications = NotifyHub(pool)
        self.breaks = Breaks(self)
        self.leases = LeaseTable(self.breaks)
        self.call_turns = CallTurns()

    async def serve(
        self,
        address: str,
        port: int,
        *,
        task_status: trio.TaskStatus[tuple[str, int]] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Listen on `address`:`port` (0 chooses one) and serve until cancelled; `task_status` gets the bound address.

        Cancelling closes every connection, and with it every open. Raises OSError when the address cannot be bound.
        """
        listening = await bind(address, port)
        bound = listening.getsockname()
        task_status.started((bound[0], bound[1]))
        await self.serve_on([listening])

    async def serve_on(self, listening: Iterable[socket.socket]) -> None:
        """Serve on bound sockets, which it closes, until cancelled. Then nothing is open any more."""
        follow = partial(follow_name, self)
        self.opens.followers.append(follow)
        try:
            await restore_opens(self)
            async with trio.open_nursery() as nursery:
                self.nursery = nursery
                for each in listening:
                    self.listening += listening_of(each)
                    nursery.start_soon(serve_listener, self, each)
                nursery.start_soon(self.notifications.run)
                nursery.start_soon(self.breaks.run)
                nursery.start_soon(self.expiry.run)
                nursery.start_soon(scavenger.run, self)
                nursery.start_soon(slow_disk.run, self)
        finally:
            self.nursery = None
            self.listening.clear()
            await scavenger.close_all(self)
            self.opens.followers.remove(follow)

    def forget_connection(self, connection: Connection) -> None:
        """The connection has ended; what came over it stays counted."""
        self.connections.discard(connection)
        _add_traffic(self._traffic, connection)

    def traffic(self) -> dict[int, Traffic]:
        """How the requests of all connections so far came, by dialect."""
        found = {dialect: replace(traffic) for dialect, traffic in self._traffic.items()}
        for connection in self.connections:
            _add_traffic(found, connection)
        return found


def _add_traffic(totals: dict[int, Traffic], connection: Connection) -> None:
    if connection.protocol.negotiated:
        totals.setdefault(connection.dialect, Traffic()).add(connection.protocol.traffic)
