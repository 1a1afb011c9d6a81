"""The commit: everything that changed so far becomes durable in one step, by one task.

1. freeze: all that changed is put into the catalog's view and taken out of it as one set of rows (no checkpoint);
2. the segments written since the last commit are synced (worker thread);
3. the rows are committed (the same thread);
4. thaw: blocks that this commit freed may be used again.

Changes go on during 2 and 3; they belong to the next commit. All who wait for durability share the next commit to begin.
"""

import logging
from typing import TYPE_CHECKING

import trio

from odxfs.errors import NoSpace, ReadOnly, StoreFailed, VolumeError
from odxfs.volume.blocks.segments import Segments
from odxfs.volume.catalog.interface import Changes, Preserving, Table
from odxfs.volume.leaf import Run

if TYPE_CHECKING:
    from odxfs.volume.pool import Pool

COMMIT_SECONDS = 2.0
"""The longest that a change waits for a commit of its own accord."""

_UNCOMMITTED_BLOCKS = 131_072
"""512 MiB of new data call for a commit: what a crash may lose of unsynced writes, and what one sync has to do."""

_HELD_BLOCKS = 131_072
"""512 MiB freed but not yet to be used again call for a commit: else overwriting would eat up free space."""

_DIRTY_LEAVES = 1_024
"""Changed leaves that call for a commit: 24 MiB of rows when they are dense."""

_CHANGED_ROWS = 32_768
"""Changes of rows that call for a commit: about 10 MiB in memory, a quarter of a second of creating files."""

_OVERRUN = 4
"""Writers wait when this many times a bound has gathered: the disk below does not keep up. As much again may be on its way
to the disk, so this bounds memory: 2 x 96 MiB of dense leaves, 2 x 40 MiB of rows."""

_REAP_LEAVES = 4_096
_REAP_LEAVES_WHEN_AWAITED = 64
"""Dead leaves freed before a commit; few while somebody waits for it."""

_log = logging.getLogger(__name__)


class _Attempt:
    """One commit, past or to come."""

    __slots__ = ("awaited", "begun", "done", "error")

    def __init__(self) -> None:
        self.begun = trio.Event()
        self.done = trio.Event()
        self.error: VolumeError | None = None
        self.awaited = False


class _Sync:
    """Makes the data durable that a commit is going to name."""

    def __init__(self, segments: Segments, descriptors: list[int], created: bool) -> None:
        self._segments = segments
        self._descriptors = descriptors
        self._created = created
        self.is_done = False

    def run(self) -> None:
        """For a worker thread. Raises StoreFailed or NoSpace."""
        # The name of a segment that was made and given back since may be all: a later commit may have the segment back.
        self._segments.sync(self._descriptors, self._created)
        self.is_done = True


