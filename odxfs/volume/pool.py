"""The pool: a backing directory with its catalog, its segments and the one process that owns it."""

import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

import trio

from odxfs.errors import ExitCode, NoSpace, ReadOnly, SegmentBeingMade, StoreFailed, UserError, VolumeError
from odxfs.types import BLOCK_BYTES, Buffer, InodeNumber, VolumeId
from odxfs.volume.allocation.next_segment import NextSegment
from odxfs.volume.allocation.reclaim import Reclaimer
from odxfs.volume.allocation.repack import Repacker
from odxfs.volume.allocation.reuse import InFlightReads
from odxfs.volume.allocation.space import Space
from odxfs.volume.blocks.files import Files
from odxfs.volume.blocks.segments import Segments
from odxfs.volume.blocks.threads import DiskThreads
from odxfs.volume.catalog.interface import CatalogEngine, Changes, PoolRow, Row, Table
from odxfs.volume.catalog.overlay import CatalogView
from odxfs.volume.catalog.sqlite import SqliteEngine
from odxfs.volume.changes import Change
from odxfs.volume.checking.check import check_catalog, check_memory
from odxfs.volume.checking.findings import Finding
from odxfs.volume.commit import Committer
from odxfs.volume.data import DataPath
from odxfs.volume.directory import RESERVE_BYTES, Ballast, PoolDirectory
from odxfs.volume.disk_condition import DiskCondition
from odxfs.volume.identifiers import Identifiers
from odxfs.volume.leaf_log import fold
from odxfs.volume.ownership import make_lock
from odxfs.volume.persistent_opens import PersistentOpens
from odxfs.volume.pins import Pin, Pins
from odxfs.volume.reads import Reader
from odxfs.volume.snapshots.snapshot_volume import SnapshotVolume
from odxfs.volume.snapshots.snapshots import Snapshots
from odxfs.volume.tree.namespace import Namespace, new_volume_rows
from odxfs.volume.volume import Volume
from odxfs.volume.volumes import Volumes
from odxfs.volume.windows import Windows
from odxfs.volume.writes import Writer

_RELAX_BYTES = 16 * 1024 * 1024
"""Room on the disk, beside the reserve, from which on new disk space is taken again after it was full."""

FOLLOWING_SECONDS = 1.0
"""How long a change that must be seen at once waits for the kernel, which may be kept by a program that stands in a folder."""

