"""Reading: from leaves to verified bytes.

A plan is made at once on the trio thread: the pieces to read, with the checksums they must have. After that nothing that
happens to the file matters: the blocks of a plan stay as they are until the read has ended (`InFlightReads`).
"""

import logging
from array import array
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from odxfs.buffers import uninitialised
from odxfs.errors import Corrupt, NotAFile, Stale, StoreFailed
from odxfs.types import BLOCK_BYTES, BLOCKS_PER_LEAF, Buffer, LeafId
from odxfs.volume.allocation.reuse import InFlightReads
from odxfs.volume.blocks.segments import Segments
from odxfs.volume.checksums import crc32c, damaged_blocks
from odxfs.volume.disk_condition import DiskCondition
from odxfs.volume.extents import LeafReference
from odxfs.volume.pins import Pin
from odxfs.volume.whereabouts import inode_text, place_text
from odxfs.volume.windows import Windows

if TYPE_CHECKING:
    from odxfs.volume.tree.inodes import Inode

INLINE_BYTES = 1 << 20
"""Longest read done on the trio thread (about 0.2 ms from the page cache); beyond, other clients would wait too long."""

_REPORTED = 4096
"""Damaged blocks that are named in the log, each once; a disk with more is to be scrubbed."""

_log = logging.getLogger(__name__)


class Piece(NamedTuple):
    """A contiguous run of blocks to read."""

    position: int
    """Where it goes, in bytes from the start of the plan's first block."""
    blocks: int
    place: int
    crcs: "array[int]"


class Plan(NamedTuple):
    """What to read, or which leaf is missing to tell."""

    pieces: list[Piece]
    missing: LeafReference


