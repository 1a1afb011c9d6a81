"""The SMB server: what all its connections share, and how it is started (MS-SMB2 3.3.1.5)."""

from __future__ import annotations

import secrets
import time
import uuid
from typing import TYPE_CHECKING

import trio

from odxfs.smb.auth.login_delays import LoginDelays
from odxfs.smb.listener import serve_listener
from odxfs.smb.notify.hub import NotifyHub
from odxfs.smb.opens import OpenRegistry

if TYPE_CHECKING:
    from odxfs.offload import OffloadEngine
    from odxfs.opens import OpenTable
    from odxfs.smb.auth.users import UserStore
    from odxfs.smb.connection import Connection
    from odxfs.smb.sessions import Session
    from odxfs.smb.settings import ServerSettings
    from odxfs.smb.shares import ShareStore
    from odxfs.volume import Pool


class SmbServer:
    """One virtual SMB server over one pool. Handlers reach everything shared through it; it owns sessions and opens."""

    def __init__(
        self,
        pool: Pool,
        *,
        opens: OpenTable,
        engine: OffloadEngine,
        users: UserStore,
        shares: ShareStore,
        settings: ServerSettings,
    ) -> None:
        self.pool = pool
        self.opens = opens
        self.engine = engine
        self.users = users
        self.shares = shares
        self.settings = settings
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
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.notifications.run)
            await serve_listener(self, address, port, task_status=task_status)