Follower = Callable[[Collection[InodeNumber]], Awaitable[None]]
"""Returns when somebody has acted on the changes of names in these folders; without any, on every change."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PoolStatistics:
    """Numbers of the moment; those about sharing, pins and disk space are as of the last commit."""

    capacity_bytes: int
    """Of the file system below."""
    free_bytes: int
    """Free on the file system below, and disk space of segments that no block uses."""
    allocated_bytes: int
    """Blocks that leaves name, each counted once."""
    shared_bytes: int
    """About what two or more files or pins share."""
    pinned_only_bytes: int
    """Allocated bytes of leaves that only pins hold."""
    uncommitted_bytes: int
    """Written since the last commit began."""
    held_bytes: int
    """Freed, and to be had again after the next commit."""
    commits: int
    inodes: int
    pins: int
    cached_leaves: int
    surveyed_leaves: int
    """Leaves of more than 256 blocks that the last round of the survey met, whoever holds them."""
    pieces_per_leaf: int
    """Contiguous runs of blocks in each of them, on average."""
    repacked_leaves: int
    """Since the pool was opened."""
    repacked_bytes: int


def create_pool(directory: Path, *, volume: str = "main", clock: Callable[[], int] = time.time_ns) -> None:
    """Make a new pool with one volume in an empty or new directory; durable on return. Blocking.

    Raises UserError: the directory is not empty or cannot be used, or the disk has no room.
    """
    place = PoolDirectory(directory)
    changed = place.prepare()
    now, root = clock(), InodeNumber(1)
    row = PoolRow(clean=1, next_inode=root + 1, next_leaf=1, next_pin=1, next_cookie=1, commits=0)
    rows: Changes = {Table.POOL: {(0,): row}, **new_volume_rows(VolumeId(1), volume, root, now)}
    files = Files()
    try:
        make_lock(place.lock)
        Ballast(place.ballast, files).reserve()
        SqliteEngine.create(place.catalog, rows)
        for made_in in reversed(changed):
            files.sync_directory(made_in)
        place.write_identity(now, files)  # what has an identity has all the rest
        files.sync_directory(directory)
    except VolumeError as error:
        with suppress(OSError):  # then what is left says what is in the way
            place.clear()
        code = ExitCode.NO_SPACE if isinstance(error, NoSpace) else ExitCode.CONFIG
        raise UserError(f"cannot make a pool in {directory}: {error}", code) from error


@asynccontextmanager
async def open_pool(
    directory: Path,
    *,
    owner: str,
    clock: Callable[[], int] = time.time_ns,
    files: Files | None = None,
) -> AsyncIterator["Pool"]:
    """Own a pool: on entry what a crash left is cleared up, on exit everything is committed, also under cancellation.

    `owner` is told to others who want the pool. `files` is for tests. Raises UserError: not a pool, a newer format, in
    use; VolumeError when the catalog is damaged or cannot be read.
    """
    place = PoolDirectory(directory)
    uuid = place.read_identity()
    with place.owned(owner) as ownership:
        condition = DiskCondition(DiskThreads(), clock)
        engine = SqliteEngine.open(place.catalog, owner, condition)
        segments = Segments(place.segments, uuid, files or Files())
        segments.guard = ownership.check
        try:
            await _bring_up_to_date(engine, place)
            row = await engine.get(Table.POOL, (0,))
            if row is None:
                raise UserError(f"{place.catalog} has no pool row", ExitCode.NEEDS_FSCK)
            pool = Pool(place, uuid, engine, segments, PoolRow(*row), condition, clock)  # type: ignore[arg-type]
            await pool.load()
            failure: BaseException | None = None
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(pool.condition.watch)
                    nursery.start_soon(pool.committer.run)
                    nursery.start_soon(pool.next_segment.run)
                    nursery.start_soon(pool.reclaimer.run)
                    nursery.start_soon(pool.repacker.run)
                    nursery.start_soon(pool.namespace.reap)
                    nursery.start_soon(pool.snapshots.deletion.run)
                    nursery.start_soon(pool.volumes.deletion.run)
                    try:
                        yield pool
                    except trio.Cancelled:
                        raise
                    except BaseException as error:  # raised again below: a nursery would wrap it in a group
                        failure = error
                    nursery.cancel_scope.cancel()
            finally:
                with trio.CancelScope(shield=True):
                    await pool.finish()
            if failure is not None:
                raise failure
        finally:
            with trio.CancelScope(shield=True):
                # A write whose caller has gone may go on: not in the next owner's blocks.
                await condition.threads.ended()
                segments.close()
                await engine.close()


async def _bring_up_to_date(engine: SqliteEngine, place: PoolDirectory) -> None:
    """What the last owner has left in the log of leaves; on a full disk in the room of the ballast."""
    try:
        await fold(engine)
    except NoSpace:
        if not Ballast(place.ballast, Files()).give_up():
            raise
        await fold(engine)


class Pool:
    """An open pool. Made by `open_pool`; holds all state, `Volume` objects are views of it."""

    def __init__(
        self,
        place: PoolDirectory,
        uuid: UUID,
        engine: CatalogEngine,
        segments: Segments,
        row: PoolRow,
        condition: DiskCondition,
        clock: Callable[[], int],
    ) -> None:
        self.directory = place.path
        self.uuid = uuid
        self.opening = uuid4()
        """Of this opening alone, so that a copy of the directory is not taken for the pool."""
        self.clock = clock
        """Nanoseconds since 1970."""
        self.condition = condition
        """What is wrong with the disk."""
        self.threads = condition.threads
        self.is_in_use: Callable[[InodeNumber], bool] = lambda _: False
        """Whether a client has an inode open in a way that forbids to remove its name; whoever serves the pool knows."""
        self.give_space_back: Callable[[], bool] = lambda: False
        """End some of what holds space and is worth less than a write, if there is any; whoever serves the pool knows."""
        self.engine = engine
        self.segments = segments
        self.ballast = Ballast(place.ballast, segments.files)
        self.view = CatalogView(engine)
        self.identifiers = Identifiers(
            row.next_inode, row.next_leaf, row.next_pin, row.next_cookie, row.next_snapshot, row.next_volume
        )
        self._was_clean = bool(row.clean)
        self._is_reserving = False
        self.space = Space(segments)
        self.space.on_damage = self.latch
        self.next_segment = NextSegment(self.space, segments, condition)
        self.windows = Windows(self.view, self.space, self.identifiers)
        self.references = self.windows.references
        self.pins = Pins(self.references)
        self.in_flight = InFlightReads(self.space)
        reader = self.reader = Reader(self.windows, segments, self.in_flight, condition)
        self.writer = Writer(self.windows, segments, reader, self.threads)
        self.writer.on_failure = self.latch
        self.committer = Committer(self, row.commits)
        self.reclaimer = Reclaimer(self)
        self.repacker = Repacker(self)
        self.data = DataPath(self, self.windows, reader, self.writer)
        self._observers: list[Callable[[Change], None]] = []
        self._followers: list[Follower] = []
        self._room = (0, 0)
        self._slow_numbers: tuple[int, int, int, int] | None = None
        self._released_when_counted = 0
        self.namespace = Namespace(self)
        self.snapshots = Snapshots(self)
        self.volumes = Volumes(self)
        self.persistent_opens = PersistentOpens(self)

    # -- for everybody --------------------------------------------------------------------------------------------

    @property
    def failure(self) -> str | None:
        """Why the pool has latched itself read-only, or None."""
        return self.condition.failure

    @property
    def volume_names(self) -> list[str]:
        return self.namespace.volume_names

    def volume(self, name: str, origin: str = "") -> Volume:
        """A view of a volume whose changes carry `origin`. Raises NotFound."""
        return Volume(self, name, origin)

    def snapshot_volume(self, name: str, snapshot: str, origin: str = "") -> SnapshotVolume:
        """A volume as a snapshot holds it. Raises NotFound."""
        return SnapshotVolume(self, name, snapshot, origin)

    async def commit(self) -> None:
        """Return when everything before the call is durable. Raises ReadOnly, NoSpace or StoreFailed."""
        await self.committer.commit()

    async def settle(self) -> None:
        """Wait until all that was deleted is given back, durably."""
        await self.namespace.orphans.settle()
        await self.snapshots.deletion.settle()
        await self.volumes.deletion.settle()
        await self.commit()

    def add_observer(self, callback: Callable[[Change], None]) -> None:
        """Have `callback` called after each change, in the step that made it; it must neither raise nor wait."""
        self._observers.append(callback)

    def remove_observer(self, callback: Callable[[Change], None]) -> None:
        """Undo `add_observer`."""
        self._observers.remove(callback)

    def add_follower(self, caught_up: Follower) -> None:
        """Name what waits for an observer that acts a moment later."""
        self._followers.append(caught_up)

    def remove_follower(self, caught_up: Follower) -> None:
        """Undo `add_follower`."""
        self._followers.remove(caught_up)

    def release_pin(self, pin: Pin) -> None:
        """Let go what a pin holds. Idempotent."""
        self.pins.release(pin)
        self.committer.note_freed()

    async def read_pin(self, pin: Pin, offset: int, length: int) -> Buffer:
        """Bytes of a pin, from `offset` of it on, clipped at its end. See DataPath.read_pin for what it raises."""
        return await self.data.read_pin(pin, offset, length)

    def pin_exclusive_bytes(self, pin: Pin) -> int:
        """Allocated bytes of the pin's leaves that no file names any more."""
        return self.pins.exclusive_blocks(pin) * BLOCK_BYTES

    def pinned_alone(self, pin: Pin) -> dict[int, int]:
        """The leaves of a pin that only pins hold, by their references, with the bytes that each allocates."""
        return {reference: blocks * BLOCK_BYTES for reference, blocks in self.pins.alone(pin).items()}

    def statistics(self) -> PoolStatistics:
        """The numbers of the moment; cheap. What a disk that is ill does not tell is as it was."""
        capacity, available = self._room_of_disk()
        disk_bytes, shared, pinned_only = self._numbers_of_commit()
        used = self.space.used_blocks * BLOCK_BYTES
        surveyed = self.repacker.survey.last
        return PoolStatistics(
            capacity_bytes=capacity,
            free_bytes=self._spare_bytes(available) + max(0, disk_bytes - used),
            allocated_bytes=used,
            shared_bytes=shared * BLOCK_BYTES,
            pinned_only_bytes=pinned_only * BLOCK_BYTES,
            uncommitted_bytes=self.writer.uncommitted_blocks * BLOCK_BYTES,
            held_bytes=self.space.held_blocks * BLOCK_BYTES,
            commits=self.committer.commits,
            inodes=self.namespace.inode_count,
            pins=len(self.pins),
            cached_leaves=len(self.windows.leaves),
            surveyed_leaves=surveyed.leaves,
            pieces_per_leaf=round(surveyed.pieces / max(1, surveyed.leaves)),
            repacked_leaves=self.repacker.leaves,
            repacked_bytes=self.repacker.blocks * BLOCK_BYTES,
        )

    async def check(self, *, read_data: bool = False) -> list[Finding]:
        """What does not hold of the pool's invariants; [] when all do.

        With `read_data` every block is read and compared with its checksum. Everything else waits meanwhile.
        """
        self.collect()
        counters = self.row(clean=False)
        findings = await check_catalog(self.view, self.segments, counters, read_data=read_data)
        return findings + check_memory(self)

    # -- for the rest of the volume -------------------------------------------------------------------------------

    @property
    def has_observers(self) -> bool:
        """Whether making an event is worth the while."""
        return bool(self._observers)

    def emit(self, change: Change) -> None:
        """Tell the observers of a change that has just been made."""
        for callback in self._observers:
            callback(change)

    async def followed(self, *folders: InodeNumber) -> None:
        """Wait for those who act a moment later on changes of names in `folders`; without any, on every change.

        FOLLOWING_SECONDS at the most. Holds no lock meanwhile.
        """
        with trio.move_on_after(FOLLOWING_SECONDS):
            for caught_up in tuple(self._followers):
                await caught_up(folders)

    def check_writable(self) -> None:
        """Raise ReadOnly when the pool is latched. Every change begins with it."""
        if self.failure is not None:
            raise ReadOnly(self.failure)

    def check_room(self) -> None:
        """Raise NoSpace when not even the catalog finds room. Every change that needs room begins with it."""
        if self.committer.is_full:
            raise NoSpace("the disk is full")

    async def wait_for_room(self) -> None:
        """Let a commit look for the room that a deletion may have made since the last one found none. Raises NoSpace."""
        if self.committer.is_full and self.failure is None:
            await self.committer.progress()
        self.check_room()

    @property
    def is_writing_easy(self) -> bool:
        """Whether a write needs neither to be refused nor to wait."""
        return self.failure is None and not self.committer.is_full and not self.committer.is_overrun

    async def throttle(self) -> None:
        """Wait while changes gather faster than commits take them away."""
        while self.committer.is_overrun and self.failure is None and not self.committer.is_full:
            await self.committer.relief()

    async def ready_to_add(self) -> None:
        """Every change of names that takes room begins with it: ReadOnly, NoSpace, or a wait for commits."""
        if not self.is_writing_easy:
            self.check_writable()
            await self.wait_for_room()
            await self.throttle()

    async def ready_to_remove(self) -> None:
        """The same for one that takes none, or gives some back."""
        if not self.is_writing_easy:
            self.check_writable()
            await self.throttle()

    async def make_room(self, error: NoSpace, turns: int) -> int:
        """After `error` in an operation that has been here `turns` times: find room in other ways; returns the turns by now.

        First a segment that is being made, then blocks that are free and have disk space, then those that deletions under way
        and a commit set free, then those that `give_space_back` does. Raises NoSpace when there is none.
        """
        if isinstance(error, SegmentBeingMade) and await self.next_segment.wait():
            return turns
        turn = turns + 1
        if turn == 1 and await self.relax_if_room():
            return turn
        if turn <= 2:
            self.space.press()
        elif (turn == 3 and self._is_freeing) or self.give_space_back():
            await self.namespace.orphans.settle()
            await self.snapshots.deletion.settle()
            await self.windows.reap(len(self.references.dead))
            await self.commit()
            self.space.press()
        else:
            self.condition.note_full("a write found no room")
            raise NoSpace("the disk is full")
        return turn

    async def relax_if_room(self) -> bool:
        """Hold space back again, and then take new disk space again, if there is enough; returns whether this is new."""
        if self._is_reserving:  # a commit and a writer may come here at once
            return False
        self._is_reserving = True
        try:
            if not self.ballast.is_reserved and self._room_beyond() > RESERVE_BYTES + _RELAX_BYTES:
                await self.threads.run_to_the_end("taking the reserve", self.ballast.reserve)
            enough = self.ballast.is_reserved and self._room_beyond() > _RELAX_BYTES
        except VolumeError as error:
            _log.info("the reserve cannot be taken yet: %s", error)
            return False
        finally:
            self._is_reserving = False
        if not enough:
            return False
        if not self.committer.is_full:
            self.condition.note_room()
        if not self.space.is_pressed:
            return False
        self.space.relax()
        return True

    def disk_space_changed(self) -> None:
        """Segments have been given more or less disk space other than by a commit."""
        self._slow_numbers = None

    def latch(self, reason: str) -> None:
        """Refuse every further change: what the disk holds can no longer be told. Reads go on."""
        self.condition.latch(reason)

    @property
    def has_changes(self) -> bool:
        """Whether there is anything to commit. Cheap: asked by everybody who waits for a commit."""
        return (
            self.windows.has_changes
            or self.space.has_changes
            or self.namespace.has_changes
            or self.pins.has_changes
            or self.view.is_dirty
            or self.snapshots.is_wanted
        )

    def collect(self, *, whole: bool = True) -> None:
        """Put all that has changed in memory into the view.

        Without `whole` the rows of leaves may be left as they were, with their changes in the log: for commits alone. Whoever
        reads leaves in the view wants them whole.
        """
        self.windows.collect(whole=whole)
        self.pins.collect(self.view)
        self.space.collect(self.view)
        self.namespace.freeze()

    def row(self, *, clean: bool) -> Row:
        """The columns of Table.POOL for a commit about to begin."""
        names = self.identifiers
        return PoolRow(
            int(clean),
            names.next_inode,
            names.next_leaf,
            names.next_pin,
            names.next_cookie,
            self.committer.commits + 1,
            names.next_snapshot,
            names.next_volume,
        )

    # -- opening and closing --------------------------------------------------------------------------------------

    async def load(self) -> None:
        """Read what is always in memory, and let go what the last owner held for its tokens and open files."""
        await self.space.load(self.view)
        await self.references.load(self.view)
        await self.namespace.load()
        await self.snapshots.load()
        await self.volumes.load()
        pins = await self.pins.drop_old(self.view)
        await self.persistent_opens.load()
        orphans = await self.namespace.recover()
        if self.ballast.is_hollow:
            self.ballast.give_up()
        if not self.ballast.is_reserved:
            await self.relax_if_room()
        if not self.ballast.is_reserved:  # what room there is, is the catalog's, until there is more
            self.space.press()
        if not self._was_clean:
            _log.info("the last owner did not leave in order: dropped %d pins, %d orphans", pins, orphans)

    async def finish(self) -> None:
        """Commit everything and note that the pool was left in order."""
        while self.references.dead and self.failure is None:
            await self.committer.commit_once()
        await self.committer.commit_once()
        await self.reclaimer.finish()
        await self.committer.commit_last()

    # -- inside ---------------------------------------------------------------------------------------------------

    @property
    def _is_freeing(self) -> bool:
        """Whether there are blocks that come free without anything being deleted now."""
        return bool(
            self.space.held_blocks
            or self.references.dead
            or not self.namespace.orphans.is_settled
            or not self.snapshots.deletion.is_settled
        )

    def _spare_bytes(self, available: int) -> int:
        """How much of what is free on the disk may be written to; on a full disk what is left is the catalog's."""
        if not self.space.is_pressed:
            return available
        return max(0, available - _RELAX_BYTES - (0 if self.ballast.is_reserved else RESERVE_BYTES))

    def _room_of_disk(self) -> tuple[int, int]:
        """Capacity and available bytes of the file system below."""
        if self._room == (0, 0) or not self.threads.is_slow:
            try:
                self._room = self.segments.files.room(self.directory)
            except StoreFailed as error:
                self.condition.note_unreadable(str(error))
        return self._room

    def _room_beyond(self) -> int:
        return self.segments.files.room(self.directory)[1]

    def _numbers_of_commit(self) -> tuple[int, int, int]:
        """(disk bytes of segments, shared blocks, blocks only pins hold), which take longer to find out."""
        commits = self.committer.commits
        if self._slow_numbers is None or (self._slow_numbers[0] != commits and not self.threads.is_slow):
            shared = self.space.shared_blocks() + self.references.shared_blocks()
            self._slow_numbers = (commits, self._disk_bytes(), shared, self._pinned_only_blocks())
        elif not self._is_committing and self._released_when_counted != self.pins.released:
            self._slow_numbers = (*self._slow_numbers[:3], self._pinned_only_blocks())
        return self._slow_numbers[1:]

    @property
    def _is_committing(self) -> bool:
        """Whether the next commit will come, and have the numbers found out anew."""
        return self.failure is None and not self.committer.is_full

    def _pinned_only_blocks(self) -> int:
        self._released_when_counted = self.pins.released
        return self.pins.pinned_only_blocks()

    def _disk_bytes(self) -> int:
        try:
            return self.segments.disk_bytes()
        except StoreFailed as error:
            self.condition.note_unreadable(str(error))
            return self._slow_numbers[1] if self._slow_numbers is not None else 0
