"""The check of the tree: every table of names says the same, every count is what it counts.

It reads the catalog as it is or as a snapshot holds it, of a running pool or of one that nobody owns, and changes nothing.
"""

import stat
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from odxfs.types import MAX_FILE_BYTES, InodeNumber
from odxfs.volume.catalog.interface import Key, Row, Table, volume_of
from odxfs.volume.catalog.sound import CatalogReader, all_rows
from odxfs.volume.checking.counters import is_inode_number, is_number
from odxfs.volume.checking.findings import Findings
from odxfs.volume.tree.inodes import Inode
from odxfs.volume.tree.names import fold, is_name, is_stream_name
from odxfs.volume.whereabouts import readable

KINDS = frozenset(
    (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK, stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFCHR, stat.S_IFBLK)
)
"""The S_IFMT bits that an inode may have."""


_MODE = Table.INODE.value.row.index("mode")


def readable_inode(number: int, row: Row) -> Inode:
    """The inode of a row whose columns may hold any number: one that can be no mode loses what is too much."""
    inode = Inode(InodeNumber(number), row)
    inode.mode &= 0xFFFF
    return inode


async def check_tree(view: CatalogReader, findings: Findings, now: CatalogReader | None = None) -> None:
    """Note each thing that is wrong with the trees of usable volumes. Changes must not happen meanwhile.

    For the tree of a snapshot, `now` is the catalog as it is, where the volumes are. All names are in memory while it
    runs: 1.25 KiB a file.
    """
    inodes: dict[int, Inode] = {}
    async for (number,), row in all_rows(view, Table.INODE):
        inodes[number] = readable_inode(number, row)
        if inodes[number].mode != row[_MODE]:
            findings.add("mode", f"inode {number} has a mode of {row[_MODE]}", f"inode {number}")
    volumes = {key[0]: row async for key, row in all_rows(now or view, Table.VOLUME)}
    entries = _Entries()
    async for (directory, name), (number, kind, cookie) in all_rows(view, Table.DIRENT):
        entries.add(directory, name, number, kind, cookie, findings)
    await _check_indexes(view, entries, findings)
    await _check_streams(view, inodes, entries, findings)
    roots = {row[1] for row in volumes.values()}
    _check_inodes(inodes, entries, roots, findings)
    _check_parents(inodes, entries, roots, findings)
    await _check_attributes(view, inodes, findings)
    if now is None:  # a snapshot has whatever was nameless then, and its volume goes on
        await _check_orphans(view, inodes, findings)
        _check_volumes(volumes, inodes, findings)


@dataclass(slots=True)
class _Entries:
    """All entries, and what can be counted while they are read."""

    by_name: dict[tuple[int, bytes], tuple[int, int, int]] = field(default_factory=dict)
    names: Counter[int] = field(default_factory=Counter)
    bytes_in: Counter[int] = field(default_factory=Counter)
    directories_in: Counter[int] = field(default_factory=Counter)
    kinds: dict[int, int] = field(default_factory=dict)
    parents: dict[int, int] = field(default_factory=dict)
    streams: Counter[int] = field(default_factory=Counter)
    """Rows of STREAM that name an inode."""

    def add(self, directory: Any, name: Any, number: Any, kind: Any, cookie: Any, findings: Findings) -> None:  # noqa: ANN401
        self.by_name[directory, name] = (number, kind, cookie)
        self.names[number] += 1
        self.bytes_in[directory] += len(name)
        self.kinds[number] = kind
        if kind == stat.S_IFDIR:
            self.directories_in[directory] += 1
            self.parents[number] = directory
        if not is_name(name) or not is_number("next_cookie", cookie):
            findings.add(
                "entry",
                f"directory {directory} has an entry {readable(name)} that cannot be one",
                f"inode {directory}",
            )


async def _check_indexes(view: CatalogReader, entries: _Entries, findings: Findings) -> None:
    """LISTING, NAME and FOLDED hold the entries of DIRENT, no more and no fewer.

    Each row leads to one entry and no two to the same, so a table of as many true rows as there are entries is whole.
    """
    for table, key_of in _INDEX_KEYS.items():
        true_rows = 0
        async for key, row in all_rows(view, table):
            if _is_true(table, key, row, entries.by_name):
                true_rows += 1
            else:
                _note_index(findings, table, key)
        wanted = (key for entry in entries.by_name.items() if (key := key_of(entry)) is not None)
        if true_rows != sum(1 for _ in wanted):
            await _find_missing(view, table, entries, findings)


