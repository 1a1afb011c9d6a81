"""The scrub: reads every leaf and every block that one names from the disk, beside everything else that goes on.

It walks the leaves by number. A leaf's row is looked up anew for each MiB that is read, inside the count of reads in flight
(`InFlightReads`), so the blocks that it names stay what they are until they are read, whatever is written, freed and
committed meanwhile. Leaves that are made during a pass have larger numbers, and are read at its end. A block that several
leaves name is read once.
"""

import json
import logging
from collections import defaultdict
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trio

from odxfs.errors import Corrupt, VolumeError
from odxfs.record_file import replace_durably
from odxfs.types import BLOCK_BYTES, BLOCKS_PER_LEAF, LeafId
from odxfs.volume.allocation.group import BLOCKS_PER_GROUP, GROUP_SHIFT, set_bits
from odxfs.volume.catalog.interface import Table
from odxfs.volume.catalog.sound import LAST, SoundView, all_rows
from odxfs.volume.checking.findings import Finding
from odxfs.volume.checksums import damaged_blocks
from odxfs.volume.leaf import Leaf, Piece
from odxfs.volume.whereabouts import holder_texts, holders_of, place_text

if TYPE_CHECKING:
    from odxfs.volume.pool import Pool

DEFAULT_RATE = 100_000_000
"""Bytes a second: a disk has that to spare, and 1 TB takes three hours."""

_CHUNK_BLOCKS = 256
_LEAVES = 64
"""Leaf numbers looked up at a time."""

_FINDINGS = 1000
_NAMED_EVERYWHERE = 20
"""Damaged runs for which all leaves are searched for others that name the same blocks."""

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class ScrubProgress:
    """How far a pass has come; times are nanoseconds since 1970, 0 for not yet."""

    started_ns: int = 0
    ended_ns: int = 0
    state: str = "never"
    """`running`, `stopped` (goes on from here when it is started again), `complete`, or `failed`."""
    done_bytes: int = 0
    total_bytes: int = 0
    """What was allocated when the pass began."""
    leaves: int = 0
    damaged: int = 0
    """Findings, those left out of the list included."""
    findings: list[Finding] = field(default_factory=list)
    error: str = ""
    """Why it failed."""

    def as_json(self) -> dict[str, Any]:
        """A value for JSON."""
        return asdict(self)


