"""The log of leaves: what a commit changes in few slots of a leaf is durable before the leaf's own row is written.

A dense leaf has a row of 24 KiB, the change of a slot 24 bytes. A commit that somebody waits for writes the changes of all
leaves as one row of the log; a later one, once many have gathered or nobody waits, writes the leaves and takes the log away
in the same step. 64 writers that sync after every 4 KiB: twice as many writes a second.

Until then the leaves stay in memory (LeafCache), and the next owner of a pool brings them up to date before anything
else reads the catalog (`fold`). FORMAT.md has the bytes.
"""

import struct
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import NamedTuple

from odxfs.errors import Corrupt
from odxfs.types import LeafId
from odxfs.volume.catalog.interface import CatalogEngine, Key, Table
from odxfs.volume.catalog.overlay import CatalogView
from odxfs.volume.catalog.sound import CatalogReader, SoundView, all_rows
from odxfs.volume.checksums import crc32c
from odxfs.volume.leaf import Leaf, SlotChange

MAX_LOGGED_SLOTS = 8_192
MAX_LOGGED_LEAVES = 512
"""What may gather in the log: 12 MiB of leaves that stay in memory; 30 ms to write them, or to bring them up to date after a
crash."""

_ENTRY = struct.Struct("<QHHQ")
"""Leaf, first slot, slots, place of the first block or 0 for a hole; then, but for a hole, a u32 crc32c for each slot."""

_CHECKSUM = struct.Struct("<I")
_CRC_MASK = 0xFFFF_FFFF

Entry = tuple[LeafId, SlotChange]


class LeafLog:
    """The rows of the log that stand in a pool's view. Synchronous, without I/O."""

    def __init__(self) -> None:
        self.slots = 0
        """Changes that the log holds; more than one may be of the same slot."""
        self._next = 1
        self._rows: list[int] = []

    def write(self, view: CatalogView, entries: Sequence[Entry]) -> None:
        """Put one row more: changes in the order in which they were made."""
        number, self._next = self._next, self._next + 1
        view.put(Table.LEAF_LOG, (number,), (pack_row(number, entries),))
        self._rows.append(number)
        self.slots += len(entries)

    def clear(self, view: CatalogView) -> None:
        """Every leaf's own row is being written as it is now: the log says nothing more."""
        for number in self._rows:
            view.delete(Table.LEAF_LOG, (number,))
        self._rows.clear()
        self.slots = 0


class ReadLog(NamedTuple):
    """What the catalog's log says; `damaged` has a sentence for each row that cannot be read."""

    changes: dict[LeafId, list[SlotChange]]
    rows: list[Key]
    damaged: list[str]


def pack_row(number: int, entries: Iterable[Entry]) -> bytes:
    """The body of a row, which ends with its crc32c, begun with the row's number."""
    parts: list[bytes] = []
    for leaf, (first, count, place, crcs) in entries:
        parts.append(_ENTRY.pack(leaf, first, count, place))
        if place:
            parts.append(crcs[0].to_bytes(4, "little") if count == 1 else b"".join(map(_CHECKSUM.pack, crcs)))
    body = b"".join(parts)
    return body + _CHECKSUM.pack(crc32c(body, number & _CRC_MASK))


def unpack_row(number: int, body: bytes) -> list[Entry]:
    """The inverse of `pack_row`. Raises Corrupt."""
    content = body[:-4]
    # No row is empty: the checksum of nothing is the row's number, as the first bytes of one that was cut off may be.
    if not content or crc32c(content, number & _CRC_MASK) != _CHECKSUM.unpack(body[-4:])[0]:
        raise Corrupt(f"row {number} of the log of leaves fails its checksum")
    entries: list[Entry] = []
    at = 0
    try:
        while at < len(content):
            leaf, first, count, place = _ENTRY.unpack_from(content, at)
            at += _ENTRY.size
            crcs: tuple[int, ...] = ()
            if place:
                crcs = struct.Struct(f"<{count}I").unpack_from(content, at)
                at += 4 * count
            entries.append((LeafId(leaf), (first, count, place, crcs)))
    except struct.error as error:
        raise Corrupt(f"row {number} of the log of leaves makes no sense") from error
    return entries


async def read_log(reader: CatalogReader) -> ReadLog:
    """All rows of the log, in order."""
    changes: defaultdict[LeafId, list[SlotChange]] = defaultdict(list)
    log = ReadLog(changes, [], [])

    def ill_formed(_: Table, key: Key) -> None:
        log.damaged.append(f"row {key[0]!r} of the log of leaves makes no sense")

    async for key, (body,) in all_rows(SoundView(reader, ill_formed), Table.LEAF_LOG):
        log.rows.append(key)
        try:
            for leaf, change in unpack_row(key[0], body):
                changes[leaf].append(change)
        except Corrupt as error:
            log.damaged.append(str(error))
    return log


async def fold(engine: CatalogEngine, *, drop_damaged: bool = False) -> list[str]:
    """Bring the leaves of a catalog up to date with the log and empty it, durably; before anything else reads or writes.

    Raises Corrupt for damaged rows, and then has changed nothing. With `drop_damaged` these rows are given up, and what is wrong
    with them is returned: the slots that they changed are as they were before. Raises NoSpace or StoreFailed.
    """
    view = CatalogView(engine)
    log = await read_log(view)
    if log.damaged and not drop_damaged:
        raise Corrupt(f"{log.damaged[0]}: run 'odxfs fsck --repair'")
    if not log.rows:
        return log.damaged
    for identifier, changes in log.changes.items():
        row = await view.get(Table.LEAF, (identifier,))
        if row is None:
            continue  # it was deleted, later than changed
        with suppress(
            Corrupt
        ):  # its row is damaged: that is for the checks, and for whoever reads the file, to say
            view.put(Table.LEAF, (identifier,), apply(identifier, row, changes).pack())
    for key in log.rows:
        view.delete(Table.LEAF_LOG, key)
    await engine.commit(view.freeze())
    return log.damaged


def apply(identifier: LeafId, row: Sequence[object], changes: Iterable[SlotChange]) -> Leaf:
    """The leaf of a row of Table.LEAF after changes. Raises Corrupt."""
    leaf = Leaf.unpack(identifier, *row)  # type: ignore[arg-type]
    for first, count, place, crcs in changes:
        if place:
            leaf.map(first, count, place, crcs)
        else:
            leaf.unmap(first, count)
    return leaf
