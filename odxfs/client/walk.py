"""A folder and all below it, one step at a time, in memory that grows with the depth and not with the number of files.

The listing of a folder is closed as soon as its end has been seen, before its subfolders are entered: only a folder of more
than a page stays open meanwhile.
"""

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

from odxfs.client.entry import Entry, Kind
from odxfs.client.place import Place


@dataclass(slots=True, eq=False)
class Folder:
    """A folder under way. It is finished when nothing in it is `waiting`: the walk itself, a file, a subfolder."""

    source: Place
    destination: Place
    entry: Entry
    parent: "Folder | None" = None
    waiting: int = 1


@dataclass(slots=True, eq=False)
class Walk:
    """The listing of one folder."""

    folder: Folder
    pages: AsyncGenerator[list[Entry], None]
    subfolders: list[Entry] = field(default_factory=list)
    """Of the pages seen so far, and not yet entered."""
    names: set[str] = field(default_factory=set)
    """Where the destination knows no case: the names seen so far, without theirs."""
    _ahead: list[Entry] | None = None
    _ended: bool = False

    async def begin(self) -> None:
        """Fetch the first page, which for most folders is the only one. Raises UserError."""
        self._ahead = await self._fetch()

    async def next_page(self) -> list[Entry] | None:
        """The next page without its subfolders, or None at the end. Raises UserError."""
        page = self._ahead if self._ahead is not None else await self._fetch()
        self._ahead = None
        if page is None:
            return None
        self.subfolders = [entry for entry in page if entry.kind is Kind.FOLDER]
        if self.subfolders:
            self._ahead = await self._fetch()
        return [entry for entry in page if entry.kind is not Kind.FOLDER]

    async def close(self) -> None:
        """Give the listing up."""
        await self.pages.aclose()

    async def _fetch(self) -> list[Entry] | None:
        if self._ended:
            return None
        page = await anext(self.pages, None)
        self._ended = page is None
        return page
