"""Live tokens as read-only files: each shows exactly the bytes that its token stands for.

Nothing here makes a token live longer than it would: a read holds the pin while it lasts, and only who proves that he has
the whole token (`open_token`) uses it by reading.
"""

import os
import stat
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, NoReturn

from odxfs.errors import CrossVolume, NoAttribute, NotADirectory, NotFound, ReadOnly
from odxfs.offload.entries import TokenEntry
from odxfs.offload.registry import TokenRegistry
from odxfs.types import BLOCK_BYTES, TOKEN_INODES, Buffer, InodeNumber, SnapshotId, VolumeId
from odxfs.volume import DirectoryEntry, Inode, Pin, Volume

if TYPE_CHECKING:
    from odxfs.volume import Pool

TOKENS_FOLDER = InodeNumber(TOKEN_INODES + 1)
"""The number of the folder that the files are in."""

_FIRST_FILE = TOKEN_INODES + 16
"""A token's file is numbered by its pin, and pins are numbered once in a pool's life."""

FILE_ATTRIBUTE_SPARSE_FILE = 0x200
_OF_THEN = SnapshotId(-1)
"""A token's file is, like what a snapshot shows, of a moment that has passed: whatever changes files refuses it."""

_MOST_RANGES = 1 << 20
_KEPT_ENDED = 64


class TokenInode(Inode):
    """A token as a file. `token` is what it was opened by, empty for who only looks."""

    __slots__ = ("entry", "token")

    def __init__(
        self, number: InodeNumber, row: tuple[int | bytes, ...], entry: TokenEntry, token: bytes
    ) -> None:
        super().__init__(number, row)
        self.snapshot = _OF_THEN
        self.entry = entry
        self.token = token


async def _refuse(*_arguments: object, **_more: object) -> NoReturn:
    raise ReadOnly("a token cannot be changed")


def _refuse_now(*_arguments: object, **_more: object) -> NoReturn:
    raise ReadOnly("a token cannot be changed")


async def _require_nothing(_volume: Volume, _entry: TokenEntry) -> None:
    pass


