"""Mending a file tree: from the rows that are there to rows that agree with each other. Pure: rows in, rows out.

An entry is told by three tables. What two of them say counts; what only one says counts if it is the only name of its inode.
Everything that is a count or an index is made anew. An inode whose row is lost is made again when there is data or a name
left of it. What has no name any more is left for `adopt`, which gives it one in `lost+found`.
"""

import stat
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from odxfs.types import BLOCK_BYTES, MAX_FILE_BYTES, InodeNumber, VolumeId
from odxfs.volume.catalog.interface import Key, Row, Table, inode_in, volume_of
from odxfs.volume.checking.counters import is_inode_number, is_number
from odxfs.volume.checking.tree_check import KINDS, readable_inode
from odxfs.volume.tree.inodes import Inode, new_inode_row
from odxfs.volume.tree.names import fold, is_name, is_stream_name

TREE_TABLES = (Table.INODE, Table.DIRENT, Table.LISTING, Table.FOLDED, Table.NAME, Table.XATTR, Table.STREAM)

LOST_AND_FOUND = b"lost+found"

_REMADE = frozenset((stat.S_IFREG, stat.S_IFDIR, stat.S_IFIFO, stat.S_IFSOCK))
"""Kinds of which nothing but attributes is lost with the inode's row."""

Rows = dict[Table, dict[Key, Row]]
_Entry = tuple[int, bytes]
"""(directory, name)."""
_Stream = tuple[int, bytes]
"""(base, folded name)."""


@dataclass(slots=True)
class Counters:
    """The numbers to hand out next."""

    inode: int
    cookie: int


