"""Segments: the pool's address space of blocks, as sparse files of 1 GiB.

A place is a block number in this space: segment = place >> 18, offset = (place & 0x3FFFF) * 4096. Block 0 of each segment
holds its header, so place 0 is never data and can stand for a hole.
"""

import struct
from collections.abc import Callable, Sequence
from itertools import count as numbers
from pathlib import Path
from uuid import UUID

from odxfs.descriptors import allow_descriptors
from odxfs.errors import Corrupt, SegmentBeingMade, VolumeError
from odxfs.types import BLOCK_BYTES, Buffer
from odxfs.volume.blocks.files import Files, translated
from odxfs.volume.checksums import crc32c

SEGMENT_BYTES = 1 << 30
SEGMENT_SHIFT = 18
BLOCKS_PER_SEGMENT = 1 << SEGMENT_SHIFT
_OFFSET_MASK = BLOCKS_PER_SEGMENT - 1
_BLOCK_SHIFT = 12

_OTHER_DESCRIPTORS = 1024
"""What the process may have open beside one file for each segment."""

_MAGIC = b"ODXFSSEG"
_HEADER = struct.Struct("<8sII16sQ")
"""Magic, format version, block size in bytes, pool uuid, segment number; a crc32c of these follows."""
HEADER_FIELDS = (
    (0, 8, "magic"),
    (8, 4, "format version"),
    (12, 4, "block size"),
    (16, 16, "pool uuid"),
    (32, 8, "segment number"),
    (40, 4, "crc32c of bytes 0 to 39"),
)
"""(offset, length, name) in the header block; the rest of it is zeros."""

_CHECKSUM = struct.Struct("<I")
_VERSION = 1


def _pack_header(pool: UUID, segment: int) -> bytes:
    head = _HEADER.pack(_MAGIC, _VERSION, BLOCK_BYTES, pool.bytes, segment)
    return (head + _CHECKSUM.pack(crc32c(head))).ljust(BLOCK_BYTES, b"\0")


