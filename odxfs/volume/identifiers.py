"""The pool-wide counters behind inode numbers, leaf ids, pin ids, directory cookies and snapshots: none is ever used twice.

They live in memory and go into the POOL row with each commit. A crash loses what was handed out since, together with
everything that was named by it.
"""

from odxfs.types import InodeNumber, LeafId, SnapshotId, VolumeId
from odxfs.volume.catalog.interface import inode_in


class Identifiers:
    """Hands out identifiers; `next_*` is the next one, which the POOL row keeps."""

    __slots__ = ("next_cookie", "next_inode", "next_leaf", "next_pin", "next_snapshot", "next_volume")

    def __init__(
        self,
        next_inode: int = 1,
        next_leaf: int = 1,
        next_pin: int = 1,
        next_cookie: int = 1,
        next_snapshot: int = 1,
        next_volume: int = 2,
    ) -> None:
        self.next_inode = next_inode
        self.next_leaf = next_leaf
        self.next_pin = next_pin
        self.next_cookie = next_cookie
        self.next_snapshot = next_snapshot
        self.next_volume = next_volume

    def inode(self, volume: VolumeId) -> InodeNumber:
        number = self.next_inode
        self.next_inode = number + 1
        return inode_in(volume, number)

    def leaf(self) -> LeafId:
        identifier = self.next_leaf
        self.next_leaf = identifier + 1
        return LeafId(identifier)

    def pin(self) -> int:
        identifier = self.next_pin
        self.next_pin = identifier + 1
        return identifier

    def cookie(self) -> int:
        """A directory cookie: larger than every one before, so a listing that goes on after it misses nothing old."""
        cookie = self.next_cookie
        self.next_cookie = cookie + 1
        return cookie

    def snapshot(self) -> SnapshotId:
        """A snapshot's number: larger than every one before, so that numbers tell which was first."""
        identifier = self.next_snapshot
        self.next_snapshot = identifier + 1
        return SnapshotId(identifier)

    def volume(self) -> VolumeId:
        """A volume's number, which its inodes carry in theirs."""
        identifier = self.next_volume
        self.next_volume = identifier + 1
        return VolumeId(identifier)
