"""The catalog as the running pool sees it: uncommitted changes in memory over the engine.

Two layers lie over the engine: `active` takes every change at once; `frozen` is what a commit is making durable just now.
Reads look through active, frozen and engine in this order, so they see each change the moment it is made, whatever the
state of the commit. None in a layer is a deleted row.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Any, cast

from sortedcontainers import SortedList

from odxfs.types import SnapshotId, VolumeId
from odxfs.volume.catalog.interface import CatalogEngine, Changes, Key, Row, Table, successor
from odxfs.volume.catalog.past import PastView

_ABSENT: Any = object()


class Rows(dict[Key, Row | None]):
    """The changed rows of one table. None is taken out, so those that are not sorted yet are the last.

    They are sorted when somebody asks for a range. To make and to remove a file changes a dozen rows; to keep each in its place
    took a quarter of the time of both.
    """

    __slots__ = ("_sorted",)

    def __init__(self) -> None:
        super().__init__()
        self._sorted: Any = SortedList()  # sortedcontainers has no types

    def irange(self, low: Key, high: Key) -> Iterator[Key]:
        """The keys with low <= key < high, ascending. Costs a search, and the sorting of what has come since the last one."""
        new = len(self) - len(self._sorted)
        if new:
            self._sorted.update(islice(reversed(self), new))
        return cast(Iterator[Key], self._sorted.irange(low, high, inclusive=(True, False)))


class Layer(dict[Table, Rows]):
    """The changed rows of each table, made when they are asked for.

    Each commit has a layer of its own, and most of them touch four tables of twenty-five.
    """

    def __missing__(self, table: Table) -> Rows:
        made = self[table] = Rows()
        return made


_LARGEST_READ = 1024
_SMALLEST_READ = 32
"""Rows asked of each source at a time while a range is merged: a long range is bounded in memory, a short one among many
deleted rows still moves on."""


class CatalogView:
    """Reads through the layers; `put`, `delete` and `freeze` change memory only and have no checkpoint."""

    def __init__(self, engine: CatalogEngine) -> None:
        self._engine = engine
        self._active = Layer()
        self._frozen: Layer | None = None
        self._durable_commits = 0
        self._freezes = 0
        self.changes = 0
        """Calls of `put` and `delete` since the last freeze: a bound of the rows that wait in memory."""

    @property
    def is_dirty(self) -> bool:
        """Whether anything waits for a commit (what is frozen not counted)."""
        return any(self._active.values())

    @property
    def moment(self) -> tuple[int, int]:
        """Differs after each `put` and `delete`: for who concludes from an answer during which others had their turn."""
        return self._freezes, self.changes

    def has_changed(self, table: Table, low: Key, high: Key) -> bool:
        """Whether rows with low <= key < high wait for a commit, or are in one that is under way."""
        return any(
            table in layer and next(layer[table].irange(low, high), None) is not None
            for layer in (self._active, self._frozen)
            if layer is not None
        )

    def uncommitted(self, table: Table, low: Key, high: Key) -> list[tuple[Key, Row]]:
        """Rows with low <= key < high that wait for a commit, ascending; what is frozen not counted."""
        changed = self._active[table]
        found = [(key, changed[key]) for key in changed.irange(low, high)]
        return [(key, row) for key, row in found if row is not None]

    async def get(self, table: Table, key: Key) -> Row | None:
        """The row under `key`, or None. Raises StoreFailed or Corrupt."""
        while True:
            row = self._active[table].get(key, _ABSENT)
            if row is _ABSENT and self._frozen is not None:
                row = self._frozen[table].get(key, _ABSENT)
            if row is not _ABSENT:
                return cast(Row | None, row)
            seen = self._durable_commits
            stored = await self._engine.get(table, key)
            if not self._changed_under(table, key, seen):
                return stored

    async def range(
        self, table: Table, low: Key, high: Key, limit: int | None = None
    ) -> list[tuple[Key, Row]]:
        """Rows with low <= key < high, ascending, at most `limit`. Raises StoreFailed or Corrupt."""
        merged: list[tuple[Key, Row]] = []
        wanted = _LARGEST_READ if limit is None else max(_SMALLEST_READ, min(limit, _LARGEST_READ))
        more = limit is None or limit > 0
        while more:
            seen = self._durable_commits
            rows = await self._engine.range(table, low, high, wanted)
            if seen != self._durable_commits:
                continue  # the frozen layer went into the engine meanwhile: this answer may be from before
            page, bound = self._merge(table, rows, low, high, wanted)
            merged += page
            more = bound != high and (limit is None or len(merged) < limit)
            low = bound
        return merged if limit is None else merged[:limit]

    def past(self, snapshot: SnapshotId, volume: VolumeId) -> PastView:
        """The file tree of a volume as a snapshot of it holds it."""
        return PastView(self._engine, snapshot, volume)

    def put(self, table: Table, key: Key, row: Row) -> None:
        """Set a row; durable with the next commit."""
        self._active[table][key] = row
        self.changes += 1

    def delete(self, table: Table, key: Key) -> None:
        """Delete a row, which need not be there; durable with the next commit."""
        self._active[table][key] = None
        self.changes += 1

    def freeze(self) -> Changes:
        """Take everything changed so far for one commit; what changes from now on belongs to the next.

        The caller commits the result and then calls `thaw`; until then a second freeze is a bug.
        """
        assert self._frozen is None, "a commit is already under way"
        self._frozen = self._active
        self._active = Layer()
        self._freezes += 1
        self.changes = 0
        return {table: rows for table, rows in self._frozen.items() if rows}

    def thaw(self, *, durable: bool) -> None:
        """End a commit. A commit that failed gives its changes back: they lie under what changed since."""
        frozen, self._frozen = self._frozen, None
        assert frozen is not None, "no commit is under way"
        if durable:
            self._durable_commits += 1
            return
        for table, rows in frozen.items():
            self.changes += len(rows)
            active = self._active[table]
            if not active:
                self._active[table] = rows
                continue
            for key, row in rows.items():
                active.setdefault(key, row)

    def _changed_under(self, table: Table, key: Key, seen: int) -> bool:
        """Whether an engine read of `key` that took a while must be asked again."""
        if seen != self._durable_commits or key in self._active[table]:
            return True
        return self._frozen is not None and key in self._frozen[table]

    def _merge(
        self, table: Table, rows: list[tuple[Key, Row]], low: Key, high: Key, wanted: int
    ) -> tuple[list[tuple[Key, Row]], Key]:
        """One page of the range: at most `wanted` rows of each layer and of the engine, and where the next page begins.

        A source that gave all it was asked for may hold more, so the page ends behind the first such source's last row.
        """
        merged: dict[Key, Row | None] = dict(rows)
        bound = successor(rows[-1][0]) if len(rows) == wanted else high
        for layer in (self._frozen, self._active):
            if layer is None or not layer[table]:
                continue
            changed = layer[table]
            keys = list(islice(changed.irange(low, bound), wanted))
            if len(keys) == wanted:
                bound = min(bound, successor(keys[-1]))
            merged.update((key, changed[key]) for key in keys)
        page = [(key, row) for key, row in merged.items() if row is not None and key < bound]
        if len(merged) > len(rows):
            page.sort()
        return page, bound
