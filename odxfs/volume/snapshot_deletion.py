"""Giving back what a deleted snapshot held, while the pool goes on.

What was kept for the snapshot is what the one before it holds, too, wherever that one has nothing of its own for the same row:
such rows become the earlier snapshot's. All others are dropped, and with them the holds on leaves. Each row goes in one step,
so a crash leaves a snapshot that is in part deleted, and the next owner goes on.
"""

import logging
from typing import TYPE_CHECKING

import trio

from odxfs.errors import VolumeError
from odxfs.types import BLOCK_BYTES, SnapshotId
from odxfs.volume.catalog.interface import PAST, Key, Row, Table, successor
from odxfs.volume.extents import LeafReference, allocated_blocks, unpack_page

if TYPE_CHECKING:
    from odxfs.volume.pool import Pool

_ROWS = 64
"""Rows given back before other tasks get their turn; those of extent maps take 4 KiB each."""

_log = logging.getLogger(__name__)


class SnapshotDeletion:
    """Deletes one snapshot after the other; `run` is its only task."""

    def __init__(self, pool: "Pool") -> None:
        self._pool = pool
        self._queue_in, self._queue = trio.open_memory_channel[SnapshotId](float("inf"))
        self._waiting = 0
        self._settled = trio.Event()

    def enqueue(self, snapshot: SnapshotId) -> None:
        """Have a snapshot given back that is marked as deleted."""
        self._waiting += 1
        self._queue_in.send_nowait(snapshot)

    @property
    def is_settled(self) -> bool:
        """Whether nothing is left to be given back."""
        return not self._waiting

    async def settle(self) -> None:
        """Wait until the deletions under way have ended: the space is about to come free."""
        while not self.is_settled:
            await self._settled.wait()

    async def run(self) -> None:
        """Delete what is queued, until cancelled."""
        async for snapshot in self._queue:
            await self._pool.committer.end_of_turn()  # a commit under way may still keep rows for it
            try:
                await self._delete(snapshot)
            except VolumeError as error:
                # Its row stays: nothing is lost but the space, until the pool is opened again.
                _log.error("what snapshot %d held cannot be given back yet: %s", snapshot, error)
            self._waiting -= 1
            if self.is_settled:
                self._settled.set()
                self._settled = trio.Event()

    async def held_bytes(self, snapshot: SnapshotId, before: SnapshotId | None) -> int:
        """See Snapshots.held_bytes."""
        counts = self._pool.references.counts
        low: Key = (snapshot,)
        blocks = 0
        while rows := await self._pool.view.range(Table.EXTENTS_PAST, low, (snapshot + 1,), _ROWS):
            for key, row in rows:
                if not await self._is_inherited(Table.EXTENTS_PAST, key, before):
                    held = _references(key, row)
                    blocks += sum(allocated_blocks(found) for found in held if counts.get(found, 1) == 1)
            low = successor(rows[-1][0])
            await trio.lowlevel.checkpoint()
        return blocks * BLOCK_BYTES

    async def _delete(self, snapshot: SnapshotId) -> None:
        before = self._pool.snapshots.before(snapshot)
        view = self._pool.view
        for past in PAST.values():
            low: Key = (snapshot,)
            while rows := await view.range(past, low, (snapshot + 1,), _ROWS):
                for key, row in rows:
                    if await self._is_inherited(past, key, before):
                        view.put(past, (before, *key[1:]), row)  # type: ignore[arg-type]
                    elif past is Table.EXTENTS_PAST:
                        for reference in _references(key, row):
                            self._pool.references.drop(reference)
                    view.delete(past, key)
                low = successor(rows[-1][0])
                self._pool.committer.note_freed()
                await trio.lowlevel.checkpoint()
        self._pool.snapshots.forget(snapshot)

    async def _is_inherited(self, past: Table, key: Key, before: SnapshotId | None) -> bool:
        """Whether the snapshot before holds what was kept for this one under `key`."""
        return before is not None and await self._pool.view.get(past, (before, *key[1:])) is None


def _references(key: Key, row: Row) -> list[LeafReference]:
    """The leaves that a row of EXTENTS_PAST holds. Raises Corrupt."""
    _, number, page = key
    present, body, _ = row
    assert isinstance(number, int)
    assert isinstance(page, int)
    if not present:
        return []
    assert isinstance(body, bytes)
    return list(unpack_page(number, page, body).values())
