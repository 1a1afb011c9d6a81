"""The entries of directories, as rows of the catalog: found by name, by name ignoring case, in listing order, by inode.

The functions that change entries are synchronous: the caller has looked and checked before, and holds the directory's lock.
"""

from typing import NamedTuple

from odxfs.errors import NotADirectory, NotFound
from odxfs.types import InodeNumber
from odxfs.volume.catalog.interface import Key, Row, Table
from odxfs.volume.catalog.overlay import CatalogView
from odxfs.volume.catalog.past import SeenView
from odxfs.volume.identifiers import Identifiers
from odxfs.volume.tree.inodes import Inode
from odxfs.volume.tree.names import decode_name, encode_name, fold

_FOLDED_CANDIDATES = 64
"""Names of one directory that differ in case only and are looked through; only a POSIX user can make more than one."""

_LISTED_ENTRIES = 65_536
"""Entries of listings kept in memory: some 10 MB."""

_PAGE_ENTRIES = 4
"""What a page costs beside its entries, as entries: the pages of empty directories are bounded, too."""

_Page = tuple[int, int]
"""(after, limit) of a listing."""


class DirectoryEntry(NamedTuple):
    """One line of a listing."""

    name: bytes
    number: InodeNumber
    kind: int
    """The S_IFMT bits of the inode."""
    cookie: int
    """Where the listing goes on after this entry; > 0, ascending, never used twice."""


def _listed(key: Key, row: Row) -> DirectoryEntry:
    name, number, kind = row
    return DirectoryEntry(name, number, kind, key[1])  # type: ignore[arg-type]


class Directories:
    """Entries by directory number. A directory's inode counts its entries' names in `size`; 0 means empty."""

    def __init__(self, view: CatalogView | SeenView, identifiers: Identifiers) -> None:
        self._view = view
        self._identifiers = identifiers
        self._listed: dict[InodeNumber, dict[_Page, list[DirectoryEntry]]] = {}
        """Pages of listings as they were read, until an entry of the directory changes."""
        self._listed_entries = 0
        self._changes = 0

    async def find(self, directory: InodeNumber, name: bytes) -> DirectoryEntry | None:
        """The entry of that very name."""
        row = await self._view.get(Table.DIRENT, (directory, name))
        return None if row is None else DirectoryEntry(name, *row)  # type: ignore[arg-type]

    async def find_ignoring_case(self, directory: InodeNumber, name: str) -> DirectoryEntry:
        """The entry of that very name, else the first one that differs in case only. Raises NotFound."""
        exact = encode_name(name)
        found = await self.find(directory, exact)
        if found is not None:
            return found
        folded = fold(exact)
        found = await self.find(directory, folded)
        if found is not None:
            return found
        low, high = (directory, folded), (directory, folded + b"\0")
        for (_directory, _folded, spelt), _row in await self._view.range(
            Table.FOLDED, low, high, _FOLDED_CANDIDATES
        ):
            assert isinstance(spelt, bytes)
            found = await self.find(directory, spelt)
            if found is not None:
                return found
        raise NotFound(f"there is no {name!r}")

    async def is_taken(self, directory: InodeNumber, name: bytes, *, ignoring_case: bool) -> bool:
        """Whether there is an entry of that name, or with `ignoring_case` one that differs in case only."""
        if not ignoring_case:
            return await self.find(directory, name) is not None
        try:
            await self.find_ignoring_case(directory, decode_name(name))
        except NotFound:
            return False
        return True

    async def listing(self, directory: InodeNumber, after: int, limit: int) -> list[DirectoryEntry]:
        """Entries whose cookies are greater than `after`, ascending. The list is shared: not to be changed."""
        found = self._listed.get(directory, {}).get((after, limit))
        if found is not None:
            return found
        changes = self._changes
        rows = await self._view.range(Table.LISTING, (directory, after + 1), (directory + 1,), limit)
        page = [_listed(key, row) for key, row in rows]
        if changes == self._changes:
            self._keep(directory, (after, limit), page)
        return page

    def _keep(self, directory: InodeNumber, key: _Page, page: list[DirectoryEntry]) -> None:
        if self._listed_entries > _LISTED_ENTRIES:
            self.forget_listings()
        self._listed.setdefault(directory, {})[key] = page
        self._listed_entries += len(page) + _PAGE_ENTRIES

    def forget_listings(self) -> None:
        """Rows of entries were changed by other ways than `add` and `remove`."""
        self._changes += 1
        self._listed.clear()
        self._listed_entries = 0

    def _entries_change(self, directory: InodeNumber) -> None:
        self._changes += 1
        self._forget(directory)

    def _forget(self, directory: InodeNumber) -> None:
        pages = self._listed.pop(directory, None)
        if pages is not None:
            self._listed_entries -= sum(len(page) + _PAGE_ENTRIES for page in pages.values())

    async def names_of(self, number: InodeNumber) -> list[tuple[InodeNumber, bytes]]:
        """Every (directory, name) of an inode."""
        rows = await self._view.range(Table.NAME, (number,), (number + 1,))
        return [(key[1], key[2]) for key, _row in rows]  # type: ignore[misc]

    def add(self, parent: Inode, name: bytes, child: Inode, cookie: int | None = None) -> None:
        """Enter a name that is free."""
        if cookie is None:
            cookie = self._identifiers.cookie()
        directory, kind = parent.number, child.kind
        self._entries_change(directory)
        put = self._view.put
        put(Table.DIRENT, (directory, name), (child.number, kind, cookie))
        put(Table.LISTING, (directory, cookie), (name, child.number, kind))
        put(Table.NAME, (child.number, directory, name), ())
        folded = fold(name)
        if folded != name:
            put(Table.FOLDED, (directory, folded, name), ())
        parent.size += len(name)

    def remove(self, parent: Inode, entry: DirectoryEntry) -> None:
        """Take out an entry that is there."""
        directory, name = parent.number, entry.name
        self._entries_change(directory)
        self._forget(entry.number)  # if that is a directory, it may be gone for good
        delete = self._view.delete
        delete(Table.DIRENT, (directory, name))
        delete(Table.LISTING, (directory, entry.cookie))
        delete(Table.NAME, (entry.number, directory, name))
        folded = fold(name)
        if folded != name:
            delete(Table.FOLDED, (directory, folded, name))
        parent.size -= len(name)


def check_alive(directory: Inode) -> None:
    """A directory that was removed while it was open takes no new entries (POSIX: ENOENT), nor does one that has become a link
    or whose volume is being deleted.
    """
    if directory.nlink == 0 or directory.gone:
        raise NotFound(f"directory {directory.number} has been removed")
    if not directory.is_directory:
        raise NotADirectory(f"inode {directory.number} is no directory any more")