@dataclass(slots=True)
class TreeRepair:
    """One tree, or the trees of all volumes together. Fill in, `mend`, `adopt` if wanted, and take `rows()`."""

    found: Rows
    roots: dict[VolumeId, InodeNumber]
    """The root that each volume is said to have; one that is no directory is made again."""
    orphans: set[int]
    mapped: Counter[int]
    """Inode -> blocks that its map allocates."""
    ends: dict[int, int]
    """Inode -> the byte behind its last window that is no hole."""
    counters: Counters
    explained: Counter[int] = field(default_factory=Counter)
    """Inode -> blocks of it that are known to be lost."""
    is_past: bool = False
    """Whether it is a snapshot's: what has no name there has none."""
    inodes: dict[int, Inode] = field(default_factory=dict)
    entries: dict[_Entry, int] = field(default_factory=dict)
    cookies: dict[_Entry, int] = field(default_factory=dict)
    streams: dict[_Stream, tuple[bytes, int]] = field(default_factory=dict)
    """The name and the inode of each named stream."""
    nameless: list[int] = field(default_factory=list)
    """What is to go to `lost+found`."""
    lost: list[tuple[int, str]] = field(default_factory=list)
    """(inode, what of it is lost)."""

    def mend(self) -> None:
        """Make the tree sound, but for what has no name."""
        self.inodes = {
            number: readable_inode(number, row)
            for (number,), row in self.found[Table.INODE].items()
            if isinstance(number, int) and is_inode_number(number)
        }
        votes = self._votes()
        self._accept(votes)
        self._remake(votes)
        self._set_kinds()
        self._drop_impossible()
        self._cut_loops()
        self._accept_streams()
        self._find_nameless()
        self._number()
        self._count()

    def adopt(self) -> None:
        """Give what has no name one in its volume's `lost+found`."""
        for number in self.nameless:
            folder = self._lost_and_found(volume_of(number))
            self._enter(folder, b"#%d" % number, number)
        self.nameless = []
        self._count()

    def rows(self) -> Rows:
        """The tables as they must be."""
        rows: Rows = {table: {} for table in TREE_TABLES}
        for (directory, name), number in self.entries.items():
            kind, cookie = self.inodes[number].kind, self.cookies[directory, name]
            rows[Table.DIRENT][directory, name] = (number, kind, cookie)
            rows[Table.LISTING][directory, cookie] = (name, number, kind)
            rows[Table.NAME][number, directory, name] = ()
            if fold(name) != name:
                rows[Table.FOLDED][directory, fold(name), name] = ()
        rows[Table.INODE] = {(number,): inode.row() for number, inode in self.inodes.items()}
        rows[Table.STREAM] = {key: row for key, row in self.streams.items()}  # noqa: C416 - keys of another type
        rows[Table.XATTR] = {
            key: row for key, row in self.found[Table.XATTR].items() if key[0] in self.inodes
        }
        return rows

    # -- entries ----------------------------------------------------------------------------------------------------

    def _votes(self) -> dict[_Entry, Counter[int]]:
        """(directory, name) -> inode -> tables that say so; a directory entry's own table tips the balance."""
        votes: dict[_Entry, Counter[int]] = defaultdict(Counter)
        found: dict[Table, dict[Any, Any]] = self.found
        for (directory, cookie), (name, number, _kind) in found[Table.LISTING].items():
            votes[directory, name][number] += 2
            self.cookies[directory, name] = cookie
        for number, directory, name in found[Table.NAME]:
            votes[directory, name][number] += 2
        for (directory, name), (number, _kind, cookie) in found[Table.DIRENT].items():
            votes[directory, name][number] += 3
            self.cookies[directory, name] = cookie
        return {entry: counted for entry, counted in votes.items() if is_name(entry[1])}

    def _accept(self, votes: dict[_Entry, Counter[int]]) -> None:
        best = {entry: max(counted.items(), key=lambda item: item[1]) for entry, counted in votes.items()}
        self.entries = {entry: number for entry, (number, weight) in best.items() if weight > 3}
        named = set(self.entries.values())
        alone = [(weight, entry, number) for entry, (number, weight) in best.items() if weight <= 3]
        for _, entry, number in sorted(alone, key=lambda item: (-item[0], item[1])):
            if number not in named and number in self.inodes and self._is_directory(entry[0]):
                self.entries[entry] = number
                named.add(number)

    def _enter(self, directory: int, name: bytes, number: int) -> None:
        self.entries[directory, name] = number
        self.cookies[directory, name] = self._new_cookie()

    def _drop_impossible(self) -> None:
        """Entries of what is no directory, of what is not there, across volumes; further names of directories."""
        roots = set(self.roots.values())
        chosen: dict[int, _Entry] = {}
        for entry, number in sorted(self.entries.items()):
            directory, _ = entry
            inode = self.inodes.get(number)
            if (
                inode is None
                or number in roots
                or not self._is_directory(directory)
                or volume_of(number) != volume_of(directory)
            ):
                del self.entries[entry]
            elif inode.is_directory and number in chosen:
                worse = entry if directory != inode.parent else chosen[number]
                chosen[number] = chosen[number] if worse is entry else entry
                del self.entries[worse]
            elif inode.is_directory:
                chosen[number] = entry

    def _cut_loops(self) -> None:
        """Take the name of one directory in each loop, so that it is found nameless."""
        above = {number: entry for entry, number in self.entries.items() if self._is_directory(number)}
        sound: set[int] = set(self.roots.values())
        for number in sorted(above):
            way: list[int] = []
            at = number
            while at not in sound and at not in way and at in above:
                way.append(at)
                at = above[at][0]
            if at in way:
                cut = min(way[way.index(at) :])
                del self.entries[above.pop(cut)]
            sound.update(way)

    # -- streams ----------------------------------------------------------------------------------------------------

    def _accept_streams(self) -> None:
        """Rows of what can have streams that lead to a file which nothing else leads to."""
        taken = {*self.entries.values(), *self.roots.values()}
        bases, streams = set[int](), set[int]()
        found: dict[Any, Any] = self.found[Table.STREAM]
        # A row that the stream's own inode agrees with comes before one that it does not know of.
        rows = sorted(found.items(), key=lambda item: (not self._agrees(item[0][0], item[1][1]), item[0]))
        for (base, folded), (name, number) in rows:
            owner, stream = self.inodes.get(base), self.inodes.get(number)
            if (
                is_stream_name(name)
                and fold(name) == folded
                and owner is not None
                and (owner.is_directory or owner.is_file)
                and base not in streams
                and stream is not None
                and stream.is_file
                and base < number
                and volume_of(base) == volume_of(number)
                and number not in taken
                and number not in bases
                and number not in streams
            ):
                self.streams[base, folded] = (name, number)
                bases.add(base)
                streams.add(number)

    def _agrees(self, base: int, number: int) -> bool:
        stream = self.inodes.get(number)
        return stream is not None and stream.parent == base

    # -- inodes -----------------------------------------------------------------------------------------------------

    def _remake(self, votes: dict[_Entry, Counter[int]]) -> None:
        """Make the inodes again that are gone, but of which there is something left."""
        kinds = {row[0]: row[1] for row in self.found[Table.DIRENT].values()}
        directories = {entry[0] for entry in self.entries if sum(votes[entry].values()) > 3}
        streams: set[Any] = {row[1] for row in self.found[Table.STREAM].values()}
        wanted = {*self.roots.values(), *self.entries.values(), *directories, *streams, *self.mapped}
        for number in sorted(wanted - self.inodes.keys()):
            if number in directories or number in self.roots.values():
                kind: Any = stat.S_IFDIR
            else:
                kind = stat.S_IFREG if self.mapped[number] else kinds.get(number, stat.S_IFREG)
            if not is_inode_number(number) or kind not in _REMADE:
                self.lost.append((number, "what it was"))
                continue
            mode = kind | (0o700 if kind == stat.S_IFDIR else 0o600)
            row = new_inode_row(volume_of(number), mode, 0, 0, 0, parent=self._parent_of(number))
            self.inodes[number] = Inode(InodeNumber(number), row)
            self.lost.append((number, "its attributes"))

    def _set_kinds(self) -> None:
        """What an inode has tells what it is, before what is said of it."""
        by_name = {row[0]: row[1] for row in self.found[Table.DIRENT].values()}
        listed = {row[1]: row[2] for row in self.found[Table.LISTING].values()}
        inhabited = {directory for directory, _ in self.entries} | set(self.roots.values())
        for number, inode in self.inodes.items():
            said = by_name.get(number)
            kind: Any = inode.kind if inode.kind in KINDS else stat.S_IFREG
            if said in KINDS and (said == listed.get(number) or inode.kind not in KINDS):
                kind = said
            if number in inhabited:
                kind = stat.S_IFDIR
            elif self.mapped[number]:
                kind = stat.S_IFREG
            inode.mode = kind | stat.S_IMODE(inode.mode)
            inode.volume = volume_of(number)

    def _find_nameless(self) -> None:
        if self.is_past:
            self._forget_unreachable()
            return
        streams = {number for _, number in self.streams.values()}
        named, roots = {*self.entries.values(), *streams}, set(self.roots.values())
        inhabited = {directory for directory, _ in self.entries}
        for number, inode in sorted(self.inodes.items()):
            if number in named or number in roots:
                self.orphans.discard(number)
            elif inode.nlink != 0 or number in inhabited:
                self.orphans.discard(number)
                self.nameless.append(number)
            else:
                self.orphans.add(number)
        self.orphans &= self.inodes.keys()

    def _forget_unreachable(self) -> None:
        """In a snapshot: what no way leads to has no name."""
        while True:
            reached = set(self.entries.values()) | set(self.roots.values())
            dead = [entry for entry in self.entries if entry[0] not in reached]
            if not dead:
                return
            for entry in dead:
                del self.entries[entry]

    def _count(self) -> None:
        """Sizes, links and parents as the entries have them."""
        names = Counter(self.entries.values())
        bytes_in: Counter[int] = Counter()
        directories_in: Counter[int] = Counter()
        roots = set(self.roots.values())
        bases = {number: base for (base, _), (_, number) in self.streams.items()}
        for (directory, name), number in self.entries.items():
            bytes_in[directory] += len(name)
            if self.inodes[number].is_directory:
                directories_in[directory] += 1
                self.inodes[number].parent = InodeNumber(directory)
        for number, inode in self.inodes.items():
            links = names[number]
            if inode.is_directory:
                links = 2 + directories_in[number] if links or number in roots else 0
                inode.size = bytes_in[number]
                if number in roots:
                    inode.parent = InodeNumber(number)
                elif inode.parent == number:
                    inode.parent = self.roots[inode.volume]
            else:
                links += number in bases
                inode.parent = InodeNumber(bases.get(number, 0))
                self._set_size(inode)
            if number not in self.nameless:
                inode.nlink = links
            if links or number in self.nameless:  # what is being deleted may have lost its map already
                self._set_allocated(inode)

    def _set_allocated(self, inode: Inode) -> None:
        mapped = self.mapped[inode.number]
        missing = inode.allocated_blocks - mapped - self.explained[inode.number]
        if missing > 0:
            self.lost.append(
                (
                    inode.number,
                    f"parts of its data, if its count is right: its map has {missing} blocks fewer",
                )
            )
        inode.allocated_blocks = mapped

    def _set_size(self, inode: Inode) -> None:
        if inode.is_symlink:
            inode.size = len(inode.target)
            return
        end = self.ends.get(inode.number, 0)
        if inode.number in self.orphans and not self.is_past:
            inode.size = max(0, min(inode.size, MAX_FILE_BYTES))
            return
        blocks = -(-inode.size // BLOCK_BYTES)
        if inode.size < 0 or not end <= blocks * BLOCK_BYTES <= MAX_FILE_BYTES:
            self.lost.append((inode.number, f"its size, which was {inode.size} and is {end} bytes"))
            inode.size = end

    # -- numbers ----------------------------------------------------------------------------------------------------

    def _number(self) -> None:
        """A cookie for each entry, once in a directory."""
        taken: set[tuple[int, int]] = set()
        for entry in sorted(self.entries):
            cookie = self.cookies.get(entry, 0)
            if not is_number("next_cookie", cookie) or (entry[0], cookie) in taken:
                cookie = self._new_cookie()
            self.cookies[entry] = cookie
            taken.add((entry[0], cookie))

    def _new_cookie(self) -> int:
        self.counters.cookie += 1
        return self.counters.cookie - 1

    def _lost_and_found(self, volume: VolumeId) -> int:
        root = self.roots[volume]
        for name in _numbered(LOST_AND_FOUND):
            found = self.entries.get((root, name))
            if found is None:
                number = inode_in(volume, self.counters.inode)
                self.counters.inode += 1
                row = new_inode_row(volume, stat.S_IFDIR | 0o700, 0, 0, 0, parent=root)
                self.inodes[number] = Inode(InodeNumber(number), row)
                self._enter(root, name, number)
                return number
            if self.inodes[found].is_directory:
                return found
        raise AssertionError("there is always one more name")

    def _is_directory(self, number: int) -> bool:
        inode = self.inodes.get(number)
        return inode is not None and inode.is_directory

    def _parent_of(self, number: int) -> int:
        """The directory that names a lost inode."""
        return next((directory for (directory, _), child in self.entries.items() if child == number), 0)


def _numbered(name: bytes) -> Iterable[bytes]:
    yield name
    number = 1
    while True:
        yield b"%s.%d" % (name, number)
        number += 1
