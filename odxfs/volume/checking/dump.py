"""Showing how things are stored, as lines for a person. Reads the last commit; changes nothing.

`where` in the lines is always "segment N, byte M"; offsets at the beginning of a line are bytes in the object that is shown.
"""

import stat
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from itertools import pairwise
from typing import Any

import numpy as np

from odxfs.errors import ExitCode, UserError, VolumeError
from odxfs.types import BLOCK_BYTES, LEAF_BYTES, InodeNumber
from odxfs.volume.allocation.group import GROUP_SHIFT, GROUPS_PER_SEGMENT, Group, runs_of, set_slots
from odxfs.volume.blocks.segments import BLOCKS_PER_SEGMENT, HEADER_FIELDS, Segments
from odxfs.volume.catalog.interface import Table
from odxfs.volume.catalog.reading import CommittedCatalog
from odxfs.volume.catalog.sound import SoundView, all_rows
from odxfs.volume.extents import LeafReference, allocated_blocks, leaf_id, unpack_page, unpack_pin
from odxfs.volume.leaf import KIND_RUNS, Leaf, layout_of
from odxfs.volume.leaf_log import apply, read_log
from odxfs.volume.tree.inodes import Inode
from odxfs.volume.whereabouts import holder_texts, holders_of, paths_of, place_text, readable

_SHOWN_BYTES = 64

Lines = AsyncIterator[str]


async def dump_pool(catalog: CommittedCatalog) -> Lines:
    """What is in the catalog, table by table."""
    epoch, owner, schema = catalog.owner()
    yield f"catalog format {schema}, epoch {epoch}, last owner {owner!r}"
    row = await catalog.get(Table.POOL, (0,))
    for name, value in zip(Table.POOL.value.row, row or (), strict=False):
        yield f"pool.{name} = {value!r}"
    async for key, volume in all_rows(catalog, Table.VOLUME):
        yield f"volume {key[0]}: {_columns(Table.VOLUME, volume)}"
    async for key, snapshot in all_rows(catalog, Table.SNAPSHOT):
        yield f"snapshot {key[0]}: {_columns(Table.SNAPSHOT, snapshot)}"
    for table in Table:
        yield f"table {table.value.name}: {catalog.count(table)} rows"


async def dump_table(catalog: CommittedCatalog, table: Table) -> Lines:
    """Every row of a table."""
    async for key, row in all_rows(catalog, table):
        yield f"{_columns(table, key, row)}"


async def dump_pins(catalog: CommittedCatalog) -> Lines:
    """What tokens held at the last commit."""
    async for (number,), (body,) in all_rows(SoundView(catalog), Table.PIN):
        references = unpack_pin(body)
        yield f"pin {number}: {len(references)} references"
        for at, reference in enumerate(references):
            yield f"  {8 * at:6}: {_reference_text(reference)}"


async def find_inode(catalog: CommittedCatalog, volume: str, path: str) -> InodeNumber:
    """The inode at a path of a volume. Raises UserError when there is none."""
    number: Any = None
    async for _, row in all_rows(catalog, Table.VOLUME):
        if row[0] == volume:
            number = row[1]
    for name in path.encode("utf-8", "surrogateescape").split(b"/"):
        if name and number is not None:
            entry = await catalog.get(Table.DIRENT, (number, name))
            number = entry[0] if entry is not None else None
    if number is None:
        raise UserError(f"volume {volume} has no {path}", ExitCode.NOT_FOUND)
    return InodeNumber(number)


