"""Giving back what a deleted snapshot held, while the pool goes on.

What was kept for the snapshot is what the one before it holds, too, wherever that one has nothing of its own for the same row:
such rows become the earlier snapshot's. All others are dropped, and with them the holds on leaves. Each row goes in one step,
so a crash leaves a snapshot that is in part deleted, and the next owner goes on.
"""

from contextlib import suppress
from typing import TYPE_CHECKING

import trio

from odxfs.errors import Corrupt
from odxfs.types import BLOCK_BYTES, SnapshotId
from odxfs.volume.background_queue import BackgroundQueue
from odxfs.volume.catalog.interface import PAST, Key, Row, Table, successor
from odxfs.volume.extents import LeafReference, unpack_page

if TYPE_CHECKING:
    from odxfs.volume.pool import Pool

_ROWS = 64
"""Rows given back before other tasks get their turn; those of extent maps take 4 KiB each."""

_LEAVES = 16
"""Leaves read before others get theirs."""


class SnapshotDeletion(BackgroundQueue[SnapshotId]):
    """Deletes one snapshot after the other that is marked as deleted."""

    def __init__(self, pool: "Pool") -> None:
        super().__init__(self._delete, "deleting snapshot")
        self._pool = pool

    async def held_bytes(self, snapshot: SnapshotId, before: SnapshotId | None) -> int:
        """See Snapshots.held_bytes."""
        low: Key = (snapshot,)
        blocks = 0
        while rows := await self._pool.view.range(Table.EXTENTS_PAST, low, (snapshot + 1,), _ROWS):
            for key, row in rows:
                if not await self._is_inherited(Table.EXTENTS_PAST, key, before):
                    blocks += await self._own_blocks(_references(key, row))
            low = successor(rows[-1][0])
            await trio.lowlevel.checkpoint()
        return blocks * BLOCK_BYTES

    async def _own_blocks(self, references: list[LeafReference]) -> int:
        """The blocks that would come free if one holder of each of these leaves went, but for those of damaged leaves."""
        counts = self._pool.references.counts
        alone = [reference for reference in references if counts.get(reference, 1) == 1]
        blocks = 0
        for turn, reference in enumerate(alone, 1):
            with suppress(Corrupt):  # or gone, with the snapshot
                blocks += self._pool.space.count_own(await self._pool.windows.leaves.look_at(reference))
            if turn % _LEAVES == 0:
                await trio.lowlevel.checkpoint()
        return blocks

    def hand_down(self, snapshot: SnapshotId, before: SnapshotId | None) -> None:
        """Let go the pages that were kept for a snapshot that no commit could make: those that were not changed since the one
        before it are that one's.

        In the step in which the commit has failed: a page that came since the one before has no row in the catalog yet, and
        the commit that makes it keeps its absence, unless it finds that the page was kept for a later one.
        """
        view = self._pool.view
        for key, row in view.uncommitted(Table.EXTENTS_PAST, (snapshot,), (snapshot + 1,)):
            _, _, written = row
            assert isinstance(written, int)
            if before is not None and written < before:
                view.put(Table.EXTENTS_PAST, (before, *key[1:]), row)
            else:
                for reference in _references(key, row):
                    self._pool.references.drop(reference)
            view.delete(Table.EXTENTS_PAST, key)

    async def _delete(self, snapshot: SnapshotId) -> None:
        await self._pool.committer.end_of_turn()  # a commit under way may still keep rows for it
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
