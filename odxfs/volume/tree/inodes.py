"""Inodes: the live objects, and the cache that makes sure there is one object an inode."""

import stat
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from weakref import WeakValueDictionary

from odxfs.errors import NotFound
from odxfs.types import BLOCK_BYTES, InodeNumber, SnapshotId, VolumeId
from odxfs.volume.catalog.interface import Row, Table
from odxfs.volume.catalog.overlay import CatalogView
from odxfs.volume.catalog.past import SeenView
from odxfs.volume.extents import ExtentMap

_CACHED_INODES = 32_768
"""Inodes kept in memory that nobody uses: about 400 bytes each."""

_KIND, _FILE = 0o170000, stat.S_IFREG

STREAM_MODE = stat.S_IFREG | 0o600
"""What the inode of a stream has for a mode, which nobody asks for."""

ARCHIVE = 0x20
"""FILE_ATTRIBUTE_ARCHIVE (MS-FSCC 2.6): backup programs take it from a file, and whatever changes or renames the file gives it
back (MS-FSA 2.1.4.17), for the next backup to find."""

_ROW_FIELDS = Table.INODE.value.row


class Inode:
    """One file, directory, symlink or special file. Callers read it; only odxfs.volume writes it.

    There is one object an inode while anybody refers to it. Times are nanoseconds since 1970.
    """

    __slots__ = (
        "__weakref__", "allocated_blocks", "atime_ns", "btime_ns", "ctime_ns", "dos_attributes", "extents", "generation",
        "gid", "gone", "has_streams", "has_xattrs", "holds", "may_be_capable", "mode", "mtime_ns", "nlink", "number",
        "parent", "rdev", "reserved_bytes", "security", "size", "snapshot",
        "target", "uid", "volume", "writers",
    )  # fmt: skip

    def __init__(self, number: InodeNumber, row: Row) -> None:
        self.number = number
        self.volume: VolumeId
        self.mode: int
        """Permissions and S_IFMT."""
        self.uid: int
        self.gid: int
        self.rdev: int
        self.nlink: int
        self.size: int
        """Bytes: of a file its end, of a symlink its target's length, of a directory the sum of its names (0 is empty)."""
        self.allocated_blocks: int
        self.atime_ns: int
        self.mtime_ns: int
        self.ctime_ns: int
        self.btime_ns: int
        self.dos_attributes: int
        """FILE_ATTRIBUTE_* bits that cannot be told from the rest (MS-FSCC 2.6); not DIRECTORY, not NORMAL."""
        self.generation: int
        self.parent: InodeNumber
        """The directory above a directory (the root's is itself), the base of a named stream, 0 for anything else."""
        self.target: bytes
        # In the order of Table.INODE, as `row` gives them back.
        (
            self.volume, self.mode, self.uid, self.gid, self.rdev, self.nlink, self.size, self.allocated_blocks,
            self.atime_ns, self.mtime_ns, self.ctime_ns, self.btime_ns, self.dos_attributes, self.generation,
            self.parent, self.target,
        ) = row  # type: ignore[assignment]  # fmt: skip
        if self._has_far_times:
            self.atime_ns, self.mtime_ns = unpack_time(self.atime_ns), unpack_time(self.mtime_ns)
            self.ctime_ns, self.btime_ns = unpack_time(self.ctime_ns), unpack_time(self.btime_ns)
        self.holds = 0
        self.has_xattrs = True
        """False when it is known to have no extended attribute: the mount is asked for one before each write."""
        self.may_be_capable = True
        """False when it is known to have no file capabilities (`Xattrs.drop_capability`)."""
        self.security: bytes | None = None
        """The stored security descriptor, b"" when there is none, None while nobody has asked (Volume.security)."""
        self.has_streams = True
        """False when it is known to have no named stream."""
        self.gone = False
        """Deleted for good: nothing may be changed any more."""
        self.snapshot = SnapshotId(0)
        """The snapshot that the inode is seen in, under a number of its own; 0 is now."""
        self.reserved_bytes = 0
        """What a client has set aside for the file beyond its end; forgotten with its last open."""
        self.writers = 0
        """Writes that wait for something (room, old bytes, a worker thread): what they bring is not there yet, but will be."""
        self.extents: ExtentMap | None = None
        """The data path's; None until it is needed."""

    def __repr__(self) -> str:
        return f"<Inode {self.number} mode={self.mode:o} size={self.size} nlink={self.nlink}>"

    @property
    def _has_far_times(self) -> bool:
        far = _FINE_TIME
        return not (
            -far <= self.atime_ns <= far
            and -far <= self.mtime_ns <= far
            and -far <= self.ctime_ns <= far
            and -far <= self.btime_ns <= far
        )

    def _packed_times(self) -> tuple[int, int, int, int]:
        times = (self.atime_ns, self.mtime_ns, self.ctime_ns, self.btime_ns)
        return tuple(map(pack_time, times)) if self._has_far_times else times  # type: ignore[return-value]

    @property
    def kind(self) -> int:
        """The S_IFMT bits."""
        return stat.S_IFMT(self.mode)

    @property
    def is_file(self) -> bool:
        return self.mode & _KIND == _FILE  # asked for every read and write: half the time of S_ISREG

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.mode)

    @property
    def is_stream(self) -> bool:
        """Whether it is a named stream of the file or directory whose number is `parent`."""
        return self.parent != 0 and stat.S_ISREG(self.mode)

    @property
    def is_root(self) -> bool:
        """Whether it is a volume's root directory, which is the one above itself."""
        return self.parent == self.number

    @property
    def is_symlink(self) -> bool:
        return stat.S_ISLNK(self.mode)

    @property
    def allocated_bytes(self) -> int:
        return self.allocated_blocks * BLOCK_BYTES

    def row(self) -> Row:
        """The columns of Table.INODE."""
        return (
            self.volume, self.mode, self.uid, self.gid, self.rdev, self.nlink, self.size, self.allocated_blocks,
            *self._packed_times(), self.dos_attributes, self.generation,
            self.parent, self.target,
        )  # fmt: skip