async def dump_inode(catalog: CommittedCatalog, number: int) -> Lines:
    """An inode's row, names and extended attributes, and how each part of a file is stored and shared."""
    row = await catalog.get(Table.INODE, (number,))
    if row is None:
        raise UserError(f"there is no inode {number}", ExitCode.NOT_FOUND)
    inode = Inode(InodeNumber(number), row)
    yield f"inode {number}: {stat.filemode(inode.mode)}, {inode.size} bytes"
    for name, value in zip(Table.INODE.value.row, row, strict=True):
        yield f"  {name} = {_shown(value)}"
    for path in await paths_of(catalog, number):
        yield f"  path {path}"
    async for (owner, name), (value,) in _of_inode(catalog, Table.XATTR, number):
        assert owner == number
        yield f"  attribute {readable(name)}: {len(value)} bytes {_shown(value)}"
    async for _, (name, stream) in _of_inode(catalog, Table.STREAM, number):
        yield f"  stream {readable(name)}: inode {stream}"
    async for (_, page), (body, latest) in _of_inode(catalog, Table.EXTENTS, number):
        yield f"  page {page}: from byte {page << 32}, last changed behind snapshot {latest}"
        for window, reference in unpack_page(number, page, body).items():
            async for line in _window(catalog, window, reference):
                yield "    " + line


async def _window(catalog: CommittedCatalog, window: int, reference: LeafReference) -> Lines:
    count: Any = await catalog.get(Table.LEAF_REFS, (reference,))
    holders = count[0] if count is not None else 1
    yield f"byte {window * LEAF_BYTES}: {_reference_text(reference)}, {holders} holders"
    leaf = await _leaf(catalog, leaf_id(reference))
    if leaf is None:
        yield "  the leaf is missing"
        return
    for first, blocks, place in leaf.pieces(0, 2048):
        async for at, length, shared in _by_sharing(catalog, place, blocks):
            offset = window * LEAF_BYTES + (first + at - place) * BLOCK_BYTES
            by = f", named by {shared} leaf slots" if shared else ""
            yield f"  byte {offset}: {length} blocks at {place_text(at)}{by}"


async def _by_sharing(
    catalog: CommittedCatalog, place: int, blocks: int
) -> AsyncIterator[tuple[int, int, int]]:
    """(place, blocks, count) of parts of a run that are counted alike."""
    at, end = place, place + blocks
    while at < end:
        number = at >> GROUP_SHIFT
        stop = min(end, number + 1 << GROUP_SHIFT)
        row = await catalog.get(Table.SPACE, (number,))
        counts = Group(number, *row).counts if row is not None else None  # type: ignore[arg-type]
        if counts is None:
            yield at, stop - at, 0
        else:
            base = number << GROUP_SHIFT
            part = counts[at - base : stop - base]
            edges = [0, *(np.flatnonzero(np.diff(part.astype(np.int64))) + 1).tolist(), len(part)]
            for low, high in pairwise(edges):
                yield at + low, high - low, int(part[low])
        at = stop


async def dump_leaf(catalog: CommittedCatalog, identifier: int) -> Lines:
    """A leaf's row: where each field lies in its body, and who holds it."""
    row: Any = await catalog.get(Table.LEAF, (identifier,))
    if row is None:
        raise UserError(f"there is no leaf {identifier}", ExitCode.NOT_FOUND)
    kind, body = row
    is_runs = layout_of(kind) == KIND_RUNS
    form = "runs" if is_runs else "dense"
    yield f"leaf {identifier}: kind {kind} ({form}), body of {len(body)} bytes"
    holders = await holders_of(SoundView(catalog), {leaf_id(LeafReference(identifier << 12))})
    for found in holders.values():
        for text in await holder_texts(catalog, catalog.past, found, 0):
            yield f"  held by {text}"
    log = await read_log(catalog)
    number = leaf_id(LeafReference(identifier << 12))
    for first, count, place, _ in log.changes.get(number, ()):
        where = f"blocks at {place_text(place)}" if place else "a hole"
        yield f"  changed by the log, not in the body yet: slot {first}, {count} blocks, {where}"
    try:
        leaf = Leaf.unpack(number, kind, body)
    except VolumeError as error:
        yield f"  damaged: {error}"
        return
    pieces = leaf.pieces(0, 2048)
    places_at, crcs_at = (2, 2 + 12 * len(pieces)) if is_runs else (0, 8 * 2048)
    if is_runs:
        yield f"       0: {len(pieces)} runs"
    done = 0
    for index, (first, blocks, place) in enumerate(pieces):
        at = places_at + 12 * index if is_runs else 8 * first
        crc_at = crcs_at + 4 * (done if is_runs else first)
        yield f"  {at:6}: slot {first}, {blocks} blocks at {place_text(place)}"
        for low in range(first, first + blocks, 8):
            crcs = " ".join(f"{crc:08x}" for crc in leaf.crcs[low : min(low + 8, first + blocks)])
            yield f"  {crc_at + 4 * (low - first):6}:   crc32c from slot {low} on: {crcs}"
        done += blocks
    yield f"  {len(body) - 4:6}: crc32c of the body: {int.from_bytes(body[-4:], 'little'):08x}, as it should be"