class Reader:
    """Reads of files and pins."""

    def __init__(
        self, windows: Windows, segments: Segments, in_flight: InFlightReads, condition: DiskCondition
    ) -> None:
        self._windows = windows
        self._cached_leaf = windows.leaves.get
        self._segments = segments
        self._in_flight = in_flight
        self._condition = condition
        self._reported: set[int] = set()
        """Places of damaged blocks that the log names already; no more than _REPORTED."""

    def read_nowait(
        self, inode: "Inode", offset: int, length: int, page: memoryview | None = None
    ) -> Buffer | None:
        """The bytes of [offset, offset + length), clipped at the end of file, if leaves and pages are cached, else None.

        None, too, when a block does not match its checksum: `read` looks again and says which. `page`, of INLINE_BYTES, is the
        caller's: the answer may be a view of it, which spares the memory of a long answer.
        """
        if not inode.is_file:
            return None
        end = min(offset + length, inode.size)
        if end <= offset:
            return b""
        first, stop = offset >> 12, (end + 4095) >> 12
        extents = self._windows.extents(inode, first >> 11, (stop - 1) >> 11)
        if extents is None or end - offset > INLINE_BYTES:
            return None
        if stop - first > 1:
            plan = self._plan(extents.get, first, stop)
            buffer: Buffer | None = None
            if not plan.missing:
                buffer = self._fill_nowait(plan.pieces, (stop - first) << 12, page)
        else:
            reference = extents.windows.get(first >> 11)
            if reference is None:
                return bytes(end - offset)
            buffer = self._block_nowait(LeafId(reference >> 12), first & 2047)
        if buffer is None:
            return None
        return buffer if len(buffer) == end - offset else _cut(buffer, offset, end)

    async def read(self, inode: "Inode", offset: int, length: int) -> Buffer:
        """The bytes of [offset, offset + length), clipped at the end of file. Raises NotAFile, Corrupt, Stale or StoreFailed."""
        while True:
            if not inode.is_file:
                raise NotAFile(f"inode {inode.number} is no file")
            found = self.read_nowait(inode, offset, length)
            if found is not None:
                return found
            end = min(offset + length, inode.size)
            first, stop = offset >> 12, (end + 4095) >> 12
            extents = await self._windows.load_extents(inode, first >> 11, (stop - 1) >> 11)
            if inode.gone:
                raise Stale(f"inode {inode.number} has been deleted")
            end = min(end, inode.size)
            if end <= offset:
                return b""
            plan = self._plan(extents.get, first, stop)
            if plan.missing:
                await self._windows.load_leaf(extents, plan.missing)
                continue
            try:
                found = await self._fill(plan.pieces, (stop - first) << 12)
            except BadBlock as error:
                await self.fail(inode, (first << 12) + error.position, error)
            return _cut(found, offset, end)

    def read_pin_nowait(self, pin: Pin, offset: int, length: int) -> Buffer | None:
        """The same if leaves and pages are cached and it is not long, else None."""
        start = pin.offset + offset
        end = pin.offset + min(offset + length, pin.length)
        if end <= start:
            return b""
        first, stop = start >> 12, (end + 4095) >> 12
        plan = self._plan(pin.leaf_at, first, stop)
        if plan.missing or end - start > INLINE_BYTES:
            return None
        found = self._fill_nowait(plan.pieces, (stop - first) << 12)
        return None if found is None else _cut(found, start, end)

    async def read_pin(self, pin: Pin, offset: int, length: int) -> Buffer:
        """Bytes of what the pin holds, from `offset` of the pin on, clipped at its end."""
        start = pin.offset + offset
        end = pin.offset + min(offset + length, pin.length)
        if end <= start:
            return b""
        first, stop = start >> 12, (end + 4095) >> 12
        while (plan := self._plan(pin.leaf_at, first, stop)).missing:
            await self._windows.leaves.load(plan.missing)
        found = self._fill_nowait(plan.pieces, (stop - first) << 12) if end - start <= INLINE_BYTES else None
        if found is None:
            try:
                found = await self._fill(plan.pieces, (stop - first) << 12)
            except BadBlock as error:
                raise self._logged(
                    f"byte {(first << 12) + error.position} of what a token holds", error
                ) from None
        return _cut(found, start, end)

    async def read_pieces(self, pieces: list[Piece], length: int) -> Buffer:
        """Blocks by their places, read by a worker thread. Raises BadBlock or StoreFailed."""
        return await self._fill(pieces, length)

    def block_at_nowait(self, place: int, crc: int) -> Buffer | None:
        """One verified block by its place if its page is cached and sound."""
        return self._fill_nowait([Piece(0, 1, place, array("I", (crc,)))], BLOCK_BYTES)

    async def block_at(self, place: int, crc: int) -> Buffer:
        """One verified block by its place. Raises BadBlock or StoreFailed; the caller knows whose block it is: see `fail`."""
        return await self._fill([Piece(0, 1, place, array("I", (crc,)))], BLOCK_BYTES)

    async def fail(self, inode: "Inode", offset: int, error: "BadBlock") -> NoReturn:
        """Raise Corrupt for a bad block of a file, naming file and byte, in the log too."""
        view = self._windows.view
        tree = inode.extents.view if inode.extents is not None else view
        name = await inode_text(view, tree, inode.number)
        raise self._logged(f"{name}, byte {offset}", error)

    def _logged(self, where: str, error: "BadBlock") -> Corrupt:
        """The error for the caller; the log is told once a block."""
        sentence = f"{where}: {error}"
        if error.place not in self._reported and len(self._reported) < _REPORTED:
            self._reported.add(error.place)
            _log.error("%s", sentence)
        return Corrupt(sentence)

    def _block_nowait(self, identifier: LeafId, slot: int) -> Buffer | None:
        leaf = self._cached_leaf(identifier)
        if leaf is None:
            return None
        self._windows.leaves.touch(identifier)
        place = leaf.place_of(slot)
        if not place:
            return bytes(BLOCK_BYTES)
        buffer = bytearray(BLOCK_BYTES)
        if not self._segments.read_nowait(place, buffer):
            return None
        return buffer if crc32c(buffer) == leaf.crcs[slot] else None

    def _plan(self, lookup: Callable[[int], LeafReference], first: int, stop: int) -> Plan:
        pieces: list[Piece] = []
        block = first
        while block < stop:
            slot = block & 2047
            count = min(BLOCKS_PER_LEAF - slot, stop - block)
            reference = lookup(block >> 11)
            if reference:
                leaf = self._windows.leaf(reference)
                if leaf is None:
                    return Plan([], reference)
                base = block - slot - first
                pieces += [
                    Piece((base + at) << 12, blocks, place, leaf.crcs[at : at + blocks])
                    for at, blocks, place in leaf.pieces(slot, count)
                ]
            block += count
        return Plan(pieces, LeafReference(0))

    def _fill_nowait(self, pieces: list[Piece], length: int, page: memoryview | None = None) -> Buffer | None:
        """`page` is taken where nothing of it would show through: holes are left as they are in a buffer."""
        view = _room_for(pieces, length, page)
        read_nowait = self._segments.read_nowait
        for position, count, place, _ in pieces:
            if not read_nowait(place, view[position : position + (count << 12)]):
                return None
        try:
            verify(view, pieces)
        except BadBlock:
            return None
        return view

    async def _fill(self, pieces: list[Piece], length: int) -> Buffer:
        if not pieces:
            return bytearray(length)
        with self._in_flight.read():
            try:
                return await self._condition.threads.run("a read", self._fill_blocking, pieces, length)
            except StoreFailed as error:
                self._condition.note_unreadable(str(error))
                raise

    def _fill_blocking(self, pieces: list[Piece], length: int) -> Buffer:
        view = _room_for(pieces, length)
        for position, count, place, _ in pieces:
            try:
                self._segments.read(place, view[position : position + (count << 12)])
            except StoreFailed as error:
                raise StoreFailed(f"{error} ({place_text(place)})") from error
        verify(view, pieces)
        return view


