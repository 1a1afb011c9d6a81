"""What the operations share: the volume, the open table, and how an inode is described to the kernel."""

import errno
from copy import copy

import pyfuse3
import trio

from odxfs.buffers import page_aligned
from odxfs.offload import OffloadEngine
from odxfs.opens import OpenTable
from odxfs.types import BLOCK_BYTES, SECTOR_BYTES, TOKEN_INODES
from odxfs.volume import INLINE_BYTES, Inode, Volume

from .ahead import ReadAhead
from .caching import folders_changed
from .handles import Handles
from .inode_numbers import InodeNumbers
from .invalidation import Invalidation
from .token_folder import MountedVolume
from .tokens import TokenAttributes

CACHE_SECONDS = 60.0
"""How long the kernel may believe names and attributes unasked.

It is told of every change that it did not make itself, so this only bounds what a lost notice could cost.
"""

_SECTORS_PER_BLOCK = BLOCK_BYTES // SECTOR_BYTES


def _blank_entry() -> pyfuse3.EntryAttributes:
    """What is the same in every answer."""
    entry = pyfuse3.EntryAttributes()
    entry.generation = 0  # numbers are never used twice, so one generation is enough
    entry.entry_timeout = entry.attr_timeout = CACHE_SECONDS
    entry.st_blksize = BLOCK_BYTES
    return entry


_TIME_LIMIT = 2**63 - 1
"""Nanoseconds since 1970 that fit into what the kernel is told of."""


class FrontEnd(pyfuse3.Operations):
    """The base of the groups of operations. Lives as long as one mount, on the trio thread."""

    supports_dot_lookup = True
    enable_writeback_cache = False  # dirty pages in the kernel would be invisible to the share and to tokens
    enable_acl = False

    def __init__(self, volume: Volume, opens: OpenTable, engine: OffloadEngine) -> None:
        super().__init__()
        self.volume: Volume = MountedVolume(volume, engine)
        self.opens = opens
        self.engine = engine
        self.numbers = InodeNumbers(self.volume)
        self.tokens = TokenAttributes(self.volume, opens, engine)
        self.handles = Handles()
        self.invalidation = Invalidation(self.volume, self.numbers)
        self.initialised = trio.Event()
        self._entry, self._root = _blank_entry(), volume.root
        self.page = page_aligned(INLINE_BYTES)
        """Where the data of one answer is put together: pyfuse3 has sent it before another operation can run."""
        self.ahead = ReadAhead(self.volume.read_nowait)

    def init(self) -> None:
        """The kernel has said hello (FUSE_INIT): from now on it caches, and can be told what to forget."""
        self.volume.pool.add_observer(self.invalidation.changed)
        self.volume.pool.add_observer(self.ahead.changed)
        self.volume.pool.add_follower(self.invalidation.caught_up)
        self.initialised.set()

    def leave(self) -> None:
        """The kernel takes no notices any more."""
        if self.initialised.is_set():
            self.volume.pool.remove_observer(self.invalidation.changed)
            self.volume.pool.remove_observer(self.ahead.changed)
            self.volume.pool.remove_follower(self.invalidation.caught_up)

    def describe(self, inode: Inode) -> pyfuse3.EntryAttributes:
        """The attributes of `inode` for the kernel; no await may stand before the answer.

        One object serves every answer: pyfuse3 has copied it before another operation can run. That saves a quarter of the time.
        """
        entry, number = self._entry, inode.number
        # As InodeNumbers.for_kernel, without a call, which each entry of a listing would feel.
        entry.st_ino = pyfuse3.ROOT_INODE if number == self._root else number
        entry.st_mode = inode.mode
        entry.st_nlink = inode.nlink
        entry.st_uid = inode.uid
        entry.st_gid = inode.gid
        entry.st_rdev = inode.rdev
        entry.st_size = inode.size
        entry.st_blocks = inode.allocated_blocks * _SECTORS_PER_BLOCK
        try:
            entry.st_atime_ns = inode.atime_ns
            entry.st_mtime_ns = inode.mtime_ns
            entry.st_ctime_ns = inode.ctime_ns
        except OverflowError:
            _describe_far_times(entry, inode)
        if number >= TOKEN_INODES:  # tokens end unannounced
            return fleeting(entry)
        return entry

    def enter(self, inode: Inode, names_gone: int) -> pyfuse3.EntryAttributes:
        """Describe `inode` in the answer to a lookup or creation, which adds to its lookup count.

        `names_gone` is what it was before the name was looked at: when one has gone since, the kernel must ask again.
        """
        self.numbers.told(inode)
        if names_gone != self.invalidation.names_gone:
            return fleeting(self.describe(inode))
        self.invalidation.found_by_name(inode.number)
        return self.describe(inode)

    async def at_path(self, number: pyfuse3.InodeT, ctx: pyfuse3.RequestContext) -> Inode:
        """The inode of an operation that the kernel reached by a path; ESTALE makes it walk the path afresh."""
        if self.invalidation.must_walk_again(self.numbers.of_kernel(number), ctx.pid):
            raise pyfuse3.FUSEError(errno.ESTALE)
        return await self.numbers.inode(number)

    async def at_end_of_path(self, number: pyfuse3.InodeT, ctx: pyfuse3.RequestContext) -> Inode:
        """The same for what the path was walked for: the caller's next operation begins a new walk."""
        inode = await self.at_path(number, ctx)
        self.invalidation.second_walks.ended(ctx.pid)
        return inode

    async def at_path_or_open(self, number: pyfuse3.InodeT, ctx: pyfuse3.RequestContext) -> Inode:
        """As `at_path` where the kernel does not say whether it was a path or an open file, which must not see ESTALE."""
        if not self.invalidation.doubts_names or self.handles.is_open(self.numbers.of_kernel(number)):
            return await self.numbers.inode(number)
        return await self.at_path(number, ctx)

    async def entry_changed(self, inode: Inode) -> None:
        """What listings show of an inode has changed: no client goes by those that it remembers of its folders."""
        if self.opens.cached:
            folders_changed(self.opens, *(parent for parent, _ in await self.volume.names_of(inode.number)))

    def require_sharing(self, file: Inode, access: int, share: int) -> None:
        """EBUSY where an SMB open does not share `access`, or will delete the file (MS-FSA 2.1.5.1.2.2)."""
        if self.is_doomed(file) or not self.opens.check(file.number, access, share):
            raise pyfuse3.FUSEError(errno.EBUSY)

    def is_doomed(self, file: Inode) -> bool:
        """Whether clients have deleted every name of a file; the kernel does not say by which it was reached."""
        doomed = self.opens.count_doomed(file.number)
        return doomed > 0 and doomed >= file.nlink


def fleeting(entry: pyfuse3.EntryAttributes) -> pyfuse3.EntryAttributes:
    """The same, which the kernel believes for this once."""
    entry = copy(entry)
    entry.entry_timeout = entry.attr_timeout = 0
    return entry


def _describe_far_times(entry: pyfuse3.EntryAttributes, inode: Inode) -> None:
    """Times that the share could set and the kernel cannot be told of are shown as the nearest that it can."""
    nearest = [
        max(-_TIME_LIMIT, min(time, _TIME_LIMIT)) for time in (inode.atime_ns, inode.mtime_ns, inode.ctime_ns)
    ]
    entry.st_atime_ns, entry.st_mtime_ns, entry.st_ctime_ns = nearest
