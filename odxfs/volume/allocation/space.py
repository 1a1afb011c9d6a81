"""Space: which blocks are used, how many leaf slots name a shared one, and where the next write goes.

For each group of 16,384 blocks (64 MiB of a segment) there are two bitmaps. `used` has the blocks that leaves name; it is
what a commit persists. `busy` has those that must not be handed out: the used ones, those whose data is being written, and
those that were freed but may still be needed (by a crash before the next commit, or by a read under way). Counts are kept
only for blocks that two or more slots name.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
from sortedcontainers import SortedSet

from odxfs.errors import Corrupt, NoSpace
from odxfs.volume.allocation.group import (
    BLOCKS_PER_GROUP,
    GROUP_SHIFT,
    GROUPS_PER_SEGMENT,
    SLOT_MASK,
    CountPage,
    Group,
    all_set,
    clear_bits,
    runs_of,
    set_bits,
)
from odxfs.volume.allocation.streams import Streams
from odxfs.volume.blocks.segments import Segments
from odxfs.volume.catalog.interface import Table
from odxfs.volume.catalog.overlay import CatalogView
from odxfs.volume.leaf import Leaf, Run

LARGE_BLOCKS = 64
"""Requests from here on go to their own group, so that small writes do not cut up the room for long runs."""

_WORTH_OPENING = {False: 64, True: 1024}
"""Free blocks that make a group worth opening for small and for large requests: below that the pieces are too short."""

_FEW_GROUPS = 2
"""Groups, 128 MiB together, that last until the next segment has been made."""

WIDE_BLOCKS = 256
"""Free runs of 1 MiB and more are worth a hole in the segment; a hole costs the kernel milliseconds, whatever its size."""

_EXPANDED_GROUPS = 256
"""Count pages kept unpacked, 64 KiB each."""


class _Cursor:
    """A group checked out for allocation: its free runs, last first. All of them are busy while it is open."""

    __slots__ = ("group", "large", "runs")

    def __init__(self, *, large: bool) -> None:
        self.large = large
        self.group: Group | None = None
        self.runs: list[Run] = []


class Space:
    """The pool's blocks. All methods are synchronous and for the trio thread."""

    def __init__(self, segments: Segments) -> None:
        self._segments = segments
        self._groups: list[Group] = []
        self._dirty: set[int] = set()
        self._cursors = {large: _Cursor(large=large) for large in (False, True)}
        self._roomy = {large: SortedSet() for large in (False, True)}
        self._expanded: deque[Group] = deque()
        self._pressed: list[Run] | None = None
        self._suspects: SortedSet = SortedSet()
        self._forgotten: set[int] = set()
        self._checked_out: list[Run] = []
        self.streams = Streams(self)
        self.on_damage: Callable[[str], None] = lambda _: None
        """Told of damaged counts, which are met in the middle of a change: nothing may be committed from then on."""
        self.on_little_room: Callable[[], None] = lambda: None
        """Told when a group is opened while `has_little_room`."""
        self.used_blocks = 0
        self.freed: list[Run] = []
        """Freed since the last commit began: busy, no longer used."""
        self.freed_blocks = 0
        self.held_blocks = 0
        """Blocks that are freed and not yet to be had again (freed_blocks included)."""
        self.running_reads = 0
        """Reads in worker threads, which may want blocks that are freed meanwhile."""
        self.staged_blocks = 0
        """Allocated blocks whose data is on its way in a worker thread."""
        self._given_up_blocks = 0

    async def load(self, view: CatalogView) -> None:
        """Read every group. Raises Corrupt."""
        for (number,), (used, counts) in await view.range(Table.SPACE, (0,), (1 << 50,)):
            assert isinstance(number, int)
            assert isinstance(used, bytes)
            assert counts is None or isinstance(counts, bytes)
            self._grow(number)
            self._groups.append(Group(number, used, counts))
            self._settle(self._groups[number])
            self.used_blocks += self._groups[number].used_blocks
        known = -(-len(self._groups) // GROUPS_PER_SEGMENT)
        self._segments.require(known)
        self._segments.drop_unnamed(known)
        self._grow(self._segments.count * GROUPS_PER_SEGMENT)
        self._suspects.update(group.number for group in self._groups if group.free_blocks >= WIDE_BLOCKS)

    # -- allocation -----------------------------------------------------------------------------------------------

    def allocate(self, count: int) -> list[Run]:
        """Take `count` blocks for data about to be written: as few runs as can be had, none crossing a group.

        They are nobody's until `adopt` or `give_back`. Raises NoSpace (under pressure only, see `press`) or StoreFailed.
        """
        if self._pressed is not None:
            return self._allocate_pressed(count)
        cursor = self._cursors[count >= LARGE_BLOCKS]
        taken: list[Run] = []
        while count:
            if not cursor.runs:
                try:
                    self._open_next(cursor)
                except BaseException:
                    self.give_back(taken)
                    raise
            place, free = cursor.runs[-1]
            if free > count:
                cursor.runs[-1] = (place + count, free - count)
                taken.append((place, count))
                return taken
            cursor.runs.pop()
            taken.append((place, free))
            count -= free
        return taken

    def adopt(self, place: int, count: int) -> None:
        """Allocated blocks are named by a leaf from now on. They lie in one group."""
        group = self._groups[place >> GROUP_SHIFT]
        set_bits(group.used, place & SLOT_MASK, count)
        group.used_blocks += count
        self.used_blocks += count
        self._dirty.add(group.number)
        if group.unborn is None:
            group.unborn = bytearray(len(group.used))
        set_bits(group.unborn, place & SLOT_MASK, count)

    def give_back(self, runs: Iterable[Run]) -> None:
        """Allocated blocks that nothing came to name are free again, at once."""
        numbers: set[int] = set()
        for place, count in runs:
            number = place >> GROUP_SHIFT
            group = self._groups[number]
            clear_bits(group.busy, place & SLOT_MASK, count)
            group.free_blocks += count
            numbers.add(number)
        for number in numbers:
            self._settle(self._groups[number])

    @contextmanager
    def staging(self, runs: Iterable[Run]) -> Iterator[None]:
        """A worker thread writes to allocated blocks. Adopt them or give them back before the next checkpoint."""
        blocks = sum(count for _, count in runs)
        self.staged_blocks += blocks
        try:
            yield
        finally:
            self.staged_blocks -= blocks

    def press(self) -> None:
        """The disk is full: from now on hand out only free blocks that have disk space already."""
        self.relax()
        self.streams.dissolve()
        self._close_cursors()
        self._pressed = []
        for place, count in reversed(self._segments.with_disk_space()):
            for number in range((place + count - 1) >> GROUP_SHIFT, (place >> GROUP_SHIFT) - 1, -1):
                if number < len(self._groups) and self._groups[number].free_blocks:
                    self._pressed += self._take_free_between(self._groups[number], place, place + count)

    def relax(self) -> None:
        """The disk has room again: hand out blocks that need disk space, too."""
        if self._pressed is not None:
            pressed, self._pressed = self._pressed, None
            self.give_back(pressed)

    @property
    def is_pressed(self) -> bool:
        return self._pressed is not None

    @property
    def has_little_room(self) -> bool:
        """Whether few groups are left that are worth opening for large requests: a segment will be needed soon."""
        return len(self._roomy[True]) <= _FEW_GROUPS

    # -- sharing and freeing --------------------------------------------------------------------------------------

    def share(self, place: int, count: int) -> None:
        """One more slot names each of these used blocks."""
        while count:
            group = self._groups[place >> GROUP_SHIFT]
            first = place & SLOT_MASK
            length = min(count, BLOCKS_PER_GROUP - first)
            part = self._counts_to_change(group)[first : first + length]
            part[part == 0] = 1
            part += 1
            place, count = place + length, count - length

    def share_leaf(self, leaf: Leaf) -> None:
        """One more slot names each block of `leaf`: it has been copied."""
        places = leaf.place_array()
        if places is None:
            for _, count, place in leaf.runs or ():
                self.share(place, count)
            return
        for group, slots in self._by_group(places):
            counts = self._counts_to_change(group)
            more = np.bincount(slots, minlength=BLOCKS_PER_GROUP).astype(np.uint32)
            counts[(more != 0) & (counts == 0)] = 1
            counts += more

    def release(self, place: int, count: int) -> None:
        """One slot less names each of these used blocks; those nobody names are freed."""
        while count:
            group = self._groups[place >> GROUP_SHIFT]
            first = place & SLOT_MASK
            length = min(count, BLOCKS_PER_GROUP - first)
            if not group.has_counts:
                self._free(group, first, length)
            else:
                self._release_counted(group, first, length)
            place, count = place + length, count - length

    def release_leaf(self, leaf: Leaf) -> None:
        """The leaf is gone: one slot less names each of its blocks."""
        places = leaf.place_array()
        if places is None:
            for _, count, place in leaf.runs or ():
                self.release(place, count)
            return
        for group, slots in self._by_group(places):
            less = np.bincount(slots, minlength=BLOCKS_PER_GROUP)
            if not group.has_counts:
                freed = np.flatnonzero(less)
            else:
                counts = self._counts_to_change(group)
                left = np.maximum(counts, 1).astype(np.int64) - less
                freed = np.flatnonzero((less != 0) & (left <= 0))
                counts[:] = np.where(left >= 2, left, 0)
            for first, count in runs_of(freed):
                self._free(group, first, count)

    def has_shared(self, leaf: Leaf) -> bool:
        """Whether another slot names a block of a dense leaf, too. Raises Corrupt."""
        places = leaf.place_array()
        assert places is not None
        for group, slots in self._by_group(places):
            counts = group.counts if group.has_counts else None
            if counts is not None and counts[slots].any():
                return True
        return False

    def count_own(self, leaf: Leaf) -> int:
        """The blocks of a leaf that no other slot names. Raises Corrupt."""
        places = leaf.place_array()
        if places is None:
            runs = [np.arange(place, place + count) for _, count, place in leaf.runs or ()]
            places = np.concatenate(runs) if runs else np.empty(0, np.int64)
        own = 0
        for group, slots in self._by_group(places):
            counts = group.counts if group.has_counts else None
            own += len(slots) if counts is None else int(np.count_nonzero(counts[slots] == 0))
        return own

    # -- commits --------------------------------------------------------------------------------------------------

    @property
    def has_changes(self) -> bool:
        """Whether groups wait for a commit."""
        return bool(self._dirty or self._forgotten)

    def collect(self, view: CatalogView) -> None:
        """Put the changed groups into the view."""
        for number in self._forgotten:
            view.delete(Table.SPACE, (number,))
        self._forgotten.clear()
        for number in self._dirty:
            view.put(Table.SPACE, (number,), self._groups[number].row())
            self._groups[number].unborn = None
        self._given_up_blocks = 0
        self._dirty.clear()
        while len(self._expanded) > _EXPANDED_GROUPS:
            self._expanded.popleft().fold_counts()

    def take_freed(self) -> list[Run]:
        """The blocks that the commit frees which takes what was collected up to now."""
        freed, self.freed, self.freed_blocks = self.freed, [], 0
        return freed

    def take_given_up(self) -> int:
        """How many blocks came into use and went again without any commit, since the last call."""
        given_up, self._given_up_blocks = self._given_up_blocks, 0
        return given_up

    def refuse(self, freed: list[Run]) -> None:
        """The commit failed: what it freed waits for the next."""
        self.freed = freed + self.freed
        self.freed_blocks += sum(count for _, count in freed)

    def reuse(self, freed: list[Run]) -> None:
        """What a durable commit freed, and no read can still want, may be handed out."""
        self.give_back(freed)
        self.held_blocks -= sum(count for _, count in freed)
        self._suspects.update({place >> GROUP_SHIFT for place, _ in freed})

    # -- giving disk space back -----------------------------------------------------------------------------------

    @property
    def suspects(self) -> int:
        """Groups in which free blocks may have disk space: those where blocks were freed, and all of a pool just opened."""
        return len(self._suspects)

    def check_out_wide(self, *, in_use: bool) -> list[Run]:
        """Take the wide free runs of a suspected group, to give their disk space back; [] when none is left.

        The highest group comes first: what is allocated comes from below. `in_use` leaves out groups that allocation has
        open. `check_in` gives the runs back; until then there is no other group checked out.
        """
        if not in_use:
            self._close_cursors()
        for number in list(reversed(self._suspects)):
            group = self._groups[number]
            if self._is_open(group):
                continue
            self._suspects.discard(number)
            if group.free_blocks < WIDE_BLOCKS:
                continue
            runs = self._take_free(group)
            self.give_back([run for run in runs if run[1] < WIDE_BLOCKS])
            self._checked_out = [run for run in runs if run[1] >= WIDE_BLOCKS]
            if self._checked_out:
                return self._checked_out
            self._settle(group)
        return []

    def check_out_pressed(self) -> list[Run]:
        """Under pressure: take all wide free runs that have disk space. What is given back lets the pressure end."""
        self.press()  # what has come free since is among it, too
        assert self._pressed is not None
        self._checked_out = [run for run in self._pressed if run[1] >= WIDE_BLOCKS]
        self._pressed = [run for run in self._pressed if run[1] < WIDE_BLOCKS]
        return self._checked_out

    def check_in(self) -> None:
        """What was checked out is free again."""
        runs, self._checked_out = self._checked_out, []
        self.give_back(runs)

    def retire_last_segment(self) -> bool:
        """Do without the last segment if nothing of it is busy; True when it goes, with the next commit.

        Until that commit is durable the segment can be had back (`_open_next`); then its file may go.
        """
        first = len(self._groups) - GROUPS_PER_SEGMENT
        if first < 0 or self._pressed is not None or self._checked_out or self._segments.next_is_being_made:
            return False
        leaving = self._groups[first:]
        free = sum(group.free_blocks for group in leaving)
        free += sum(
            count
            for cursor in self._cursors.values()
            for place, count in cursor.runs
            if place >> GROUP_SHIFT >= first
        )
        if free != GROUPS_PER_SEGMENT * BLOCKS_PER_GROUP - 1:
            return False
        self._close_cursors()
        for group in leaving:
            self._forget_room(group)
            self._suspects.discard(group.number)
            self._dirty.discard(group.number)
            self._forgotten.add(group.number)
        del self._groups[first:]
        self._segments.retire_last()
        return True

    # -- for statistics and check ---------------------------------------------------------------------------------

    @property
    def groups(self) -> list[Group]:
        """Every group in order of number; the caller reads only."""
        return self._groups

    def shared_blocks(self) -> int:
        """Blocks that two or more slots name."""
        return sum(group.shared_blocks() for group in self._groups)

    def checked_out_blocks(self) -> int:
        """Blocks that are busy only because allocation is about to hand them out."""
        runs = [run for cursor in self._cursors.values() for run in cursor.runs]
        runs += [*(self._pressed or ()), *self._checked_out]
        return self.streams.blocks + sum(count for _, count in runs)

    # -- inside ---------------------------------------------------------------------------------------------------

    def _open_next(self, cursor: _Cursor) -> None:
        """Check out a group with room; make new ones when there is none.

        Large requests begin at the lowest group: what was freed is used again soon, while its pages are cached, and the
        segments stay small. Small ones go round, so that they do not chase single blocks.
        """
        last, cursor.group = cursor.group, None
        if last is not None:
            self._settle(last)
        roomy = self._roomy[cursor.large]
        while True:
            if not roomy:
                self._segments.add_next()
                self._grow(self._segments.count * GROUPS_PER_SEGMENT)
            if self.has_little_room:
                self.on_little_room()
            index = 0 if cursor.large or last is None else roomy.bisect_right(last.number) % len(roomy)
            group = self._groups[roomy[index]]
            runs = self._take_free(group)
            enough = LARGE_BLOCKS if cursor.large else 1
            cursor.group, cursor.runs = group, [run for run in runs if run[1] >= enough]
            self._put_back(group, [run for run in runs if run[1] < enough])
            if cursor.runs:
                return
            cursor.group = None

    def _grow(self, groups: int) -> None:
        while len(self._groups) < groups:
            self._groups.append(Group(len(self._groups)))
            self._settle(self._groups[-1])

    def _settle(self, group: Group) -> None:
        """Note whether the group is worth opening."""
        for large, enough in _WORTH_OPENING.items():
            if group.free_blocks >= enough and not self._is_open(group):
                self._roomy[large].add(group.number)

    def _is_open(self, group: Group) -> bool:
        return any(cursor.group is group for cursor in self._cursors.values())

    def _forget_room(self, group: Group) -> None:
        for roomy in self._roomy.values():
            roomy.discard(group.number)

    def _take_free(self, group: Group) -> list[Run]:
        """All free runs of a group, last first; they are busy from now on."""
        self._forget_room(group)
        return group.take_free()

    def _take_free_between(self, group: Group, low: int, high: int) -> list[Run]:
        """The free runs of a group that lie in places [low, high), last first; the rest of the group stays free."""
        taken, rest = [], []
        for place, count in self._take_free(group):
            start, end = max(place, low), min(place + count, high)
            if start >= end:
                rest.append((place, count))
                continue
            taken.append((start, end - start))
            rest += [(place, start - place)] if start > place else []
            rest += [(end, place + count - end)] if end < place + count else []
        self.give_back(rest)
        return taken

    def _put_back(self, group: Group, runs: list[Run]) -> None:
        """Undo `_take_free` for what is of no use to large requests."""
        for place, count in runs:
            clear_bits(group.busy, place & SLOT_MASK, count)
            group.free_blocks += count
        if group.free_blocks >= _WORTH_OPENING[False]:
            self._roomy[False].add(group.number)

    def _close_cursors(self) -> None:
        for cursor in self._cursors.values():
            runs, group = cursor.runs, cursor.group
            cursor.runs, cursor.group = [], None
            self.give_back(runs)
            if group is not None:
                self._settle(group)

    def _allocate_pressed(self, count: int) -> list[Run]:
        assert self._pressed is not None
        taken: list[Run] = []
        while count and self._pressed:
            place, free = self._pressed.pop()
            length = min(free, count)
            if length < free:
                self._pressed.append((place + length, free - length))
            taken.append((place, length))
            count -= length
        if count:
            self._pressed += reversed(taken)
            raise NoSpace("the disk is full")
        return taken

    def _free(self, group: Group, first: int, count: int) -> None:
        clear_bits(group.used, first, count)
        group.used_blocks -= count
        self.used_blocks -= count
        self._dirty.add(group.number)
        if self._is_unborn(group, first, count):
            self._given_up_blocks += count
            place = (group.number << GROUP_SHIFT) + first
            if count > 1 or not self.streams.keep(place):
                self.give_back([(place, count)])
            self._suspects.add(group.number)
            return
        self.freed.append(((group.number << GROUP_SHIFT) + first, count))
        self.freed_blocks += count
        self.held_blocks += count

    def _is_unborn(self, group: Group, first: int, count: int) -> bool:
        """Whether a run that is freed was never named by a commit, and no read can still want it: it is free at once.

        So what is written over and over, or deleted soon, comes back to pages that are cached, and most of it never to the disk.
        """
        unborn = group.unborn
        return (
            unborn is not None
            and not self.running_reads
            and self._pressed is None
            and all_set(unborn, first, count)
        )

    def _release_counted(self, group: Group, first: int, count: int) -> None:
        counts = self._counts_to_change(group)
        part = counts[first : first + count]
        freed = np.flatnonzero(part == 0)
        part[part != 0] -= 1
        part[part == 1] = 0
        for start, length in runs_of(freed):
            self._free(group, first + start, length)

    def _counts_to_change(self, group: Group) -> CountPage:
        if not group.has_unpacked_counts:
            self._expanded.append(group)
        self._dirty.add(group.number)
        try:
            return group.need_counts()
        except Corrupt as error:
            self.on_damage(str(error))
            raise

    def _by_group(self, places: npt.NDArray[np.int64]) -> Iterable[tuple[Group, npt.NDArray[np.int64]]]:
        numbers = places >> GROUP_SHIFT
        for number in np.unique(numbers).tolist():
            yield self._groups[number], places[numbers == number] & SLOT_MASK
