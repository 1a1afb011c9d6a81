"""What observers are told after the volume has changed: one event a change, after the state is new.

`origin` says through which view of the volume it came ("mount", "smb", ...), so that an observer can leave out what its
own side did.
"""

from dataclasses import dataclass
from enum import Flag, auto

from odxfs.types import InodeNumber, SnapshotId, VolumeId

MOUNT = "mount"
"""The origin of what comes through the kernel, which has looked at the caller's privileges already."""


class Attribute(Flag):
    """What AttributesChanged is about."""

    SIZE = auto()
    TIMES = auto()
    MODE = auto()
    OWNER = auto()
    DOS = auto()
    XATTR = auto()
    SECURITY = auto()


@dataclass(frozen=True, slots=True)
class EntryAdded:
    """A name appeared in directory `parent`: a new inode, or a further link."""

    volume: VolumeId
    origin: str
    parent: InodeNumber
    name: bytes
    number: InodeNumber
    is_directory: bool


@dataclass(frozen=True, slots=True)
class EntryRemoved:
    """A name was taken out of directory `parent`."""

    volume: VolumeId
    origin: str
    parent: InodeNumber
    name: bytes
    number: InodeNumber
    is_directory: bool


@dataclass(frozen=True, slots=True)
class EntryRenamed:
    """A name moved; an exchange tells of both, each with nothing replaced."""

    volume: VolumeId
    origin: str
    old_parent: InodeNumber
    old_name: bytes
    new_parent: InodeNumber
    new_name: bytes
    number: InodeNumber
    is_directory: bool
    replaced: InodeNumber | None
    """The inode that had the new name and lost it."""


@dataclass(frozen=True, slots=True)
class StreamAdded:
    """A file or directory, `base`, has a named stream more; `number` is the stream's own inode."""

    volume: VolumeId
    origin: str
    base: InodeNumber
    name: bytes
    number: InodeNumber


@dataclass(frozen=True, slots=True)
class StreamRemoved:
    """A named stream was taken from its base. Nothing is told of those that go with a base that is deleted."""

    volume: VolumeId
    origin: str
    base: InodeNumber
    name: bytes
    number: InodeNumber


@dataclass(frozen=True, slots=True)
class StreamRenamed:
    """A named stream has another name; one that had it is gone."""

    volume: VolumeId
    origin: str
    base: InodeNumber
    old_name: bytes
    new_name: bytes
    number: InodeNumber


@dataclass(frozen=True, slots=True)
class ContentChanged:
    """Bytes of a file changed in [offset, offset + length); with `size_changed` the end of file moved too."""

    volume: VolumeId
    origin: str
    number: InodeNumber
    offset: int
    length: int
    size_changed: bool


@dataclass(frozen=True, slots=True)
class AttributesChanged:
    """What `what` names was set on an inode."""

    volume: VolumeId
    origin: str
    number: InodeNumber
    what: Attribute


@dataclass(frozen=True, slots=True)
class SnapshotAdded:
    """A snapshot of the volume is there, durably."""

    volume: VolumeId
    origin: str
    snapshot: SnapshotId
    name: str


@dataclass(frozen=True, slots=True)
class SnapshotRemoved:
    """A snapshot has been deleted: whoever goes on reading in it is told Stale."""

    volume: VolumeId
    origin: str
    snapshot: SnapshotId
    name: str


Change = (
    EntryAdded
    | EntryRemoved
    | EntryRenamed
    | StreamAdded
    | StreamRemoved
    | StreamRenamed
    | ContentChanged
    | AttributesChanged
    | SnapshotAdded
    | SnapshotRemoved
)