_Entry = tuple[tuple[int, bytes], tuple[int, int, int]]
"""(directory, name) and (number, kind, cookie)."""


def _folded_key(entry: _Entry) -> Key | None:
    (directory, name), _ = entry
    return (directory, fold(name), name) if fold(name) != name else None


_INDEX_KEYS: dict[Table, Callable[[_Entry], Key | None]] = {
    Table.LISTING: lambda entry: (entry[0][0], entry[1][2]),
    Table.NAME: lambda entry: (entry[1][0], *entry[0]),
    Table.FOLDED: _folded_key,
}
"""The key under which each table has an entry; None if it has no need to."""


def _is_true(table: Table, key: Any, row: Any, by_name: Mapping[Any, tuple[int, int, int]]) -> bool:  # noqa: ANN401
    """Whether a row of an index says what the entry says that it leads to."""
    if table is Table.LISTING:
        (directory, cookie), (name, number, kind) = key, row
        return by_name.get((directory, name)) == (number, kind, cookie)
    first, second, name = key
    if table is Table.NAME:
        entry = by_name.get((second, name))
        return entry is not None and entry[0] == first
    return (first, name) in by_name and fold(name) == second != name


async def _find_missing(view: CatalogReader, table: Table, entries: _Entries, findings: Findings) -> None:
    """Note the entries that an index does not have, and those that would need the same row of it."""
    found = {key async for key, _row in all_rows(view, table)}
    for entry in entries.by_name.items():
        key = _INDEX_KEYS[table](entry)
        if key in found:
            found.remove(key)
        elif key is not None:
            _note_index(findings, table, key)


def _note_index(findings: Findings, table: Table, key: Key) -> None:
    name = table.value.name
    findings.add(
        f"index {name}", f"table {name} disagrees with the directories about {key}", f"inode {key[0]!r}"
    )


async def _check_streams(
    view: CatalogReader, inodes: Mapping[Any, Inode], entries: _Entries, findings: Findings
) -> None:
    """Each row of STREAM leads from what can have streams to a stream of it, which no other leads to."""
    async for (base, folded), (name, number) in all_rows(view, Table.STREAM):
        entries.streams[number] += 1
        owner, stream = inodes.get(base), inodes.get(number)
        where = f"inode {base}"
        if not is_stream_name(name) or fold(name) != folded:
            findings.add("stream", f"inode {base} has a stream {readable(name)} that cannot be one", where)
        if owner is None or owner.is_stream or not (owner.is_file or owner.is_directory):
            findings.add("stream", f"inode {base} has streams, which it cannot have", where)
        if stream is None or not stream.is_stream or stream.parent != base or number <= base:
            findings.add("stream", f"inode {number} is no stream of inode {base}", where)
    for number in [number for number, rows in entries.streams.items() if rows > 1]:
        findings.add("stream", f"inode {number} is more than one stream", f"inode {number}")


def _check_inodes(
    inodes: Mapping[Any, Inode], entries: _Entries, roots: set[Any], findings: Findings
) -> None:
    for number in entries.names.keys() - inodes.keys():
        findings.add("no such inode", f"{number} has a name but is no inode", f"inode {number}")
    for number in entries.bytes_in.keys() - inodes.keys():
        findings.add("no such directory", f"{number} has entries but is no inode", f"inode {number}")
    for number, inode in inodes.items():
        for kind, sentence in _faults(number, inode, entries, number in roots):
            findings.add(kind, sentence, f"inode {number}")


