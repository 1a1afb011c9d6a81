"""The data path: bytes of files, ranges, clones and pins, over leaves and blocks.

Every state change happens on the trio thread between two checkpoints. What may wait (a leaf that is not cached, a block
that is not in the page cache, a large write) is gathered first; then everything is looked up again and changed at once.
"""

import stat
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

import trio

from odxfs.errors import FileTooBig, InvalidArgument, NoSpace, NotAFile, QuotaExceeded, ReadOnly, Stale
from odxfs.types import BLOCK_BYTES, BLOCKS_PER_LEAF, LEAF_BYTES, MAX_FILE_BYTES, Buffer
from odxfs.volume.changes import MOUNT, ContentChanged
from odxfs.volume.cloning import Cloner, parts_to_capture
from odxfs.volume.comparing import is_as_pinned
from odxfs.volume.extents import WINDOWS_PER_PAGE, ExtentMap, LeafReference, allocated_blocks
from odxfs.volume.pins import Pin
from odxfs.volume.reads import BadBlock, Reader
from odxfs.volume.tree.inodes import ARCHIVE
from odxfs.volume.windows import Windows
from odxfs.volume.writes import (
    SHORT_BYTES,
    Edge,
    Edges,
    Missing,
    RangePermit,
    Writer,
    permit_all,
    whole_or_edge,
)

if TYPE_CHECKING:
    from odxfs.volume.pool import Pool
    from odxfs.volume.tree.inodes import Inode

_PRIVILEGES = stat.S_ISUID | stat.S_ISGID

_COPIED_BYTES = 1 << 20
"""What an unaligned clone copies at a time."""

_LEAVES_A_STEP = 512
"""Leaves (4 GiB) that are given back before others get their turn: a few milliseconds."""

_LONGEST_RANGE_SCAN = 1024
"""Windows that `allocated_ranges` looks at before other tasks get their turn."""