class Committer:
    """Runs the commits of a pool; `run` is its only task."""

    def __init__(self, pool: "Pool", commits: int) -> None:
        self._pool = pool
        self._next = _Attempt()
        self._wake = trio.Event()
        self._running = False
        self._turn = trio.Lock()
        self.commits = commits
        """Commits in the pool's life."""
        self.committed_blocks = 0
        """Blocks written that commits have taken up since the pool was opened."""
        self.is_overrun = False
        """Whether writers should wait for the next commit."""
        self.is_full = False
        """Whether the last commit found no room on the disk."""

    async def run(self) -> None:
        """Commit every COMMIT_SECONDS while anything changes, and when asked."""
        while True:
            with trio.move_on_after(COMMIT_SECONDS):
                await self._wake.wait()
            await self.commit_once()

    async def commit(self) -> None:
        """Return when everything up to this call is durable. Raises ReadOnly, NoSpace or StoreFailed."""
        self._pool.check_writable()
        if not (self._running or self._pool.has_changes or self._has_remains()):
            return
        attempt = self._next
        attempt.awaited = True
        self._wake.set()
        await attempt.done.wait()
        if attempt.error is not None:
            raise attempt.error

    async def commit_once(self) -> None:
        """Make one commit if there is anything to commit. Only `run` and the closing pool call it."""
        self._wake = trio.Event()
        with trio.CancelScope(shield=True):
            async with self._turn:
                if self._has_remains():
                    await trio.lowlevel.checkpoint()  # what waits to be deleted gets its turn first
                error = await self._reap()
                attempt, self._next = self._next, _Attempt()
                attempt.begun.set()
                if error is None and self._pool.failure is None:
                    error = await self._make_durable(whole=not attempt.awaited)
                if self._pool.failure is not None and error is None:
                    error = ReadOnly(self._pool.failure)
                attempt.error = error
                attempt.done.set()
        if self._pool.references.dead and self._pool.failure is None:
            self._wake.set()

    async def commit_last(self) -> None:
        """The last commit of an owner, which notes that nothing is left to clear up. None when the pool is latched."""
        pool = self._pool
        async with self._turn:
            if pool.failure is not None:
                return  # what a failed sync may have lost must not be named by a commit after it
            clean = not len(pool.pins) and not pool.references.dead and not pool.namespace.orphans.waiting
            error = await self._make_durable(whole=True, clean=clean)
        if error is not None:
            raise error

    def note_change(self) -> None:
        """Look whether the bounds call for a commit; cheap, after each change of data or names."""
        pool = self._pool
        if (
            pool.writer.uncommitted_blocks < _UNCOMMITTED_BLOCKS
            and pool.space.freed_blocks < _HELD_BLOCKS
            and pool.windows.leaves.dirty_count < _DIRTY_LEAVES
            and pool.view.changes < _CHANGED_ROWS
        ):
            return
        self._wake.set()
        self.is_overrun = (
            pool.writer.uncommitted_blocks >= _OVERRUN * _UNCOMMITTED_BLOCKS
            or pool.space.freed_blocks >= _OVERRUN * _HELD_BLOCKS
            or pool.windows.leaves.dirty_count >= _OVERRUN * _DIRTY_LEAVES
            or pool.view.changes >= _OVERRUN * _CHANGED_ROWS
        )

    def note_freed(self) -> None:
        """Leaves have died: have them reaped soon."""
        if self._pool.references.dead:
            self._wake.set()

    async def trim_catalog(self) -> bool:
        """Let the catalog give back a part of the disk space that it does not need; returns whether there is more.

        Raises NoSpace or StoreFailed. Commits wait meanwhile, milliseconds.
        """
        async with self._turn:
            return await self._pool.engine.trim() and not self._wake.is_set()

    async def end_of_turn(self) -> None:
        """Return when no commit is under way that began before the call."""
        async with self._turn:
            pass

    async def progress(self) -> None:
        """Wait until the next commit has ended, however it ended."""
        attempt = self._next
        self._wake.set()
        await attempt.done.wait()

    async def relief(self) -> None:
        """Wait until the next commit has begun, and so has taken what has gathered."""
        attempt = self._next
        self._wake.set()
        await attempt.begun.wait()

    # -- inside ---------------------------------------------------------------------------------------------------

    def _has_remains(self) -> bool:
        """Whether deleted files or dead leaves are still to be given back."""
        return bool(self._pool.references.dead) or self._pool.namespace.orphans.waiting > 0

    async def _reap(self) -> VolumeError | None:
        try:
            await self._pool.windows.reap(_REAP_LEAVES_WHEN_AWAITED if self._next.awaited else _REAP_LEAVES)
        except VolumeError as error:
            self._pool.latch(f"freeing a deleted file failed: {error}")
            return error
        return None

    async def _make_durable(self, *, whole: bool, clean: bool = False) -> VolumeError | None:
        """Not `whole`: somebody waits, so leaves go by their log where that is shorter. The log alone calls for no commit."""
        pool = self._pool
        if not (pool.has_changes or clean):
            return None
        pool.collect(whole=whole)
        freed = pool.space.take_freed()
        preserving = pool.snapshots.freeze()
        pool.view.put(Table.POOL, (0,), pool.row(clean=clean))
        changes = pool.view.freeze()
        descriptors, created = pool.segments.take_touched()
        retired = pool.segments.take_retired()
        self.committed_blocks += pool.writer.uncommitted_blocks
        pool.writer.uncommitted_blocks = 0
        self.is_overrun = False
        self._running = True
        try:
            await self._commit_rows(changes, preserving, _Sync(pool.segments, descriptors, created))
        except VolumeError as error:
            self._failed(error, freed)
            return error
        except BaseException as error:  # a defect: nothing may be committed on top of what nobody knows
            pool.latch(f"a commit failed: {error!r}")
            raise
        finally:
            self._running = False
        self._succeeded(freed)
        if retired:
            await self._remove(retired)
        await pool.relax_if_room()
        return None

    async def _remove(self, retired: list[int]) -> None:
        """The commit has forgotten these segments. Names go at once, so that no new file can come to have one of them."""
        segments = self._pool.segments
        try:
            segments.remove_retired(retired)
        except StoreFailed as error:
            _log.warning("a segment that is not needed stays: %s", error)
        try:
            await self._pool.threads.run_to_the_end("removing a segment", segments.free_removed)
        except StoreFailed as error:
            _log.warning("the disk space of a segment that is not needed stays taken: %s", error)
        self._pool.disk_space_changed()

    async def _commit_rows(self, changes: Changes, preserving: Preserving, sync: "_Sync") -> None:
        """In one worker thread: a second one would take as long to wake as a fast disk to sync."""
        pool = self._pool
        try:
            await pool.engine.commit(changes, preserving, before=sync.run)
        except NoSpace:
            if not sync.is_done or not pool.ballast.give_up():
                raise  # the kernel drops what it could not write: what is not synced is not tried again
            _log.warning("the disk is full: the reserve is given up to commit")
            pool.space.press()  # what the reserve leaves is the catalog's
            await pool.engine.commit(changes, preserving)

    def _failed(self, error: VolumeError, freed: list[Run]) -> None:
        self._pool.view.thaw(durable=False)
        self._pool.snapshots.thaw(durable=False)
        self._pool.space.refuse(freed)
        if isinstance(error, NoSpace):
            if not self.is_full:
                _log.error("the disk is full: changes stay in memory until there is room")
            self.is_full = True
            self._pool.condition.note_full("a commit found no room")
        else:
            self._pool.latch(f"a commit failed: {error}")

    def _succeeded(self, freed: list[Run]) -> None:
        self._pool.view.thaw(durable=True)
        self._pool.snapshots.thaw(durable=True)
        self.commits += 1
        self.is_full = False
        self._pool.in_flight.committed(freed)