class Segments:
    """The open segments of one pool; owned by the Pool, closed by `close`."""

    def __init__(self, directory: Path, pool: UUID, files: Files) -> None:
        self.files = files
        self._directory = directory
        self._pool = pool
        self._descriptors: dict[int, int] = {}
        self.guard: Callable[[], None] = lambda: None
        """Called before anything is written; raises StoreFailed when the segments are another owner's by now."""
        self.may_wait: Callable[[], bool] = lambda: True
        """Whether a segment may be made where it is needed, on the trio thread. Else it is made beforehand (`NextSegment`)."""
        self.touched: set[int] = set()
        """Segments written since `take_touched`."""
        self._created = False
        self.next_is_being_made = False
        """By a worker thread. Until it has ended no segment is retired: the file would be another's."""
        self._next: tuple[int, int] | None = None
        """Number and descriptor of the file behind the last segment, retired ones included, if it was made. No commit knows it:
        the next owner removes it."""
        self._retired: list[int] = []
        self._removed: list[int] = []
        self.count = self._found()
        """Segments in a row; what lies behind a gap was never committed and is made anew."""
        allow_descriptors(self.count + _OTHER_DESCRIPTORS)

    @property
    def has_next(self) -> bool:
        """Whether `add_next` has only to take what is there."""
        return bool(self._retired) or self._next is not None

    def add_next(self) -> None:
        """One segment more: the one retired last, if its file is still there, the one that was made beforehand, or a new one.

        Raises as `create_next`, and SegmentBeingMade where that might have to wait for the disk (`may_wait`).
        """
        if self._retired:
            self._retired.pop()
            self.count += 1
        elif self._next is not None:
            (_, descriptor), self._next = self._next, None
            self._take(descriptor)
        elif self.may_wait():
            self.create_next()
        else:
            raise SegmentBeingMade("the next segment is being made")

    def retire_last(self) -> None:
        """One segment less. Its file stays until a commit is durable that no longer knows it (`take_retired`)."""
        self.count -= 1
        self._retired.append(self.count)
        self.touched.discard(self.count)

    def take_retired(self) -> list[int]:
        """What is retired now: the commit that begins now forgets it."""
        return self._retired[:]

    def remove_retired(self, forgotten: list[int]) -> None:
        """Take away the names of retired segments that a durable commit has forgotten, but for those in use again.

        Raises StoreFailed.
        """
        self.guard()
        going = [segment for segment in forgotten if segment in self._retired]
        if going and self._next is not None:  # it lies behind them all, and a crash is to leave no gap
            segment, descriptor = self._next
            self.files.remove(self._path(segment))
            self._removed.append(descriptor)
            self._next = None
        for segment in going:  # the last one first, for the same reason
            self.files.remove(self._path(segment))
            self._retired.remove(segment)
            if segment in self._descriptors:
                self._removed.append(self._descriptors.pop(segment))

    def free_removed(self) -> None:
        """Give back the disk space of removed segments. Blocking; may run in a worker thread."""
        while self._removed:
            self.files.close(self._removed.pop())

    def create_next(self) -> int:
        """Add a segment; durable with the next `sync`. Raises NoSpace or StoreFailed, then nothing has changed."""
        self._take(self.make_file(self.count))
        return self.count - 1

    def make_file(self, segment: int) -> int:
        """Make the file of the segment behind the last, `segment`, which is nobody's yet; returns its descriptor.

        Blocking; may run in a worker thread, while which `next_is_being_made`. Raises NoSpace or StoreFailed.
        """
        self.guard()
        path = self._path(segment)
        self.files.remove(path)  # left by a creation that failed, or by an owner before: nothing can name it
        descriptor = self.files.open(path, create=True)
        try:
            self.files.extend(descriptor, SEGMENT_BYTES)
            self.files.write(descriptor, (_pack_header(self._pool, segment),), 0)
        except BaseException:
            self.files.close(descriptor)
            raise
        return descriptor

    def keep_next(self, descriptor: int) -> None:
        """The file that was made is for `add_next` to take."""
        self._next = self.count, descriptor

    def _take(self, descriptor: int) -> None:
        self._descriptors[self.count] = descriptor
        self.touched.add(self.count)
        self.count += 1
        self._created = True
        allow_descriptors(self.count + _OTHER_DESCRIPTORS)

    def write(self, place: int, buffers: Sequence[Buffer]) -> None:
        """Write whole blocks from `place` on; they lie in one segment. May run in a worker thread.

        Whoever comes to name the blocks calls `touch` then: a sync that ran during the write has not covered them.
        """
        self.guard()
        segment = place >> SEGMENT_SHIFT
        descriptor = self._descriptors.get(segment) or self._open(segment)
        self.files.write(descriptor, buffers, (place & _OFFSET_MASK) << _BLOCK_SHIFT)

    def touch(self, place: int) -> None:
        """Have the next commit sync the segment of written blocks that it is going to name."""
        self.touched.add(place >> SEGMENT_SHIFT)

    def read(self, place: int, buffer: memoryview) -> None:
        """Fill `buffer` with whole blocks from `place` on. Blocking; may run in a worker thread."""
        segment = place >> SEGMENT_SHIFT
        descriptor = self._descriptors.get(segment) or self._open(segment)
        self.files.read(descriptor, buffer, (place & _OFFSET_MASK) << _BLOCK_SHIFT)

    def read_nowait(self, place: int, buffer: memoryview | bytearray) -> bool:
        """Fill `buffer` if the page cache has it all."""
        segment = place >> SEGMENT_SHIFT
        descriptor = self._descriptors.get(segment) or self._open(segment)
        return self.files.read_nowait(descriptor, buffer, (place & _OFFSET_MASK) << _BLOCK_SHIFT)

    def punch(self, runs: Sequence[tuple[int, int]]) -> int:
        """Give back the disk space that runs of free blocks have, each in one segment; returns how many of them had any.

        Blocking, milliseconds for each; may run in a worker thread.
        """
        self.guard()
        punched = 0
        for place, count in runs:
            descriptor = self._descriptor(place >> SEGMENT_SHIFT)
            offset, length = (place & _OFFSET_MASK) << _BLOCK_SHIFT, count << _BLOCK_SHIFT
            if self.files.data_ranges(descriptor, offset, offset + length):
                self.files.punch(descriptor, offset, length)
                punched += 1
        return punched

    def read_from_disk(self, place: int, buffer: memoryview) -> None:
        """Fill `buffer` past the page cache, in which afterwards is what was there before. Blocking; for a worker thread."""
        segment = place >> SEGMENT_SHIFT
        descriptor = self._descriptors.get(segment) or self._open(segment)
        offset = (place & _OFFSET_MASK) << _BLOCK_SHIFT
        was_cached = self.files.read_nowait(descriptor, buffer, offset)
        self.files.forget(descriptor, offset, len(buffer))
        self.files.read(descriptor, buffer, offset)
        if not was_cached:
            self.files.forget(descriptor, offset, len(buffer))

    def take_touched(self) -> tuple[list[int], bool]:
        """The descriptors a sync must cover from here on, and whether the directory must be synced too."""
        descriptors = [self._descriptors[segment] for segment in self.touched]
        created, self._created = self._created, False
        self.touched = set()
        return descriptors, created

    def sync(self, descriptors: list[int], created: bool) -> None:
        """Make what `take_touched` named durable. Blocking; for a worker thread. Raises StoreFailed."""
        for descriptor in descriptors:
            self.files.sync(descriptor)
        if created:
            self.files.sync_directory(self._directory)

    def with_disk_space(self) -> list[tuple[int, int]]:
        """(place, blocks) of whole blocks that already have disk space, in order of place; headers left out."""
        found: list[tuple[int, int]] = []
        for segment in range(self.count):
            for offset, length in self.files.data_ranges(self._descriptor(segment)):
                first = max(-(-offset // BLOCK_BYTES), 1)
                end = min((offset + length) // BLOCK_BYTES, BLOCKS_PER_SEGMENT)
                if end > first:
                    found.append(((segment << SEGMENT_SHIFT) + first, end - first))
        return found

    def disk_bytes(self) -> int:
        """Disk space that all segments take."""
        return sum(self.files.disk_bytes(self._descriptor(segment)) for segment in range(self.count))

    def require(self, known: int) -> None:
        """Raise Corrupt when one of the first `known` segments is not there: going on would make an empty one."""
        if self.count < known:
            raise Corrupt(f"{self._path(self.count)} is missing: put it back before the pool is used")

    def drop_unnamed(self, known: int) -> None:
        """Remove the segments behind the first `known`, of which no commit names anything.

        An owner who was killed may have left them before it synced them and their names, and where a sync failed a header
        that is read may be one that the disk does not have. So none of them can be kept.
        """
        for segment in reversed(range(known, self.count)):
            self.files.remove(self._path(segment))
        self.count = min(self.count, known)

    def check_headers(self, known: int) -> list[str]:
        """What is wrong with the headers of the first `known` segments, a sentence each."""
        faults = [self._header_fault(segment) for segment in range(known)]
        return [fault for fault in faults if fault]

    def read_header(self, segment: int) -> bytes:
        """The header block as it is, sound or not. Raises StoreFailed."""
        header = bytearray(BLOCK_BYTES)
        descriptor = self.files.open(self._path(segment))
        try:
            self.files.read(descriptor, memoryview(header), 0)
        finally:
            self.files.close(descriptor)
        return bytes(header)

    def mend_headers(self, known: int) -> None:
        """Give each of the first `known` segments its header and its length again; one that is missing is made, empty.

        For a repair: what blocks held there fails its checksum. Durable on return. Raises NoSpace or StoreFailed.
        """
        for segment in range(known):
            if not self._header_fault(segment) and self._path(segment).stat().st_size >= SEGMENT_BYTES:
                continue
            descriptor = self.files.open(self._path(segment), create=not self._path(segment).exists())
            try:
                if self._path(segment).stat().st_size < SEGMENT_BYTES:
                    self.files.extend(descriptor, SEGMENT_BYTES)
                self.files.write(descriptor, (_pack_header(self._pool, segment),), 0)
                self.files.sync(descriptor)
            finally:
                self.files.close(descriptor)
        self.files.sync_directory(self._directory)
        self.count = max(self.count, known)
        allow_descriptors(self.count + _OTHER_DESCRIPTORS)

    def _header_fault(self, segment: int) -> str:
        if not self._path(segment).exists():
            return f"{self._path(segment)} is missing: put it back before the pool is used or repaired"
        try:
            self._descriptor(segment)
        except VolumeError as error:
            return str(error)
        return ""

    def close(self) -> None:
        """Close every descriptor."""
        self.free_removed()
        for descriptor in self._descriptors.values():
            self.files.close(descriptor)
        self._descriptors.clear()
        if self._next is not None:
            self.files.close(self._next[1])

    def _found(self) -> int:
        try:
            names = {entry.name for entry in self._directory.iterdir()}
        except OSError as error:
            raise translated(error, f"reading {self._directory}") from error
        return next(number for number in numbers() if self._path(number).name not in names)

    def _path(self, segment: int) -> Path:
        return self._directory / f"{segment:08d}"

    def _descriptor(self, segment: int) -> int:
        return self._descriptors.get(segment) or self._open(segment)

    def _open(self, segment: int) -> int:
        descriptor = self.files.open(self._path(segment))
        header = bytearray(BLOCK_BYTES)
        try:
            self.files.read(descriptor, memoryview(header), 0)
            if bytes(header) != _pack_header(self._pool, segment):
                raise Corrupt(f"segment {segment:08d} does not carry the header of this pool")
        except BaseException:
            self.files.close(descriptor)
            raise
        kept = self._descriptors.setdefault(segment, descriptor)
        if kept != descriptor:  # another thread was quicker
            self.files.close(descriptor)
        return kept