_FINE_TIME = 9_000_000_000_000_000_000
"""Times nearer to 1970 than this, 285 years, are kept as nanoseconds; what lies beyond in steps of _COARSE_NS behind it."""

_COARSE_NS = 10_000

LATEST_TIME_NS = _FINE_TIME + (2**63 - 1 - _FINE_TIME) * _COARSE_NS
"""The latest time that a row can hold, about the year 72000; the earliest is as far before 1970."""


def pack_time(nanoseconds: int) -> int:
    """A time as 64 bits hold it."""
    if -_FINE_TIME <= nanoseconds <= _FINE_TIME:
        return nanoseconds
    steps = _FINE_TIME + (abs(nanoseconds) - _FINE_TIME) // _COARSE_NS
    return steps if nanoseconds > 0 else -steps


def unpack_time(packed: int) -> int:
    """Nanoseconds since 1970 of what `pack_time` made; of a damaged row's whatever comes out."""
    if -_FINE_TIME <= packed <= _FINE_TIME:
        return packed
    nanoseconds = _FINE_TIME + (abs(packed) - _FINE_TIME) * _COARSE_NS
    return nanoseconds if packed > 0 else -nanoseconds


Permit = Callable[[Inode], None]
"""Raises what stands against removing the name of an inode."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttributeChange:
    """What `Volume.set_attributes` shall set; None keeps. The change time follows unless it is given."""

    mode: int | None = None
    """Permission bits; the kind of an inode never changes."""
    uid: int | None = None
    gid: int | None = None
    atime_ns: int | None = None
    mtime_ns: int | None = None
    ctime_ns: int | None = None
    btime_ns: int | None = None
    dos_attributes: int | None = None
    security: bytes | None = None
    """A security descriptor to keep, b"" for none. Without it a change of mode, uid or gid drops the one that is kept."""


def new_inode_row(
    volume: VolumeId,
    mode: int,
    uid: int,
    gid: int,
    now: int,
    *,
    rdev: int = 0,
    parent: int = 0,
    target: bytes = b"",
    dos_attributes: int = 0,
) -> Row:
    """The row of an inode that is made at `now`: no data, one name (a directory: that and its own `.`)."""
    nlink = 2 if stat.S_ISDIR(mode) else 1
    times = (now, now, now, now)
    return (volume, mode, uid, gid, rdev, nlink, len(target), 0, *times, dos_attributes, 1, parent, target)


class InodeCache:
    """Number -> the one live Inode. Recent, held and changed inodes are kept; others live as long as somebody uses them."""

    def __init__(self, view: CatalogView | SeenView) -> None:
        self._view = view
        self._recent: OrderedDict[InodeNumber, Inode] = OrderedDict()  # a dict is slow to tell its oldest key
        self._live: WeakValueDictionary[InodeNumber, Inode] = WeakValueDictionary()
        self._dirty: dict[InodeNumber, Inode] = {}
        self._held: dict[InodeNumber, Inode] = {}

    async def get(self, number: InodeNumber) -> Inode:
        """The live object. Raises NotFound for a number that is not in use (any more)."""
        inode = self._recent.get(number)
        if inode is not None:
            return inode
        inode = self._live.get(number)
        if inode is None:
            row = await self._view.get(Table.INODE, (number,))
            inode = self._live.get(number)  # another task may have been quicker
            if inode is None:
                return self._load(number, row)
        self._keep(inode)
        return inode

    def recent(self, number: InodeNumber) -> Inode | None:
        """The live object if it was used of late: what `get` would give. The paths of names ask it first, for half the time."""
        return self._recent.get(number)

    async def get_nameless(self, number: InodeNumber) -> Inode:
        """The same for one that may have lost its last name, of an open that stands. The caller holds it at once."""
        inode = self.cached(number)
        if inode is not None:
            return inode
        row = await self._view.get(Table.INODE, (number,))
        return self._load(number, row, nameless=True)

    def cached(self, number: InodeNumber) -> Inode | None:
        """The live object if there is one."""
        return self._recent.get(number) or self._live.get(number)

    def add(self, number: InodeNumber, row: Row) -> Inode:
        """A new inode, to be written with the next commit."""
        inode = Inode(number, row)
        inode.has_xattrs = inode.may_be_capable = inode.has_streams = False
        inode.security = b""
        self._live[number] = inode
        self._dirty[number] = inode
        self._keep(inode)
        return inode

    def mark_dirty(self, inode: Inode) -> None:
        """Have the inode's row written with the next commit. Without effect on a deleted one."""
        if not inode.gone:
            self._dirty[inode.number] = inode

    def hold(self, inode: Inode) -> None:
        """Count one user more."""
        inode.holds += 1
        self._held[inode.number] = inode

    def release(self, inode: Inode) -> bool:
        """Count one user less; returns whether it was the last."""
        assert inode.holds > 0, f"{inode!r} is released more often than held"
        inode.holds -= 1
        if inode.holds == 0:
            del self._held[inode.number]
        return inode.holds == 0

    def retire(self, inode: Inode) -> None:
        """The inode has no name and no user: nobody finds it any more. Its rows go when its data is given back."""
        inode.gone = True
        for kept in (self._recent, self._dirty, self._live):
            kept.pop(inode.number, None)

    @property
    def has_changes(self) -> bool:
        """Whether rows of inodes wait for a commit."""
        return bool(self._dirty)

    def has_changed(self, volume: VolumeId) -> bool:
        """Whether rows of this volume's inodes wait for a commit."""
        return any(inode.volume == volume for inode in self._dirty.values())

    def freeze(self, view: CatalogView) -> None:
        """Put the row of each changed inode into the view."""
        for number, inode in self._dirty.items():
            view.put(Table.INODE, (number,), inode.row())
        self._dirty.clear()

    def are_held(self, volume: VolumeId) -> bool:
        """Whether anybody counts as a user of an inode of this volume."""
        return any(inode.volume == volume for inode in self._held.values())

    def close(self, volume: VolumeId) -> None:
        """Nobody may use any of the inodes of a volume any more; who asks again gets new ones."""
        for inode in self.live():
            if inode.volume == volume:
                inode.gone = True
                for kept in (self._recent, self._dirty, self._live):
                    kept.pop(inode.number, None)

    def live(self) -> Iterable[Inode]:
        """Every inode object in memory."""
        return list(self._live.values())

    def _load(self, number: InodeNumber, row: Row | None, *, nameless: bool = False) -> Inode:
        # An inode without a name is only reachable by those who held it, and then it is live.
        if row is None or (row[_NLINK] == 0 and not nameless):
            raise NotFound(f"inode {number} is not in use")
        inode = Inode(number, row)
        if isinstance(self._view, SeenView):
            inode.snapshot = self._view.past.snapshot
            inode.extents = ExtentMap(number, self._view)
        self._live[number] = inode
        self._keep(inode)
        return inode

    def _keep(self, inode: Inode) -> None:
        recent = self._recent
        recent[inode.number] = inode
        if len(recent) > _CACHED_INODES:
            recent.popitem(last=False)


_NLINK = _ROW_FIELDS.index("nlink")