class TokenFiles(Volume):
    """A folder with a file for each live token of a pool, named by its label, for the server's own user alone.

    `clock` is the registry's; `require_valid` raises OffloadRefused for a token that its share's policy has ended. Reading one
    that has ended raises Stale, or OffloadRefused if it was opened by the token.
    """

    def __init__(
        self,
        pool: "Pool",
        registry: TokenRegistry,
        clock: Callable[[], float],
        origin: str = "",
        *,
        require_valid: Callable[[Volume, TokenEntry], Awaitable[None]] = _require_nothing,
    ) -> None:
        self.name = "tokens"
        self.id = VolumeId(0)
        self.root = TOKENS_FOLDER
        self.created_ns = pool.clock()
        self.pool = pool
        self.origin = origin
        self._namespace = pool.namespace
        self._tree = pool.namespace
        self._data = pool.data
        self._registry = registry
        self._clock = clock
        self._require_valid = require_valid
        self._beginning_ns = pool.clock() - int(clock() * 1e9)
        self._known: dict[InodeNumber, TokenEntry] = {}

    create = link = unlink = rmdir = rename = _refuse
    set_attributes = set_xattr = remove_xattr = _refuse
    write = truncate = deallocate = write_pin = clone_range = _refuse
    write_nowait = _refuse_now

    # Inodes

    async def open_token(self, token: bytes) -> TokenInode:
        """The file of a token, opened by the whole of it, which is a use of it. Raises OffloadRefused."""
        with self._registry.redeem(token, self._clock()) as entry:
            await self._require_valid(self, entry)
            ranges = await self._data.pinned_ranges(entry.pin, 0, _size(entry), _MOST_RANGES)
            blocks = sum(-(-length // BLOCK_BYTES) for _, length in ranges)
            return self._inode(entry, token, blocks)

    async def inode(self, number: InodeNumber) -> Inode:
        """The folder or a token's file. Raises NotFound for a token that has ended."""
        if number == TOKENS_FOLDER:
            return self.folder(TOKENS_FOLDER)
        entry = self._known.get(number)
        if entry is None:
            self._known.clear()
            self._remember(self._registry.entries())
            entry = self._known.get(number)
        if entry is None or entry.ended:
            raise NotFound(f"the token of inode {number} has ended")
        return self._inode(entry, b"", _most_blocks(entry))

    def hold(self, inode: Inode) -> None:
        """Without effect: looking at a token does not keep it."""

    async def release(self, inode: Inode) -> None:
        """Without effect."""

    def touch(self, inode: Inode, *, accessed: bool = False, modified: bool = False) -> None:
        """Without effect: reading leaves no trace."""

    def folder(self, number: InodeNumber) -> Inode:
        """A folder of these as it is at this moment, changed when the youngest token was made."""
        entries = self._registry.entries()
        changed = self._time(max((entry.created for entry in entries), default=0.0))
        return Inode(number, _row(stat.S_IFDIR | 0o500, 0, 0, changed, number))

    def _inode(self, entry: TokenEntry, token: bytes, blocks: int) -> TokenInode:
        row = _row(stat.S_IFREG | 0o400, _size(entry), blocks, self._time(entry.created), 0)
        return TokenInode(_number(entry), row, entry, token)

    def _remember(self, entries: Iterable[TokenEntry]) -> None:
        """Find these by their numbers from now on; those that have ended are forgotten before they are too many."""
        if len(self._known) > 2 * len(self._registry) + _KEPT_ENDED:
            self._known = {number: entry for number, entry in self._known.items() if not entry.ended}
        self._known |= {_number(entry): entry for entry in entries}

    def _time(self, moment: float) -> int:
        return self._beginning_ns + int(moment * 1e9)

    # Names

    async def lookup(self, parent: InodeNumber, name: bytes) -> Inode:
        """The file of the token with that label. Raises NotFound, NotADirectory."""
        if parent != TOKENS_FOLDER:
            raise NotADirectory(f"inode {parent} is a token")
        for entry in self._registry.entries():
            if entry.label.encode() == name:
                self._remember([entry])
                return self._inode(entry, b"", _most_blocks(entry))
        raise NotFound("there is no live token of that label")

    async def parent_of(self, directory: InodeNumber) -> InodeNumber:
        """The folder is the root of what is seen here."""
        return TOKENS_FOLDER

    async def names_of(self, number: InodeNumber) -> list[tuple[InodeNumber, bytes]]:
        """None: no name of a token is ever removed by hand."""
        return []

    async def list_directory(
        self, directory: InodeNumber, after: int = 0, limit: int = 1000
    ) -> list[DirectoryEntry]:
        """The live tokens, oldest first."""
        if directory != TOKENS_FOLDER:
            raise NotADirectory(f"inode {directory} is a token")
        live = sorted((entry.pin.id, entry) for entry in self._registry.entries() if entry.pin.id > after)
        self._remember(entry for _, entry in live[:limit])
        return [
            DirectoryEntry(entry.label.encode(), _number(entry), stat.S_IFREG, identifier)
            for identifier, entry in live[:limit]
        ]

    async def get_xattr(self, inode: Inode, name: bytes) -> bytes:
        """Raises NoAttribute."""
        raise NoAttribute("a token has no attributes")

    async def list_xattrs(self, inode: Inode) -> list[bytes]:
        """None."""
        return []

    # Data

    def read_nowait(
        self, inode: Inode, offset: int, length: int, page: memoryview | None = None
    ) -> Buffer | None:
        """See Volume.read_nowait."""
        length = min(offset + length, inode.size) - offset
        if length <= 0:
            return b""
        with self._held(inode) as entry:
            data = self._data.read_pin_nowait(entry.pin, offset, length)
        return None if data is None else _filled(data, length)

    async def read(self, inode: Inode, offset: int, length: int) -> Buffer:
        """See Volume.read."""
        length = min(offset + length, inode.size) - offset
        if length <= 0:
            return b""
        with self._held(inode) as entry:
            return _filled(await self._data.read_pin(entry.pin, offset, length), length)

    async def allocated_ranges(
        self, inode: Inode, offset: int, length: int, limit: int = 1024
    ) -> list[tuple[int, int]]:
        """See Volume.allocated_ranges."""
        length = min(offset + length, inode.size) - offset
        with self._held(inode) as entry:
            return await self._data.pinned_ranges(entry.pin, offset, length, limit) if length > 0 else []

    async def next_data(self, inode: Inode, offset: int) -> int | None:
        """See Volume.next_data."""
        found = await self.allocated_ranges(inode, offset, inode.size, 1)
        return found[0][0] if found else None

    async def capture(self, inode: Inode, offset: int, length: int) -> Pin:
        """Raises CrossVolume: programs then copy the bytes."""
        raise CrossVolume("what a token holds is had by writing the token")

    async def sync(self, inode: Inode | None = None) -> None:
        """Without effect."""

    def _held(self, inode: Inode) -> AbstractContextManager[TokenEntry]:
        if not isinstance(inode, TokenInode):
            raise NotFound(f"inode {inode.number} is no token")
        if inode.token:
            return self._registry.redeem(inode.token, self._clock())
        return self._registry.hold(inode.entry, self._clock())


def _size(entry: TokenEntry) -> int:
    """What the token holds of its source, to the byte; in a call it stands for whole sectors."""
    return max(0, entry.origin.data_length)


def _number(entry: TokenEntry) -> InodeNumber:
    return InodeNumber(_FIRST_FILE + entry.pin.id)


def _row(mode: int, size: int, blocks: int, moment: int, parent: int) -> tuple[int | bytes, ...]:
    """An inode's row of one moment, of the server's own user."""
    times = (moment, moment, moment, moment)
    links = 2 if stat.S_ISDIR(mode) else 1
    return (
        0, mode, os.geteuid(), os.getegid(), 0, links, size, blocks, *times, FILE_ATTRIBUTE_SPARSE_FILE, 1, parent, b"",
    )  # fmt: skip


def _most_blocks(entry: TokenEntry) -> int:
    """What the token's leaves allocate, which without a look at them is known no better."""
    return min(entry.pin.most_allocated_blocks, -(-_size(entry) // BLOCK_BYTES))


def _filled(data: Buffer, length: int) -> Buffer:
    """`data` with zeros up to `length`: a token that reaches past its pin stands for zeros there."""
    return data if len(data) == length else b"".join((data, bytes(length - len(data))))
