"""Setting the attributes of inodes: mode, owner, times and DOS attributes."""

import stat
from typing import TYPE_CHECKING

from odxfs.errors import InvalidArgument
from odxfs.volume.changes import Attribute, AttributesChanged
from odxfs.volume.tree.inodes import AttributeChange, Inode, InodeCache

if TYPE_CHECKING:
    from odxfs.volume.pool import Pool

_RELATIVE_ATIME_NS = 24 * 3600 * 10**9
"""As Linux's relatime: a read moves the access time only past a newer change, or once a day."""

_WHAT = {
    "mode": Attribute.MODE, "uid": Attribute.OWNER, "gid": Attribute.OWNER, "atime_ns": Attribute.TIMES,
    "mtime_ns": Attribute.TIMES, "ctime_ns": Attribute.TIMES, "btime_ns": Attribute.TIMES,
    "dos_attributes": Attribute.DOS,
}  # fmt: skip

_UINT32 = range(2**32)
_INT64 = range(-(2**63), 2**63)
_RANGES = {
    "mode": _UINT32, "uid": _UINT32, "gid": _UINT32, "dos_attributes": _UINT32,
    "atime_ns": _INT64, "mtime_ns": _INT64, "ctime_ns": _INT64, "btime_ns": _INT64,
}  # fmt: skip


class Attributes:
    """Synchronous: the inode is at hand, and its row goes with the next commit."""

    def __init__(self, pool: "Pool", inodes: InodeCache) -> None:
        self._pool = pool
        self._inodes = inodes

    def set(self, origin: str, inode: Inode, change: AttributeChange) -> None:
        """See Volume.set_attributes."""
        self._pool.check_writable()
        wanted = {field: value for field in _WHAT if (value := getattr(change, field)) is not None}
        for field, value in wanted.items():
            if value not in _RANGES[field]:
                raise InvalidArgument(f"{field} {value} is out of range")
        if not wanted:
            return
        if "mode" in wanted:
            wanted["mode"] = inode.kind | stat.S_IMODE(wanted["mode"])
        what = Attribute(0)
        for field, value in wanted.items():
            setattr(inode, field, value)
            what |= _WHAT[field]
        if "ctime_ns" not in wanted:
            inode.ctime_ns = self._pool.clock()
        self._inodes.mark_dirty(inode)
        if self._pool.has_observers:
            self._pool.emit(AttributesChanged(inode.volume, origin, inode.number, what))

    def touch(self, inode: Inode, *, accessed: bool, modified: bool) -> None:
        """See Volume.touch. No event: times follow what was done, and that has its own event."""
        now = self._pool.clock()
        if modified:
            inode.mtime_ns = inode.ctime_ns = now
        if accessed:
            last = inode.atime_ns
            if (
                not modified
                and last > inode.mtime_ns
                and last > inode.ctime_ns
                and now - last < _RELATIVE_ATIME_NS
            ):
                return
            inode.atime_ns = now
        if accessed or modified:
            self._inodes.mark_dirty(inode)
