"""The check of the tree: every table of names says the same, every count is what it counts.

It reads the catalog through a view, of a running pool or of one that nobody owns, and changes nothing.
"""

import stat
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from odxfs.types import VolumeId
from odxfs.volume.catalog.interface import Key, Row, Table, volume_of
from odxfs.volume.catalog.overlay import CatalogView
from odxfs.volume.catalog.past import PastView
from odxfs.volume.inodes import Inode
from odxfs.volume.names import fold

_LAST = (2**63 - 1,)


async def check_tree(view: CatalogView | PastView) -> list[str]:
    """One sentence for each thing that is wrong; empty when all is well. Changes must not happen meanwhile.

    All names are in memory while it runs: about 1 KiB a file.
    """
    findings: list[str] = []
    rows = await UsableRows.of(view)
    inodes = {number: Inode(number, row) for (number,), row in await _all(rows, Table.INODE)}
    entries = _Entries()
    for (directory, name), (number, kind, cookie) in await _all(rows, Table.DIRENT):
        entries.add(directory, name, number, kind, cookie)
    findings += await _check_indexes(rows, entries)
    findings += _check_inodes(inodes, entries)
    findings += _check_parents(inodes, entries)
    findings += await _check_attributes(rows, inodes)
    if isinstance(view, CatalogView):  # a snapshot has whatever was nameless then, and its volume goes on
        findings += await _check_orphans(rows, inodes)
        findings += await _check_volumes(rows, inodes)
    return findings


class UsableRows:
    """The rows of a view without those of volumes that are being deleted or made: these are a part of something."""

    def __init__(self, view: CatalogView | PastView, unusable: set[VolumeId]) -> None:
        self._view = view
        self._unusable = unusable

    @classmethod
    async def of(cls, view: CatalogView | PastView) -> "UsableRows":
        """A snapshot's volume is usable, and so are its rows."""
        if isinstance(view, PastView):
            return cls(view, set())
        volumes = await view.range(Table.VOLUME, (0,), _LAST)
        return cls(view, {VolumeId(key[0]) for key, (*_, state) in volumes if state})  # type: ignore[arg-type]

    def has(self, number: int) -> bool:
        """Whether an inode number belongs to a usable volume."""
        return volume_of(number) not in self._unusable

    async def range(self, table: Table, low: Key, high: Key) -> list[tuple[Key, Row]]:
        """See CatalogView.range; for tables whose keys begin with an inode number, and VOLUME."""
        rows = await self._view.range(table, low, high)
        if table is Table.VOLUME or not self._unusable:
            return rows
        return [row for row in rows if self.has(row[0][0])]  # type: ignore[arg-type]


@dataclass(slots=True)
class _Entries:
    """All entries, and what can be counted while they are read."""

    by_name: dict[Key, Row] = field(default_factory=dict)
    names: Counter[int] = field(default_factory=Counter)
    bytes_in: Counter[int] = field(default_factory=Counter)
    directories_in: Counter[int] = field(default_factory=Counter)
    kinds: dict[int, int] = field(default_factory=dict)
    parents: dict[int, int] = field(default_factory=dict)

    def add(self, directory: int, name: bytes, number: int, kind: int, cookie: int) -> None:
        self.by_name[directory, name] = (number, kind, cookie)
        self.names[number] += 1
        self.bytes_in[directory] += len(name)
        self.kinds[number] = kind
        if kind == stat.S_IFDIR:
            self.directories_in[directory] += 1
            self.parents[number] = directory


async def _all(view: UsableRows, table: Table) -> list[tuple[Any, Any]]:
    return await view.range(table, (0,), _LAST)


