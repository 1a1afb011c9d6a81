"""The SMB server: what all its connections share, and how it is started (MS-SMB2 3.3.1.5)."""

from __future__ import annotations

import secrets
import time
import uuid
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import trio

from odxfs.smb.auth.login_delays import LoginDelays
from odxfs.smb.closing import close_tree
from odxfs.smb.listener import bind, serve_listener
from odxfs.smb.notify.hub import NotifyHub
from odxfs.smb.opens import OpenRegistry

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
        self.shares = shares
        self.settings = settings
        self.owns_volume = owns_volume
        self.login_delays = LoginDelays(settings.failed_login_seconds)
        self.guid = uuid.UUID(bytes=secrets.token_bytes(16))
        self.start_time_ns = time.time_ns()
        self.sessions: dict[int, Session] = {}
        self.connections: set[Connection] = set()
        self.registry = OpenRegistry()
        self.notifications = NotifyHub(pool)

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
        """Serve on bound sockets, which it closes, until cancelled."""
        async with trio.open_nursery() as nursery:
            for each in listening:
                nursery.start_soon(serve_listener, self, each)
            nursery.start_soon(self.notifications.run)

    async def leave_foreign_volumes(self) -> None:
        """End the tree connects that lead to volumes which are not this server's any more."""
        trees = [tree for session in self.sessions.values() for tree in session.trees.values()]
        for tree in trees:
            if tree.share.volume and not self.owns_volume(tree.share.volume):  # IPC$ has none
                await close_tree(self, tree)