async def dump_group(catalog: CommittedCatalog, number: int) -> Lines:
    """A group of blocks: which are used, and how many leaves name the shared ones."""
    row: Any = await catalog.get(Table.SPACE, (number,))
    if row is None:
        raise UserError(f"there is no block group {number}", ExitCode.NOT_FOUND)
    group = Group(number, *row)
    base = number << GROUP_SHIFT
    yield f"block group {number}: from {place_text(base)} on, {group.used_blocks} of 16384 blocks used"
    for first, blocks in runs_of(set_slots(group.used)):
        yield f"  {blocks} blocks used at {place_text(base + first)}"
    if group.counts is not None:
        for count, blocks in sorted(Counter(group.counts[group.counts > 0].tolist()).items()):
            yield f"  {blocks} blocks are named by {count} leaf slots"


async def dump_segment(catalog: CommittedCatalog, segments: Segments, number: int) -> Lines:
    """A segment's header and how full it is."""
    if not 0 <= number < segments.count:
        raise UserError(f"there is no segment {number}", ExitCode.NOT_FOUND)
    header = segments.read_header(number)
    yield f"segment {number:08d}: {BLOCKS_PER_SEGMENT} blocks of {BLOCK_BYTES} bytes of address space"
    for offset, length, name in HEADER_FIELDS:
        yield f"  {offset:6}: {name} = {header[offset : offset + length].hex()}"
    for fault in segments.check_headers(number + 1):
        yield f"  damaged: {fault}"
    low = number * GROUPS_PER_SEGMENT
    used = 0
    for (at,), (bitmap, _) in await catalog.range(Table.SPACE, (low,), (low + GROUPS_PER_SEGMENT,)):
        blocks = Group(at, bitmap).used_blocks  # type: ignore[arg-type]
        used += blocks
        yield f"  group {at!r}: {blocks} blocks used"
    yield f"  {used} blocks used, {used * BLOCK_BYTES} bytes"


async def _of_inode(catalog: CommittedCatalog, table: Table, number: int) -> AsyncIterator[tuple[Any, Any]]:
    for found in await catalog.range(table, (number,), (number + 1,)):
        yield found


async def _leaf(catalog: CommittedCatalog, identifier: Any) -> Leaf | None:  # noqa: ANN401
    row: Any = await catalog.get(Table.LEAF, (identifier,))
    if row is None:
        return None
    return apply(identifier, row, (await read_log(catalog)).changes.get(identifier, ()))


def _reference_text(reference: LeafReference) -> str:
    return f"leaf {leaf_id(reference)}, {allocated_blocks(reference)} blocks allocated"


def _columns(table: Table, *parts: Iterable[object]) -> str:
    names = table.value.row if len(parts) == 1 else (*table.value.key, *table.value.row)
    values = [value for part in parts for value in part]
    return ", ".join(f"{name} = {_shown(value)}" for name, value in zip(names, values, strict=True))


def _shown(value: object) -> str:
    if not isinstance(value, bytes):
        return repr(value)
    if value.isascii() and value.decode().isprintable():
        return repr(value.decode())
    more = f"... ({len(value)} bytes)" if len(value) > _SHOWN_BYTES else ""
    return f"0x{value[:_SHOWN_BYTES].hex()}{more}"