def _faults(number: int, inode: Inode, entries: _Entries, is_root: bool) -> list[tuple[str, str]]:
    found = []
    names = entries.names[number] + (is_root and inode.is_directory)
    expected = names
    if inode.is_directory:
        expected = 2 + entries.directories_in[number] if names else 0
        if names > 1:
            found.append(("names", f"directory {number} has {names} names"))
        if inode.size != entries.bytes_in[number]:
            counted = entries.bytes_in[number]
            found.append(
                ("directory size", f"directory {number} counts {inode.size} name bytes, it has {counted}")
            )
        if (inode.parent == number) != is_root:
            found.append(("root", f"directory {number} and its volume do not agree whether it is the root"))
    else:
        if entries.bytes_in[number]:
            found.append(("not a directory", f"{number} has entries but is no directory"))
        if inode.parent and not inode.is_stream:
            found.append(("parent", f"inode {number} names a parent but is no directory"))
        if inode.is_stream and names:
            found.append(("names", f"inode {number} is a stream, but has an entry in a directory"))
        if inode.is_stream:
            expected = entries.streams[number]
    if inode.nlink != expected:
        found.append(("links", f"inode {number} counts {inode.nlink} links, it has {expected}"))
    if inode.kind not in KINDS or entries.kinds.get(number, inode.kind) != inode.kind:
        found.append(("kind", f"inode {number} is of another kind than its entry says"))
    if inode.volume != volume_of(number) or not is_inode_number(number):
        found.append(("volume", f"inode {number} is not of volume {inode.volume}"))
    if not 0 <= inode.size <= MAX_FILE_BYTES or (inode.is_symlink and inode.size != len(inode.target)):
        found.append(("size", f"inode {number} has a size of {inode.size}"))
    return found


def _check_parents(
    inodes: Mapping[Any, Inode], entries: _Entries, roots: set[Any], findings: Findings
) -> None:
    """Every directory is below a root, where its entry says."""
    below_root = set(roots)
    for number, parent in entries.parents.items():
        where = f"inode {number}"
        inode = inodes.get(number)
        if inode is not None and inode.parent != parent:
            findings.add(
                "parent", f"directory {number} lies in {parent} but names {inode.parent} as its parent", where
            )
        way = set()
        at: int | None = number
        while at is not None and at not in below_root and at not in way:
            way.add(at)
            at = entries.parents.get(at)
        if at in below_root:
            below_root.update(way)
        else:
            findings.add("unreachable", f"directory {number} is not reachable from the root", where)


async def _check_orphans(view: CatalogReader, inodes: Mapping[Any, Inode], findings: Findings) -> None:
    orphans = {key[0] async for key, _row in all_rows(view, Table.ORPHAN)}
    nameless = {number for number, inode in inodes.items() if inode.nlink == 0}
    for number in nameless - orphans:
        findings.add("nameless", f"inode {number} has no name and is no orphan", f"inode {number}")
    for number in orphans - nameless:
        findings.add("orphan", f"orphan {number!r} is no inode without a name", f"inode {number!r}")


async def _check_attributes(view: CatalogReader, inodes: Mapping[Any, Inode], findings: Findings) -> None:
    async for (number, name), _row in all_rows(view, Table.XATTR):
        if number not in inodes:
            findings.add(
                "attribute",
                f"attribute {name!r} belongs to inode {number!r}, which is not in use",
                f"inode {number!r}",
            )


def _check_volumes(volumes: Mapping[Any, Any], inodes: Mapping[Any, Inode], findings: Findings) -> None:
    counted = Counter(inode.volume for inode in inodes.values() if inode.nlink > 0)
    blocks: Counter[int] = Counter()
    for inode in inodes.values():
        blocks[inode.volume] += inode.allocated_blocks
    for number in {inode.volume for inode in inodes.values()} - volumes.keys():
        findings.add("volume", f"inodes belong to volume {number}, which is not there")
    names = Counter(row[0] for row in volumes.values())
    for volume, (name, root, _created, number, allocated, _quota, state) in volumes.items():
        where = f"volume {name}"
        top = inodes.get(root)
        if top is None or not top.is_directory or top.volume != volume:
            findings.add("root", f"volume {name} has no root directory", where)
        if state:
            findings.add("state", f"volume {name} is in state {state}, which does not exist", where)
        if not is_number("next_volume", volume):
            findings.add("volume", f"volume {volume} has a number that none can have", where)
        if names[name] > 1 or not name:
            findings.add("volume name", f"volume {volume} has no name of its own: {name!r}", where)
        if counted[volume] != number:
            findings.add("inodes", f"volume {name} counts {number!r} inodes, it has {counted[volume]}", where)
        if blocks[volume] != allocated:
            findings.add(
                "blocks",
                f"volume {name} counts {allocated!r} allocated blocks, its inodes {blocks[volume]}",
                where,
            )
