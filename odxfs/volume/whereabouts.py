"""Saying where something is: the path of an inode, the files and others that hold a leaf, the place of a block."""

import stat
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from odxfs.errors import Corrupt
from odxfs.types import BLOCK_BYTES, LEAF_BYTES, LeafId, SnapshotId, VolumeId
from odxfs.volume.blocks.segments import BLOCKS_PER_SEGMENT, SEGMENT_SHIFT
from odxfs.volume.catalog.interface import Table, volume_of
from odxfs.volume.catalog.sound import CatalogReader, all_rows
from odxfs.volume.extents import leaf_id, unpack_page, unpack_pin

TreeOf = Callable[[SnapshotId, VolumeId], CatalogReader]
"""The file tree of a volume as a snapshot holds it."""

_DEPTH = 4096
"""Directories that a path goes through at most; more is a loop in a damaged catalog."""

_NOW = SnapshotId(0)
_MODE = Table.INODE.value.row.index("mode")
_PARENT = Table.INODE.value.row.index("parent")


@dataclass(frozen=True, slots=True)
class Holder:
    """Who names a leaf: a file's window, as it is or as kept for a snapshot, or a token."""

    inode: int
    """0 for a token."""
    window: int
    snapshot: SnapshotId
    """0 for the file as it is now."""


def place_text(place: int) -> str:
    """A place as people find it: segment file and byte."""
    return f"segment {place >> SEGMENT_SHIFT}, byte {place % BLOCKS_PER_SEGMENT * BLOCK_BYTES}"


def readable(name: bytes) -> str:
    """A name for messages: what is not UTF-8, or cannot be printed, is escaped."""
    text = name.decode(errors="backslashreplace")
    return text if text.isprintable() else ascii(text)[1:-1]


async def paths_of(tree: CatalogReader, number: int, limit: int = 16) -> list[str]:
    """The paths of an inode, at most `limit`; none when it has no name or the way up is broken."""
    rows = await tree.range(Table.NAME, (number,), (number + 1,), limit)
    found = []
    for (_, directory, name), _row in rows:
        assert isinstance(directory, int)
        assert isinstance(name, bytes)
        above = await _directory_path(tree, directory)
        if above is not None:
            found.append(f"{above}/{readable(name)}")
    return found or (["/"] if await _is_root(tree, number) else await _stream_paths(tree, number, limit))


async def _stream_paths(tree: CatalogReader, number: int, limit: int) -> list[str]:
    """The paths of a named stream: those of its base, each with its name behind a colon."""
    row = await tree.get(Table.INODE, (number,))
    base: Any = row[_PARENT] if row is not None else 0
    if not base or base >= number or not stat.S_ISREG(row[_MODE]):  # type: ignore[index,arg-type]
        return []
    rows: list[tuple[Any, Any]] = list(await tree.range(Table.STREAM, (base,), (base + 1,)))
    names = [name for _, (name, stream) in rows if stream == number]
    return [f"{path}:{readable(name)}" for name in names for path in await paths_of(tree, base, limit)]


async def inode_text(view: CatalogReader, tree: CatalogReader, number: int) -> str:
    """An inode for messages: its first path if it has one, its number and its volume.

    `tree` is where its names are looked up: the catalog as it is, or as a snapshot holds it.
    """
    volume = await view.get(Table.VOLUME, (volume_of(number),))
    name = str(volume[0]) if volume is not None else f"{volume_of(number)}"
    paths = await paths_of(tree, number, 1)
    return f"{paths[0]} (inode {number} of volume {name})" if paths else f"inode {number} of volume {name}"


async def holders_of(view: CatalogReader, leaves: set[LeafId]) -> dict[LeafId, list[Holder]]:
    """Who names each of these leaves. Reads every extent map; leaves out the damaged pages of one."""
    found: dict[LeafId, list[Holder]] = defaultdict(list)
    if not leaves:
        return found
    async for (number, page), (body, _) in all_rows(view, Table.EXTENTS):
        _note(found, leaves, Holder(number, page, _NOW), body)
    async for (snapshot, number, page), (present, body, _) in all_rows(view, Table.EXTENTS_PAST):
        _note(found, leaves, Holder(number, page, SnapshotId(snapshot)), body if present else None)
    async for _, (body,) in all_rows(view, Table.PIN):
        with suppress(Corrupt):
            for reference in unpack_pin(body):
                if leaf_id(reference) in leaves:
                    found[leaf_id(reference)].append(Holder(0, 0, _NOW))
    return found


def _note(found: dict[LeafId, list[Holder]], leaves: set[LeafId], page: Holder, body: bytes | None) -> None:
    """Note which of the leaves a page names; `page` has the page's number for a window."""
    if body is None:
        return
    with suppress(Corrupt):
        for window, reference in unpack_page(page.inode, page.window, body).items():
            if leaf_id(reference) in leaves:
                found[leaf_id(reference)].append(Holder(page.inode, window, page.snapshot))


async def holder_texts(view: CatalogReader, tree_of: TreeOf, holders: list[Holder], slot: int) -> list[str]:
    """What to call a block of a leaf: for each holder its paths and the byte in the file.

    `tree_of` gives the catalog as a snapshot holds it.
    """
    texts: list[str] = []
    for holder in holders:
        offset = holder.window * LEAF_BYTES + slot * BLOCK_BYTES
        if not holder.inode:
            texts.append("a token")
            continue
        tree = tree_of(holder.snapshot, volume_of(holder.inode)) if holder.snapshot else view
        what = await inode_text(view, tree, holder.inode)
        if holder.snapshot:
            row = await view.get(Table.SNAPSHOT, (holder.snapshot,))
            what = f"snapshot {str(row[1]) if row else holder.snapshot}: {what}"
        texts.append(f"{what}, byte {offset}")
    return texts or ["no file"]


async def _directory_path(tree: CatalogReader, number: int) -> str | None:
    """The path of a directory, empty for a root; None when it leads nowhere."""
    parts: list[str] = []
    for _ in range(_DEPTH):
        if await _is_root(tree, number):
            return "".join(reversed(parts))
        rows: list[tuple[Any, Any]] = list(await tree.range(Table.NAME, (number,), (number + 1,), 1))
        if not rows:
            return None
        _, number, name = rows[0][0]
        parts.append("/" + readable(name))
    return None


async def _is_root(tree: CatalogReader, number: int) -> bool:
    row = await tree.get(Table.INODE, (number,))
    return row is not None and row[_PARENT] == number