async def _check_indexes(view: UsableRows, entries: _Entries) -> list[str]:
    """LISTING, NAME and FOLDED hold the entries of DIRENT, no more and no fewer."""
    wanted: dict[Table, dict[Key, Row]] = {Table.LISTING: {}, Table.NAME: {}, Table.FOLDED: {}}
    for (directory, name), (number, kind, cookie) in entries.by_name.items():
        assert isinstance(name, bytes)
        assert isinstance(number, int)
        assert isinstance(cookie, int)
        wanted[Table.LISTING][directory, cookie] = (name, number, kind)
        wanted[Table.NAME][number, directory, name] = ()
        if fold(name) != name:
            wanted[Table.FOLDED][directory, fold(name), name] = ()
    findings = []
    for table, rows in wanted.items():
        found = dict(await _all(view, table))
        differing = [key for key in rows.keys() | found.keys() if rows.get(key) != found.get(key)]
        findings += [
            f"table {table.value.name} disagrees with the directories about {key}" for key in differing
        ]
    return findings


def _check_inodes(inodes: dict[int, Inode], entries: _Entries) -> list[str]:
    findings = [f"{number} has a name but is no inode" for number in entries.names if number not in inodes]
    for number, inode in inodes.items():
        is_root = inode.is_directory and inode.parent == number
        names = entries.names[number] + is_root
        if inode.is_directory:
            expected = 2 + entries.directories_in[number] if names else 0
            if names > 1:
                findings.append(f"directory {number} has {names} names")
            if inode.size != entries.bytes_in[number]:
                findings.append(
                    f"directory {number} counts {inode.size} name bytes, it has {entries.bytes_in[number]}"
                )
        else:
            expected = names
            if entries.bytes_in[number]:
                findings.append(f"{number} has entries but is no directory")
        if inode.nlink != expected:
            findings.append(f"inode {number} counts {inode.nlink} links, it has {expected}")
        if number in entries.kinds and entries.kinds[number] != inode.kind:
            findings.append(f"inode {number} is of another kind than its entry says")
    return findings


def _check_parents(inodes: dict[int, Inode], entries: _Entries) -> list[str]:
    """Every directory is below a root, where its entry says."""
    findings = []
    below_root = {number for number, inode in inodes.items() if inode.is_directory and inode.parent == number}
    for number, parent in entries.parents.items():
        inode = inodes.get(number)
        if inode is not None and inode.parent != parent:
            findings.append(f"directory {number} lies in {parent} but names {inode.parent} as its parent")
        way = []
        at: int | None = number
        while at is not None and at not in below_root and at not in way:
            way.append(at)
            at = entries.parents.get(at)
        if at in below_root:
            below_root.update(way)
        else:
            findings.append(f"directory {number} is not reachable from the root")
    return findings


async def _check_orphans(view: UsableRows, inodes: dict[int, Inode]) -> list[str]:
    orphans = {key[0] for key, _row in await _all(view, Table.ORPHAN)}
    nameless = {number for number, inode in inodes.items() if inode.nlink == 0}
    findings = [f"inode {number} has no name and is no orphan" for number in nameless - orphans]
    return findings + [f"orphan {number} is no inode without a name" for number in orphans - nameless]


async def _check_attributes(view: UsableRows, inodes: dict[int, Inode]) -> list[str]:
    return [
        f"attribute {name!r} belongs to inode {number}, which is not in use"
        for (number, name), _row in await _all(view, Table.XATTR)
        if number not in inodes
    ]


async def _check_volumes(view: UsableRows, inodes: dict[int, Inode]) -> list[str]:
    counted = Counter(inode.volume for inode in inodes.values() if inode.nlink > 0)
    blocks: Counter[int] = Counter()
    for inode in inodes.values():
        blocks[inode.volume] += inode.allocated_blocks
    findings = []
    for (volume,), (name, root, _created, number, allocated, _quota, state) in await _all(view, Table.VOLUME):
        if state:  # one that is being deleted or made
            continue
        if root not in inodes or not inodes[root].is_directory:
            findings.append(f"volume {name} has no root directory")
        if counted[volume] != number:
            findings.append(f"volume {name} counts {number} inodes, it has {counted[volume]}")
        if blocks[volume] != allocated:
            findings.append(f"volume {name} counts {allocated} allocated blocks, its inodes {blocks[volume]}")
    return findings
