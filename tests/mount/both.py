"""A volume that this process mounts, and a client of its share."""

import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pyfuse3
import pytest
import trio

from odxfs.opens import OpenTable
from odxfs.volume import Pool
from odxfs.wire.client_exchange import ALL_ONES
from odxfs.wire.header import Command
from odxfs.wire.oplock_break import LeaseBreakAcknowledgment, LeaseBreakNotification, unpack_notification
from odxfs_mount.session import run_mount
from tests.support.peer import Peer, logged_in
from tests.support.serving import PASSWORD, SHARE, USER, serve


@dataclass(frozen=True)
class Both:
    """A mount and a client of the share of one volume."""

    path: Path
    peer: Peer
    opens: OpenTable
    pool: Pool
    port: int

    @asynccontextmanager
    async def another_client(self) -> AsyncIterator[Peer]:
        """One with a session of its own."""
        async with logged_in(self.port, USER, PASSWORD, SHARE) as peer:
            yield peer

    async def told(self) -> LeaseBreakNotification:
        notification = unpack_notification((await self.peer.next_response(ALL_ONES)).pdu)
        assert isinstance(notification, LeaseBreakNotification)
        return notification

    async def agree(self, state: int, key: bytes) -> None:
        await self.peer.call(Command.OPLOCK_BREAK, LeaseBreakAcknowledgment(key, state))


@asynccontextmanager
async def mounted_and_shared(base: Path) -> AsyncIterator[Both]:
    mountpoint = base / "mnt"
    mountpoint.mkdir()
    with trio.fail_after(60):
        async with serve(base / "pool") as served, trio.open_nursery() as nursery:
            volume, server = served.pool.volume("main", origin="mount"), served.server
            await nursery.start(run_mount, volume, server.opens, server.engine, mountpoint)
            async with logged_in(served.port, USER, PASSWORD, SHARE) as peer:
                yield Both(mountpoint, peer, server.opens, served.pool, served.port)
            nursery.cancel_scope.cancel()


def hold_notices(
    monkeypatch: pytest.MonkeyPatch, of: pyfuse3.InodeT | None = None
) -> tuple[threading.Event, threading.Event]:
    """The kernel is told of names that are gone only when the second event is set; the first is, once it is about to be.

    With `of`, a folder, it is told of those in others at once.
    """
    tells, may_tell = threading.Event(), threading.Event()
    tell = pyfuse3.invalidate_entry

    def tell_later(parent: pyfuse3.InodeT, name: pyfuse3.FileNameT) -> None:
        if of in (None, parent):
            tells.set()
            assert may_tell.wait(60)
        tell(parent, name)

    monkeypatch.setattr(pyfuse3, "invalidate_entry", tell_later)
    monkeypatch.setattr("odxfs.volume.pool.FOLLOWING_SECONDS", 60.0)
    return tells, may_tell
