"""One scan of a directory, as QUERY_DIRECTORY goes through it in as many steps as the client likes.

It holds one page of entries and a cookie, never the directory: cookies are stable, so what is created and deleted between
two steps changes only itself. `.` and `..` come first; the share's root is its own parent.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import trio

from odxfs.errors import NotFound
from odxfs.smb.directory.names import shown_name
from odxfs.smb.directory.pattern import Pattern, compile_pattern, has_wildcards
from odxfs.smb.paths import stored_name
from odxfs.smb.request import SmbError
from odxfs.types import InodeNumber
from odxfs.volume import DirectoryEntry, Inode, Volume

PAGE_ENTRIES = 256
"""Entries fetched at a time: more than fit into a 64 KiB answer of any class, little enough to hold for an idle open."""

NAMES_BETWEEN_CHECKPOINTS = 32
"""Names judged in one step: the worst pattern needs a quarter of a millisecond for the longest name."""

SELF, PARENT = ".", ".."


@dataclass(frozen=True, slots=True)
class Listed:
    """One name of a listing and the inode it leads to."""

    name: str
    inode: Inode


class Enumeration:
    """Owned by the open of the directory. `lock` serialises the requests of one open, which may arrive side by side."""

    __slots__ = (
        "_after",
        "_directory",
        "_exhausted",
        "_page",
        "_pattern",
        "_pushed_back",
        "_root",
        "_shows",
        "_special",
        "_volume",
        "answered",
        "lock",
    )

    def __init__(
        self,
        volume: Volume,
        directory: InodeNumber,
        root: InodeNumber,
        pattern: str,
        shows: Callable[[Inode], bool] | None = None,
    ) -> None:
        """`shows`, if given, says of each inode, whose security is at hand, whether the user is to see it."""
        self._volume = volume
        self._shows = shows
        self._directory = directory
        self._root = root
        self.lock = trio.Lock()
        self.restart(pattern)

    def restart(self, pattern: str = "") -> None:
        """Begin again, with `pattern` if it is given (RESTART_SCANS, REOPEN)."""
        if pattern:
            self._pattern: Pattern = compile_pattern(pattern)
        self._special: deque[str] = deque((SELF, PARENT))
        self._page: deque[DirectoryEntry] = deque()
        self._pushed_back: Listed | None = None
        self._after = 0
        self._exhausted = False
        self.answered = False
        """Whether a request of this scan was answered: NO_SUCH_FILE before, NO_MORE_FILES after."""

    def push_back(self, listed: Listed) -> None:
        """Give back what did not fit into the answer; `next` returns it again."""
        self._pushed_back = listed

    async def next(self) -> Listed | None:
        """The next name that matches; None at the end. Where this raises the scan stands where it stood."""
        if self._pushed_back is not None:
            listed, self._pushed_back = self._pushed_back, None
            return listed
        while self._special:
            name = self._special[0]
            special = Listed(name, await self._special_inode(name)) if self._pattern.matches(name) else None
            self._special.popleft()
            if special is not None:
                return special
        if not has_wildcards(self._pattern.text):
            return await self._only()
        return await self._next_stored()

    async def _special_inode(self, name: str) -> Inode:
        number = self._directory
        if name == PARENT and number != self._root:
            number = await self._volume.parent_of(number)
        return await self._volume.inode(number)

    async def _only(self) -> Listed | None:
        """A pattern without wildcards is a lookup, not a scan."""
        if self._exhausted:
            return None
        listed = await self._find_only()
        self._exhausted = True
        return listed

    async def _find_only(self) -> Listed | None:
        try:
            text = stored_name(self._pattern.spelled).decode("utf-8")
            name, inode = await self._volume.lookup_ignoring_case(self._directory, text)
        except (NotFound, SmbError, UnicodeDecodeError):
            return None
        shown = shown_name(name)
        return Listed(shown, inode) if shown is not None and await self._is_shown(inode) else None

    async def _is_shown(self, inode: Inode) -> bool:
        if self._shows is None:
            return True
        await self._volume.security(inode)
        return self._shows(inode)

    async def _next_stored(self) -> Listed | None:
        while True:
            while self._page:
                if not len(self._page) % NAMES_BETWEEN_CHECKPOINTS:
                    await trio.lowlevel.checkpoint()
                listed = await self._listed(self._page[0])
                self._page.popleft()
                if listed is not None:
                    return listed
            if self._exhausted:
                return None
            await self._fill()

    async def _listed(self, entry: DirectoryEntry) -> Listed | None:
        """The entry as it is listed; None where it is not."""
        shown = shown_name(entry.name)
        if shown is None or not self._pattern.matches(shown):
            return None
        try:
            inode = await self._volume.inode(entry.number)
        except NotFound:
            return None
        return Listed(shown, inode) if await self._is_shown(inode) else None

    async def _fill(self) -> None:
        await trio.lowlevel.checkpoint()
        entries = await self._volume.list_directory(self._directory, self._after, PAGE_ENTRIES)
        self._exhausted = len(entries) < PAGE_ENTRIES
        if entries:
            self._after = entries[-1].cookie
        self._page.extend(entries)