def _room_for(pieces: list[Piece], length: int, page: memoryview | None = None) -> memoryview:
    """Where the blocks of a plan go: zeros where it has holes, else `page` if that is long enough, or memory as it comes."""
    if sum(piece.blocks for piece in pieces) << 12 != length:
        return memoryview(bytearray(length))
    if page is not None and length <= len(page):
        return page[:length]
    return uninitialised(length)


class BadBlock(Corrupt):
    """A block does not match its checksum; whose it is, is for the caller to say."""

    def __init__(self, place: int, position: int) -> None:
        super().__init__(f"block {place} ({place_text(place)}) does not match its checksum")
        self.place = place
        self.position = position
        """Where it would have gone, in bytes from the start of the plan's first block."""


def verify(view: memoryview, pieces: list[Piece]) -> None:
    """Compare each block of `view` with the checksum that its leaf keeps. Raises BadBlock.

    Pieces that adjoin in `view` are looked at together, wherever they lie on the disk: of a file in many pieces, that halves the
    time of a read.
    """
    start = end = 0
    crcs = array("I")
    for position, count, _, of_piece in pieces:
        if position != end:
            _verify_run(view, start, crcs, pieces)
            start, crcs = position, array("I")
        crcs += of_piece
        end = position + (count << 12)
    _verify_run(view, start, crcs, pieces)


def _verify_run(view: memoryview, start: int, crcs: "array[int]", pieces: list[Piece]) -> None:
    bad = damaged_blocks(view[start : start + (len(crcs) << 12)], crcs)
    if bad:
        position = start + (bad[0] << 12)
        holder = next(piece for piece in reversed(pieces) if piece.position <= position)
        raise BadBlock(holder.place + ((position - holder.position) >> 12), position)


def _cut(buffer: Buffer, start: int, end: int) -> Buffer:
    """The bytes [start, end) of the file out of a buffer that begins with the block of `start`."""
    head = start & 4095
    if head == 0 and end - start == len(buffer):
        return buffer
    return memoryview(buffer)[head : head + end - start]