class DataPath:
    """The data half of a volume; one object serves all volumes of a pool (inodes and leaves are pool-wide).

    `origin` names who changes a file ("mount", "smb", ...) and is stamped on the Change events.
    """

    def __init__(self, pool: "Pool", windows: Windows, reader: Reader, writer: Writer) -> None:
        self._pool = pool
        self._windows = windows
        self._reader = reader
        self._writer = writer
        self._cloner = Cloner(pool, windows)
        self.read_nowait = reader.read_nowait
        self.read = reader.read

    # -- writing --------------------------------------------------------------------------------------------------

    def write_nowait(self, inode: "Inode", offset: int, data: Buffer, *, origin: str = "") -> bool:
        """Write now if that needs no waiting; False means: use `write`, nothing was changed. Raises Corrupt, StoreFailed."""
        length = len(data)
        if (
            not length
            or not self._writer.goes_inline(length)
            or not self._pool.is_writing_easy
            or inode.gone
            or inode.snapshot
            or not inode.is_file
        ):
            return False
        end = offset + length
        if end > MAX_FILE_BYTES or self._windows.extents(inode, offset >> 23, (end - 1) >> 23) is None:
            return False
        try:
            if self._writer.try_write(inode, offset, memoryview(data), {}) is not None:
                return False
        except (NoSpace, QuotaExceeded):
            return False
        self.content_changed(inode, offset, length, origin)
        return True

    async def write(
        self,
        inode: "Inode",
        offset: int,
        data: Buffer,
        *,
        origin: str = "",
        may_grow: bool = True,
        permit: RangePermit = permit_all,
    ) -> None:
        """Write all of `data`; the file grows as needed. Without `may_grow` what lies past its end then is left out.

        `permit` is asked in the step that changes the file, and may raise whatever its caller wants to hear.
        Raises NoSpace, QuotaExceeded, FileTooBig, ReadOnly, NotAFile, Stale, Corrupt or StoreFailed; then nothing has changed.
        """
        _require_range(offset, len(data))
        permit(offset, len(data))
        if may_grow and (not data or self.write_nowait(inode, offset, data, origin=origin)):
            return
        inode.writers += 1
        try:
            await self._write_waiting(
                inode, offset, memoryview(data), origin, may_grow=may_grow, permit=permit
            )
        finally:
            inode.writers -= 1

    async def append(self, inode: "Inode", data: Buffer, permit: RangePermit, *, origin: str = "") -> int:
        """Write all of `data` at the end of file, wherever others have moved that when it happens; returns where it was.

        `permit` is asked in the step that changes the file, and may raise. Raises what `write` raises.
        """
        inode.writers += 1
        try:
            return await self._write_waiting(
                inode, inode.size, memoryview(data), origin, at_end=True, permit=permit
            )
        finally:
            inode.writers -= 1

    async def _write_waiting(
        self,
        inode: "Inode",
        offset: int,
        view: memoryview,
        origin: str,
        *,
        may_grow: bool = True,
        at_end: bool = False,
        permit: RangePermit,
    ) -> int:
        """Returns where the data is: at `offset`, or with `at_end` at the end of file."""
        edges = Edges()
        await self._pool.wait_for_room()
        await self._pool.throttle()
        turn, is_overtaken = 0, False
        while view:
            if at_end:
                is_overtaken |= offset != inode.size
                offset = inode.size
                _require_range(offset, len(view))
            extents = await self._windows.load_extents(inode, offset >> 23, (offset + len(view) - 1) >> 23)
            self.check_changeable(inode)
            self._pool.check_room()
            if not may_grow and offset + len(view) > inode.size:
                view = view[: max(0, inode.size - offset)]
                continue
            if at_end and offset != inode.size:
                continue
            permit(offset, len(view))
            try:
                if self._writer.goes_inline(len(view), in_haste=is_overtaken):
                    missing = await self._try_write(inode, offset, view, edges)
                else:
                    missing = await self._writer.write_large(
                        inode, offset, view, edges, may_grow=may_grow, at_end=at_end, permit=permit
                    )
            except NoSpace as error:
                turn = await self._pool.make_room(error, turn)
                continue
            except QuotaExceeded:
                if self._pool.namespace.orphans.is_settled:
                    raise
                await self._pool.namespace.orphans.settle()  # what is being deleted is still charged
                continue
            if missing is None:
                self.content_changed(inode, offset, len(view), origin)
                break
            await self._fetch(inode, extents, missing, edges)
        return offset

    async def truncate(self, inode: "Inode", size: int, *, origin: str = "") -> None:
        """Set the size. What is cut off is freed; what is added reads as zeros.

        A great part is cut off from its end on in several steps, each of which moves the size, with turns for others between.
        Raises FileTooBig, NoSpace (the last block is written anew), ReadOnly, NotAFile, Stale, Corrupt or StoreFailed.
        """
        if not 0 <= size <= MAX_FILE_BYTES:
            raise FileTooBig(f"a size of {size}; a file has at most {MAX_FILE_BYTES} bytes")
        edges, turn = Edges(), 0
        while True:
            self.check_changeable(inode)
            old = inode.size
            try:
                if size >= old or await self._cut_off(inode, size, edges, origin):
                    break
            except NoSpace as error:
                turn = await self._pool.make_room(error, turn)
        inode.size = size
        self._tell(inode, min(old, size), abs(size - old), origin, size_changed=size != old)

    async def deallocate(self, inode: "Inode", offset: int, length: int, *, origin: str = "") -> None:
        """Let a range read as zeros and free its blocks; never moves the end of file. Parts of blocks are written with zeros.

        A great range is freed in several steps, with turns for others between.
        Raises NoSpace (for those parts), ReadOnly, NotAFile, Stale, Corrupt or StoreFailed.
        """
        self.check_changeable(inode)
        end = min(offset + length, inode.size)
        if end <= offset:
            return
        first, stop = (offset + 4095) >> 12, end >> 12
        await self._zero(inode, offset, min(first << 12, end), origin)
        await self._zero(inode, max(stop << 12, offset), end, origin)
        while first < stop:
            extents = await self._load_edges(inode, (first, stop))
            reached = _end_of_step(extents, first, stop)
            self._windows.clear(inode, extents, first, reached)
            if reached < stop:
                self._tell(inode, first << 12, (reached - first) << 12, origin, size_changed=False)
                await trio.lowlevel.checkpoint()
            first = reached
        end = min(end, inode.size)  # it may have been truncated meanwhile
        if offset < end:
            self._tell(inode, offset, end - offset, origin, size_changed=False)

    # -- asking ---------------------------------------------------------------------------------------------------

    async def allocated_ranges(
        self, inode: "Inode", offset: int, length: int, limit: int = 1024
    ) -> list[tuple[int, int]]:
        """(offset, length) in bytes of what holds data in the range, ascending, adjacent ones merged, at most `limit`.

        Raises InvalidArgument for a negative offset.
        """
        _require_offset(offset)
        end = min(offset + length, inode.size)
        if end <= offset:
            return []
        first, stop = offset >> 12, (end + 4095) >> 12
        extents = await self._windows.load_extents(inode, first >> 11, (stop - 1) >> 11)
        merged: list[tuple[int, int]] = []
        windows = list(extents.windows.irange(first >> 11, (stop - 1) >> 11))
        for turn, window in enumerate(windows, 1):
            for low, high in await self._mapped_blocks(extents, window):
                if not _gather(merged, max(low << 12, offset), min(high << 12, end), limit):
                    return merged
            if turn % _LONGEST_RANGE_SCAN == 0:
                await trio.lowlevel.checkpoint()
        return merged

    async def next_data(self, inode: "Inode", offset: int) -> int | None:
        """The first byte at or behind `offset` that is not in a hole, or None when only a hole follows (SEEK_DATA).

        Raises InvalidArgument for a negative offset.
        """
        _require_offset(offset)
        window, last = offset // LEAF_BYTES, (inode.size - 1) // LEAF_BYTES
        while window <= last:
            through = min(window | (WINDOWS_PER_PAGE - 1), last)
            extents = await self._windows.load_extents(inode, window, through)
            for mapped in list(extents.windows.irange(window, through)):
                for low, high in await self._mapped_blocks(extents, mapped):
                    if offset < min(high << 12, inode.size):
                        return max(low << 12, offset)
            window = through + 1
            await trio.lowlevel.checkpoint()  # the hole may be 16 TiB long
        return None

    async def sync(self, inode: "Inode | None" = None) -> None:
        """Make everything up to now durable; one commit serves all who wait. Raises ReadOnly, NoSpace or StoreFailed."""
        await self._pool.commit()

    # -- pins and clones ------------------------------------------------------------------------------------------

    async def read_pin(self, pin: Pin, offset: int, length: int) -> Buffer:
        """Bytes of a pin, from `offset` of it on, clipped at its end.

        Raises InvalidArgument when it is or was released before the read ended, Corrupt or StoreFailed.
        """
        self._pool.pins.check(pin)
        try:
            return await self._reader.read_pin(pin, offset, length)
        finally:
            self._pool.pins.check(pin)

    def read_pin_nowait(self, pin: Pin, offset: int, length: int) -> Buffer | None:
        """`read_pin` of what is at hand; None: use `read_pin`. Raises InvalidArgument for a released pin."""
        self._pool.pins.check(pin)
        return self._reader.read_pin_nowait(pin, offset, length)

    async def pinned_ranges(
        self, pin: Pin, offset: int, length: int, limit: int = 1024
    ) -> list[tuple[int, int]]:
        """`allocated_ranges` of a pin; offsets are in bytes from its beginning. Raises InvalidArgument as `read_pin` does."""
        self._pool.pins.check(pin)
        start, end = pin.offset + offset, pin.offset + min(offset + length, pin.length)
        found: list[tuple[int, int]] = []
        if start >= end:
            return found
        for window in range(start // LEAF_BYTES, -(-end // LEAF_BYTES)):
            for low, high in await self._data_blocks(pin.leaf_at, window, self._windows.leaves.load):
                begin, finish = max(low << 12, start) - pin.offset, min(high << 12, end) - pin.offset
                if not _gather(found, begin, finish, limit):
                    return found
        self._pool.pins.check(pin)
        return found

    async def capture(self, inode: "Inode", offset: int, length: int) -> Pin:
        """Hold a range as it is now, unsynced data included; clipped at the end of file rounded up to a block.

        The caller owns the pin and gives it back with `Pool.release_pin`.
        """
        return await self._cloner.capture(inode, offset, length)

    async def is_as_pinned(self, inode: "Inode", pin: Pin) -> bool:
        """Whether the range that a pin was taken from is the same in the file still. Raises Corrupt or StoreFailed.

        By the blocks that the file names: they are the same unless somebody wrote, punched or cut off any of them, even if the
        same bytes came back. The end of file is not looked at. Cost: a comparison a window, and the leaves of changed ones.
        """
        return await is_as_pinned(self._windows, inode, pin)

    async def write_pin(
        self,
        inode: "Inode",
        offset: int,
        pin: Pin,
        pin_offset: int,
        length: int,
        *,
        origin: str = "",
        may_grow: bool = True,
        permit: RangePermit = permit_all,
    ) -> int:
        """Let `length` bytes of the pin, from `pin_offset` of it on, appear at `offset`; clipped at the pin's end.

        Without `may_grow` also at the end of file, wherever that is moved meanwhile. `permit` as `write` has it, in each of the
        steps, which go from the beginning to the end: when this raises, what lies before the offset of the last one has appeared
        and nothing else.

        Whole blocks are shared when both sides are aligned alike, whole windows by one reference; the rest is copied.
        Returns the bytes shared. Raises InvalidArgument for a released pin, and whatever `write` raises; QuotaExceeded before
        anything has changed, unless others use up the quota meanwhile.
        """
        self._pool.pins.check(pin)
        length = min(length, pin.length - pin_offset)
        end = offset + length
        if end > MAX_FILE_BYTES:
            raise FileTooBig(f"a clone to byte {end}; a file has at most {MAX_FILE_BYTES}")
        self.check_changeable(inode)
        if length <= 0:
            return 0
        shift = pin.offset + pin_offset - offset
        if inode.volume in self._windows.quotas.limits:
            copied = await self._blocks_to_copy(offset, end, pin, shift, may_grow=may_grow)
            await self._cloner.require_quota(inode, offset, pin, pin_offset, length, copied)
            self.check_changeable(inode)
        first, stop = (offset + 4095) >> 12, end >> 12
        if shift % BLOCK_BYTES or first >= stop:
            await self._copy(inode, offset, end, pin, shift, origin, may_grow=may_grow, permit=permit)
            return 0
        await self._copy(inode, offset, first << 12, pin, shift, origin, may_grow=may_grow, permit=permit)
        reached = await self._cloner.share(
            inode, first, stop, pin, shift // BLOCK_BYTES, origin, may_grow=may_grow, permit=permit
        )
        await self._copy(inode, reached << 12, end, pin, shift, origin, may_grow=may_grow, permit=permit)
        return (reached - first) << 12

    async def clone_range(
        self,
        source: "Inode",
        source_offset: int,
        destination: "Inode",
        destination_offset: int,
        length: int,
        *,
        origin: str = "",
    ) -> int:
        """Capture and write_pin in one; returns the bytes shared. Raises InvalidArgument for ranges that overlap.

        In parts of CAPTURED_BYTES, each of one moment.
        """
        if source is destination and abs(source_offset - destination_offset) < length:
            raise InvalidArgument("the source and the destination overlap")
        done = shared = 0
        for part in parts_to_capture(destination_offset, length):
            pin = await self.capture(source, source_offset + done, part)
            try:
                shared += await self.write_pin(
                    destination, destination_offset + done, pin, 0, part, origin=origin
                )
            finally:
                self._pool.release_pin(pin)
            done += part
            if done < length:
                await trio.lowlevel.checkpoint()
        return shared

    async def discard(self, number: int) -> None:
        """Give back all data of an inode that is deleted for good (no event, no time changes); called by the namespace
        when nlink is 0 and nothing holds it, and for each orphan found at mount. The inode's row and ORPHAN row are the
        namespace's, to be deleted after this returns."""
        await self._windows.discard(number)
        self._pool.committer.note_freed()

    # -- shared with the cloner -----------------------------------------------------------------------------------

    def check_changeable(self, inode: "Inode") -> None:
        """Before each step that changes the data of an inode, which may have come to be another kind meanwhile.

        Raises ReadOnly when the pool is latched and for what is in a snapshot, Stale for an inode that is deleted for good,
        NotAFile for one that holds no data.
        """
        self._pool.check_writable()
        if inode.snapshot:
            raise ReadOnly("a snapshot cannot be changed")
        if inode.gone:
            raise Stale(f"inode {inode.number} has been deleted")
        if not inode.is_file:
            raise NotAFile(f"inode {inode.number} is no file")

    def content_changed(self, inode: "Inode", offset: int, length: int, origin: str) -> None:
        """After bytes changed: the size if they lie past it, the times, the bounds that call for a commit, the event."""
        end = offset + length
        grown = end > inode.size
        if grown:
            inode.size = end
        self._tell(inode, offset, length, origin, size_changed=grown)

    def _tell(self, inode: "Inode", offset: int, length: int, origin: str, *, size_changed: bool) -> None:
        pool = self._pool
        inode.mtime_ns = inode.ctime_ns = pool.clock()
        if origin != MOUNT:
            if inode.may_be_capable:
                pool.namespace.xattrs.drop_capability(inode)
            if inode.mode & _PRIVILEGES:
                inode.mode = _without_privileges(inode.mode)
        pool.namespace.mark_dirty(inode)
        if inode.parent:  # a stream: whatever else is written to has none
            pool.namespace.stream_changes.content_changed(inode)
        else:
            inode.dos_attributes |= ARCHIVE
        pool.committer.note_change()
        if pool.has_observers:
            pool.emit(ContentChanged(inode.volume, origin, inode.number, offset, length, size_changed))

    # -- inside ---------------------------------------------------------------------------------------------------

    async def _try_write(self, inode: "Inode", offset: int, data: memoryview, edges: Edges) -> Missing | None:
        return self._writer.try_write(inode, offset, data, edges)

    async def _fetch(self, inode: "Inode", extents: ExtentMap, missing: Missing, edges: Edges) -> None:
        """Bring into memory what a write could not go on without."""
        if isinstance(missing, Edge):
            try:
                edges[missing] = await self._reader.block_at(missing.place, missing.crc)
            except BadBlock as error:
                await self._reader.fail(inode, missing.block << 12, error)
        elif missing:
            await self._windows.load_leaf(extents, missing)

    async def _load_edges(self, inode: "Inode", *ranges: tuple[int, int]) -> ExtentMap:
        """The map for each range of blocks [first, stop), and in the cache the leaves they cover in part."""
        while True:
            for first, stop in ranges:
                extents = await self._windows.load_extents(inode, first >> 11, (stop - 1) >> 11)
            missing = [self._windows.missing_leaf(extents, first, stop) for first, stop in ranges]
            if not any(missing):
                self.check_changeable(inode)
                return extents
            await self._windows.load_leaf(extents, next(filter(None, missing)))

    async def _cut_off(self, inode: "Inode", size: int, edges: Edges, origin: str) -> bool:
        """Free what lies past `size` and clear the rest of its last block; False when it must be tried again.

        Where that is much it is cut off in steps, from the end on.
        """
        old, last = inode.size, size >> 12
        keep, stop = (size + 4095) >> 12, (old + 4095) >> 12
        ranges = ((last, last + 1), (keep, stop)) if keep < stop else ((last, last + 1),)
        extents = await self._load_edges(inode, *ranges)
        if inode.size != old:
            return False
        first = _beginning_of_step(extents, keep, stop)
        if first > keep:
            self._windows.clear(inode, extents, first, stop)
            inode.size = first << 12
            self._tell(inode, inode.size, old - inode.size, origin, size_changed=True)
            await trio.lowlevel.checkpoint()
            return False
        if size & 4095 and self._writer.has_block(extents, last):
            zeros = memoryview(bytes(BLOCK_BYTES - (size & 4095)))
            missing = self._writer.try_write(inode, size, zeros, edges)
            if missing is not None:
                await self._fetch(inode, extents, missing, edges)
                return False
        if keep < stop:
            self._windows.clear(inode, extents, keep, stop)
        return True

    async def _zero(self, inode: "Inode", offset: int, end: int, origin: str) -> None:
        """Write zeros over a part of one block, if it has one, as far as the file reaches then."""
        edges, turn, block = Edges(), 0, offset >> 12
        while offset < end:
            extents = await self._load_edges(inode, (block, block + 1))
            self._pool.check_room()
            end = min(end, inode.size)
            if offset >= end or not self._writer.has_block(extents, block):
                return
            try:
                missing = self._writer.try_write(inode, offset, memoryview(bytes(end - offset)), edges)
            except NoSpace as error:
                turn = await self._pool.make_room(error, turn)
                continue
            if missing is None:
                self._tell(inode, offset, end - offset, origin, size_changed=False)
                return
            await self._fetch(inode, extents, missing, edges)

    async def _copy(
        self,
        inode: "Inode",
        offset: int,
        end: int,
        pin: Pin,
        shift: int,
        origin: str,
        *,
        may_grow: bool,
        permit: RangePermit,
    ) -> None:
        """Copy bytes of a pin: file offset + `shift` is where they were."""
        for at, length in _pieces(offset, end, may_grow=may_grow):
            if not may_grow and at >= inode.size:
                return
            start = at + shift - pin.offset
            if await self.pinned_ranges(pin, start, length, 1):
                data = await self.read_pin(pin, start, length)
                await self.write(inode, at, data, origin=origin, may_grow=may_grow, permit=permit)
            else:
                permit(at, length)
                await self.deallocate(inode, at, length, origin=origin)
                if may_grow and inode.size < at + length:
                    await self.truncate(inode, at + length, origin=origin)
            if at + length < end:
                await trio.lowlevel.checkpoint()

    async def _blocks_to_copy(
        self, offset: int, end: int, pin: Pin, shift: int, *, may_grow: bool
    ) -> int | None:
        """The blocks that a copy writes to, piece by piece; None where blocks are shared."""
        if not shift % BLOCK_BYTES:
            return None
        found = reached = 0
        for at, length in _pieces(offset, end, may_grow=may_grow):
            if await self.pinned_ranges(pin, at + shift - pin.offset, length, 1):
                first, stop = max(at >> 12, reached), (at + length + 4095) >> 12
                found, reached = found + stop - first, stop
        return found

    async def _mapped_blocks(self, extents: ExtentMap, window: int) -> list[tuple[int, int]]:
        return await self._data_blocks(extents.get, window, partial(self._windows.load_leaf, extents))

    async def _data_blocks(
        self,
        lookup: Callable[[int], LeafReference],
        window: int,
        load: Callable[[LeafReference], Awaitable[object]],
    ) -> list[tuple[int, int]]:
        """[low, high) in blocks of the file, of what one window maps; `load` brings a leaf into the cache."""
        base = window * BLOCKS_PER_LEAF
        while reference := lookup(window):
            if allocated_blocks(reference) == BLOCKS_PER_LEAF:
                return [(base, base + BLOCKS_PER_LEAF)]
            leaf = self._windows.leaf(reference)
            if leaf is not None:
                pieces = leaf.pieces(0, BLOCKS_PER_LEAF)
                return [(base + first, base + first + count) for first, count, _ in pieces]
            await load(reference)
        return []


def _require_range(offset: int, length: int) -> None:
    if offset < 0 or offset + length > MAX_FILE_BYTES:
        raise FileTooBig(f"a write to byte {offset + length}; a file has at most {MAX_FILE_BYTES}")


def _require_offset(offset: int) -> None:
    if offset < 0:
        raise InvalidArgument(f"a file has no byte {offset}")


def _pieces(offset: int, end: int, *, may_grow: bool) -> Iterator[tuple[int, int]]:
    """(offset, length) of what a copy moves at a time; what holds no data in the pin becomes a hole.

    A write on this thread looks at the end of file in the step in which it writes: what may not move it is copied in short ones.
    Parts of blocks are pieces of their own, so that each piece is changed whole or not at all.
    """
    most = _COPIED_BYTES if may_grow else SHORT_BYTES
    while offset < end:
        length = min(most, end - offset, whole_or_edge(offset, end - offset))
        yield offset, length
        offset += length


def _end_of_step(extents: ExtentMap, first: int, stop: int) -> int:
    """Where a step that gives back the blocks [first, stop) ends: behind as many leaves as others may wait for."""
    windows = extents.windows.irange(first >> 11, (stop - 1) >> 11)
    beyond = next(islice(windows, _LEAVES_A_STEP, None), None)
    return stop if beyond is None else beyond << 11


def _beginning_of_step(extents: ExtentMap, first: int, stop: int) -> int:
    """The same from the end on: where a step begins that ends at `stop`."""
    if first >= stop:
        return first
    windows = extents.windows.irange(first >> 11, (stop - 1) >> 11, reverse=True)
    before = next(islice(windows, _LEAVES_A_STEP, None), None)
    return first if before is None else (before + 1) << 11


def _gather(merged: list[tuple[int, int]], start: int, finish: int, limit: int) -> bool:
    """Add [start, finish) behind the (offset, length) that are there, in one with the last if they touch; False past `limit`."""
    if start >= finish:
        return True
    if merged and sum(merged[-1]) == start:
        merged[-1] = (merged[-1][0], finish - merged[-1][0])
    elif len(merged) == limit:
        return False
    else:
        merged.append((start, finish - start))
    return True


def _without_privileges(mode: int) -> int:
    """What a write by somebody without privileges leaves of a mode (write(2)): set-group-ID only where it means locking."""
    return mode & ~(stat.S_ISUID | (stat.S_ISGID if mode & stat.S_IXGRP else 0))