class Scrub:
    """Passes over one open pool; one at a time. `progress` may be read at any moment."""

    def __init__(self, pool: "Pool") -> None:
        self._pool = pool
        self.progress = ScrubProgress()
        self._next: tuple[int, int] = (0, 0)
        """(leaf, slot) to go on from."""
        self._seen: dict[int, bytearray] = defaultdict(lambda: bytearray(BLOCKS_PER_GROUP // 8))
        """By group, the blocks that more than one leaf names and that have been read."""

    async def run(self, rate: int = DEFAULT_RATE, *, restart: bool = False) -> None:
        """Go on with the pass that was cancelled, else (or with `restart`) begin one; `rate` in bytes a second.

        Damage and failures of the disk are in `progress`, and in the log.
        """
        self._begin(restart=restart)
        try:
            await self._walk(_Pace(rate))
            self.progress.state = "complete"
        except VolumeError as error:
            self.progress.state, self.progress.error = "failed", str(error)
            _log.error("the scrub cannot go on: %s", error)
        finally:
            if self.progress.state == "running":
                self.progress.state = "stopped"
            self.progress.ended_ns = self._pool.clock()
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(write_record, self._pool.directory, self.progress)

    def _begin(self, *, restart: bool) -> None:
        if restart or self.progress.state != "stopped":
            total = self._pool.space.used_blocks * BLOCK_BYTES
            self.progress = ScrubProgress(self._pool.clock(), total_bytes=total)
            self._next = (0, 0)
            self._seen.clear()
        self.progress.state, self.progress.ended_ns = "running", 0

    async def _walk(self, pace: "_Pace") -> None:
        view = SoundView(self._pool.view)
        while rows := await view.range(Table.LEAF, (self._next[0],), LAST, _LEAVES):
            numbers = [key[0] for key, _ in rows]
            for number in numbers:
                assert isinstance(number, int)
                await self._read_leaf(LeafId(number), pace)
                self._next = (number + 1, 0)
                self.progress.leaves += 1
            await trio.lowlevel.checkpoint()

    async def _read_leaf(self, identifier: LeafId, pace: "_Pace") -> None:
        slot = self._next[1] if self._next[0] == identifier else 0
        while slot < BLOCKS_PER_LEAF:
            self._next = (identifier, slot)
            try:
                read = await self._read_part(identifier, slot)
                if read is not None and read.damaged:  # once more: what is reported is certain
                    read = await self._read_part(identifier, slot)
            except Corrupt as error:
                await self._report_leaf(identifier, str(error))
                return
            if read is None:
                return
            for first, count, place in read.damaged:
                await self._report(identifier, first, count, place)
            self._note_seen(read)
            slot = read.stop
            self._next = (identifier, slot)
            self.progress.done_bytes += read.blocks * BLOCK_BYTES
            await pace.spend(read.blocks * BLOCK_BYTES)

    async def _read_part(self, identifier: LeafId, slot: int) -> "_Part | None":
        """Read up to a MiB of a leaf's blocks; None when it has no more. Raises Corrupt for the leaf itself."""
        with self._pool.in_flight.read():
            row = self._pool.windows.leaves.row(identifier)
            if row is None:
                row = await self._pool.view.get(Table.LEAF, (identifier,))
            if row is None:
                return None
            leaf = Leaf.unpack(identifier, *row)  # type: ignore[arg-type]
            part = self._part(leaf, slot)
            if part.pieces:
                await self._pool.threads.run_to_the_end("a scrub", self._verify, leaf, part)
        return part

    def _part(self, leaf: Leaf, slot: int) -> "_Part":
        part = _Part(BLOCKS_PER_LEAF)
        for start, length, begin in leaf.pieces(slot, BLOCKS_PER_LEAF - slot):
            for first, count, place in self._unseen(start, length, begin):
                room = _CHUNK_BLOCKS - part.blocks
                if count >= room:
                    part.add((first, room, place))
                    part.stop = first + room
                    return part
                part.add((first, count, place))
        return part

    def _unseen(self, start: int, length: int, place: int) -> list[Piece]:
        """The parts of a run that were not read before for another leaf."""
        if not self._seen.keys() & set(range(place >> GROUP_SHIFT, (place + length - 1 >> GROUP_SHIFT) + 1)):
            return [(start, length, place)]
        pieces: list[Piece] = []
        for at in range(length):
            group, bit = divmod(place + at, BLOCKS_PER_GROUP)
            if group in self._seen and self._seen[group][bit >> 3] >> (bit & 7) & 1:
                continue
            if pieces and pieces[-1][0] + pieces[-1][1] == start + at:
                first, count, begin = pieces[-1]
                pieces[-1] = (first, count + 1, begin)
            else:
                pieces.append((start + at, 1, place + at))
        return pieces

    def _note_seen(self, part: "_Part") -> None:
        groups = self._pool.space.groups
        for _, count, begin in part.pieces:
            place, stop = begin, begin + count
            while place < stop:
                group, bit = divmod(place, BLOCKS_PER_GROUP)
                length = min(stop - place, BLOCKS_PER_GROUP - bit)
                if group < len(groups) and groups[group].has_counts:
                    set_bits(self._seen[group], bit, length)
                place += length

    def _verify(self, leaf: Leaf, part: "_Part") -> None:
        """In a worker thread: read from the disk, not from the page cache, and leave that as it was."""
        for first, count, place in part.pieces:
            buffer = memoryview(bytearray(count * BLOCK_BYTES))
            try:
                self._pool.segments.read_from_disk(place, buffer)
                bad = damaged_blocks(buffer, leaf.crcs[first : first + count])
            except VolumeError:
                bad = list(range(count))
            for at in bad:
                part.damage(first + at, place + at)

    async def _report_leaf(self, identifier: LeafId, sentence: str) -> None:
        for name in await self._names({identifier: 0}):
            self._add("leaf", f"{name}: {sentence}", name)

    async def _report(self, identifier: LeafId, slot: int, count: int, place: int) -> None:
        named = {identifier: slot}
        if self.progress.damaged < _NAMED_EVERYWHERE:
            named |= await self._leaves_with(place)
        for name in await self._names(named):
            self._add(
                "data", f"{name}: {count} blocks do not match their checksums, {place_text(place)}", name
            )

    async def _leaves_with(self, place: int) -> dict[LeafId, int]:
        """Leaf -> slot, of every leaf that names a block."""
        found: dict[LeafId, int] = {}
        turn = 0
        self._pool.collect()
        async for (number,), row in all_rows(SoundView(self._pool.view), Table.LEAF):
            turn += 1
            if turn % _LEAVES == 0:
                await trio.lowlevel.checkpoint()
            try:
                leaf = Leaf.unpack(number, *row)
            except Corrupt:
                continue
            for first, count, begin in leaf.pieces(0, BLOCKS_PER_LEAF):
                if begin <= place < begin + count:
                    found[number] = first + place - begin
        return found

    async def _names(self, leaves: dict[LeafId, int]) -> list[str]:
        pool = self._pool
        pool.collect()
        view = SoundView(pool.view)
        holders = await holders_of(view, set(leaves))
        names: list[str] = []
        for identifier, slot in leaves.items():
            names += await holder_texts(view, pool.view.past, holders[identifier], slot)
        return list(dict.fromkeys(names))

    def _add(self, kind: str, sentence: str, where: str) -> None:
        self.progress.damaged += 1
        if len(self.progress.findings) < _FINDINGS:
            self.progress.findings.append(Finding(kind, sentence, where))
        _log.error("scrub: %s", sentence)


@dataclass(slots=True)
class _Part:
    """Blocks of one leaf that are read in one go."""

    stop: int
    """The slot to go on from."""
    blocks: int = 0
    pieces: list[Piece] = field(default_factory=list)
    damaged: list[Piece] = field(default_factory=list)

    def add(self, piece: Piece) -> None:
        self.pieces.append(piece)
        self.blocks += piece[1]

    def damage(self, slot: int, place: int) -> None:
        """Note a damaged block; blocks in a row are one run."""
        if self.damaged:
            first, count, begin = self.damaged[-1]
            if (first + count, begin + count) == (slot, place):
                self.damaged[-1] = (first, count + 1, begin)
                return
        self.damaged.append((slot, 1, place))


class _Pace:
    """Keeps to a rate; time in which nothing could be read is not made up for."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._due = trio.current_time()

    async def spend(self, count: int) -> None:
        self._due = max(self._due, trio.current_time()) + count / self._rate
        await trio.sleep_until(self._due)


RECORD = "scrub.json"
"""How the last pass ended, for those who ask while nobody serves the pool."""


def write_record(directory: Path, progress: ScrubProgress) -> None:
    """Keep in the pool's directory how the last pass ended, for its owner alone: it names files. Blocking.

    Without effect where that cannot be written.
    """
    path = directory / RECORD
    try:
        replace_durably(path, json.dumps(progress.as_json()).encode() + b"\n")
    except OSError as error:
        _log.info("%s cannot be written: %s", path, error)


def read_record(directory: Path) -> dict[str, Any] | None:
    """What `write_record` kept last, None when there is nothing that can be read."""
    try:
        found: Any = json.loads((directory / RECORD).read_text())
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and found.keys() >= ScrubProgress().as_json().keys() else None
