"""Setting the attributes of inodes: mode, owner, times and DOS attributes."""

import stat
from typing import TYPE_CHECKING

from odxfs.errors import InvalidArgument
from odxfs.volume.changes import MOUNT, Attribute, AttributesChanged
from odxfs.volume.tree.inodes import LATEST_TIME_NS, AttributeChange, Inode, InodeCache
from odxfs.volume.tree.xattrs import Xattrs

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
_TIMES = range(-LATEST_TIME_NS, LATEST_TIME_NS + 1)
_RANGES = {
    "mode": _UINT32, "uid": _UINT32, "gid": _UINT32, "dos_attributes": _UINT32,
    "atime_ns": _TIMES, "mtime_ns": _TIMES, "ctime_ns": _TIMES, "btime_ns": _TIMES,
}  # fmt: skip


class Attributes:
    """Synchronous: the inode is at hand, and its row goes with the next commit."""

    def __init__(self, pool: "Pool", inodes: InodeCache, xattrs: Xattrs) -> None:
        self._pool = pool
        self._inodes = inodes
        self._xattrs = xattrs

    def set(self, origin: str, inode: Inode, change: AttributeChange) -> None:
        """See Volume.set_attributes."""
        self._pool.check_writable()
        wanted = {field: value for field in _WHAT if (value := getattr(change, field)) is not None}
        for field, value in wanted.items():
            if value not in _RANGES[field]:
                raise InvalidArgument(f"{field} {value} is out of range")
        if not wanted and change.security is None:
            return
        if "mode" in wanted:
            wanted["mode"] = inode.kind | stat.S_IMODE(wanted["mode"])
        what = self._set_security(inode, change)
        if origin != MOUNT and (change.uid is not None or change.gid is not None):
            self._xattrs.drop_capability(inode)
        for field, value in wanted.items():
            setattr(inode, field, value)
            what |= _WHAT[field]
        if "ctime_ns" not in wanted:
            inode.ctime_ns = self._pool.clock()
        self._inodes.mark_dirty(inode)
        if self._pool.has_observers:
            self._pool.emit(AttributesChanged(inode.volume, origin, inode.number, what))

    def _set_security(self, inode: Inode, change: AttributeChange) -> Attribute:
        """Keep the descriptor that is given. Who changes mode or owner by themselves has the last word over the kept one:
        nothing stays allowed that a chmod takes away."""
        if change.security is not None:
            self._xattrs.put_security(inode, change.security)
            return Attribute.SECURITY
        if change.mode is not None or change.uid is not None or change.gid is not None:
            self._xattrs.put_security(inode, b"")
        return Attribute(0)

    def keep_mtime(self, inode: Inode, kept: int) -> None:
        """See Volume.keep_mtime."""
        inode.mtime_ns = kept - kept % 100 + (kept + 1) % 100
        self._inodes.mark_dirty(inode)

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
