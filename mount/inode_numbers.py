"""Which inodes the kernel knows, under which number, and how often it was told of each (FUSE's lookup count)."""

from collections.abc import Callable
from dataclasses import dataclass

import pyfuse3

from odxfs.offload import TOKENS_FOLDER
from odxfs.types import InodeNumber
from odxfs.volume import Inode, Volume

from .snapshots import FOLDER

_SHOWING = frozenset({FOLDER, TOKENS_FOLDER})
"""Folders whose attributes follow from the snapshots or tokens that there are."""


@dataclass(slots=True)
class KnownInode:
    """An inode that the kernel may name; `lookups` is its lookup count.

    `is_resized` says that the size has changed behind the kernel's back since it knows the inode. When it has taken notice of
    that cannot be told: while it extends the file it does not listen to answers (fs/fuse/inode.c: FUSE_I_SIZE_UNSTABLE).
    """

    inode: Inode
    lookups: int
    is_resized: bool = False


class InodeNumbers:
    """FUSE calls every root 1; all other inodes keep the volume's number.

    Inode numbers are unique in a pool, so a volume whose root is not 1 never has an inode 1 of its own. Each known inode is
    held in the volume once, so that an unlinked one lives until the kernel forgets it.
    """

    def __init__(self, volume: Volume) -> None:
        self._volume = volume
        self._known: dict[InodeNumber, KnownInode] = {}
        self.known: Callable[[InodeNumber], KnownInode | None] = self._known.get
        """The inode of the volume's number if the kernel knows it; who tells the kernel of it once more counts it there. Not a
        method: each entry of a listing asks."""

    def __contains__(self, number: InodeNumber) -> bool:
        return number == self._volume.root or number in self._known

    def of_kernel(self, number: pyfuse3.InodeT) -> InodeNumber:
        """The volume's number for the kernel's."""
        return self._volume.root if number == pyfuse3.ROOT_INODE else InodeNumber(number)

    def for_kernel(self, number: InodeNumber) -> pyfuse3.InodeT:
        """The kernel's number for the volume's."""
        return pyfuse3.ROOT_INODE if number == self._volume.root else number

    async def inode(self, number: pyfuse3.InodeT) -> Inode:
        """The live inode for the kernel's number; raises NotFound."""
        mine = self.of_kernel(number)
        known = self._known.get(mine)
        if known is None or mine in _SHOWING:
            return await self._volume.inode(mine)
        return known.inode

    def told(self, inode: Inode) -> None:
        """The kernel is about to be told of `inode` once more."""
        known = self._known.get(inode.number)
        if known is None:
            self._volume.hold(inode)
            self._known[inode.number] = KnownInode(inode, 1)
        else:
            known.lookups += 1

    async def forget(self, number: pyfuse3.InodeT, lookups: int) -> None:
        """The kernel takes back `lookups` of what it was told; an unlinked inode that nobody holds goes now."""
        known = self._known.get(self.of_kernel(number))
        if known is None:
            return
        known.lookups -= lookups
        if known.lookups <= 0:
            del self._known[known.inode.number]
            await self._volume.release(known.inode)

    async def forget_all(self) -> None:
        """The mount is gone; the kernel does not say goodbye to each inode."""
        while self._known:
            _, known = self._known.popitem()
            await self._volume.release(known.inode)
