"""An SMB open: what a FileId names (MS-SMB2 3.3.1.10), and the registry that finds it."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from odxfs.wire.file_id import FileId

if TYPE_CHECKING:
    from odxfs.opens import DirectoryName, OpenEntry
    from odxfs.smb.notify.watch import Watch
    from odxfs.smb.rpc.pipe import Pipe
    from odxfs.smb.sessions import Session
    from odxfs.smb.trees import Tree, View
    from odxfs.types import InodeNumber
    from odxfs.volume import Inode, Volume

RESUME_KEY_BYTES = 24
"""MS-SMB2 2.2.32.3."""


@dataclass(slots=True, eq=False)
class SmbOpen:
    """One open of a file, a directory or a pipe; owned by its session until `closed`.

    `path` is relative to the share's root, separated by backslashes, without a leading one; "" is the root itself. The @GMT
    token of a previous version is not part of it. `attached_view` is what the path led through.
    `parent` and `name` are the directory entry it was opened by (None and b"" for the root and for pipes); a rename through
    this open updates them. `keeps_change_time`: the client has set ChangeTime itself, further changes through SET_INFO leave it
    (MS-FSA's UserSetChangeTime). `enumeration` belongs to QUERY_DIRECTORY, `watch` to CHANGE_NOTIFY, `resume_key` to IOCTL.
    """

    fid: FileId
    session: Session
    tree: Tree
    path: str
    granted_access: int
    share_access: int = 0
    create_options: int = 0
    attached_view: View | None = None
    attached_inode: Inode | None = None
    entry: OpenEntry | None = None
    parent: InodeNumber | None = None
    name: bytes = b""
    delete_on_close: bool = False
    is_directory: bool = False
    pipe: Pipe | None = None
    enumeration: object | None = None
    watch: Watch | None = None
    position: int = 0
    mode: int = 0
    keeps_change_time: bool = False
    closed: bool = False
    resume_key: bytes = field(default_factory=lambda: secrets.token_bytes(RESUME_KEY_BYTES))

    @property
    def view(self) -> View:
        """What the path led through: the volume or a snapshot; callers have refused pipes before."""
        assert self.attached_view is not None, "a pipe has no volume"
        return self.attached_view

    @property
    def volume(self) -> Volume:
        """Where the inode is; callers have refused pipes before."""
        return self.view.volume

    @property
    def is_previous_version(self) -> bool:
        """Whether it is open as a snapshot holds it, so that nothing can be changed through it."""
        return self.attached_view is not None and self.attached_view.is_previous_version

    @property
    def inode(self) -> Inode:
        """The inode; callers have refused pipes before."""
        assert self.attached_inode is not None, "a pipe has no inode"
        return self.attached_inode

    @property
    def entry_name(self) -> DirectoryName | None:
        """The directory entry it was opened by; None for a share's root and for pipes."""
        return None if self.parent is None else (self.parent, self.name)

    @property
    def is_pipe(self) -> bool:
        """True for an open on IPC$."""
        return self.pipe is not None


class OpenRegistry:
    """Every open of a server by the persistent half of its FileId, and by its resume key."""

    def __init__(self) -> None:
        self._by_id: dict[int, SmbOpen] = {}
        self._by_resume_key: dict[bytes, SmbOpen] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[SmbOpen]:
        return iter(list(self._by_id.values()))

    def new_file_id(self) -> FileId:
        """Two random halves: a FileId tells nothing about the server and is guessed by nobody."""
        while True:
            fid = FileId(secrets.randbits(63) + 1, secrets.randbits(63) + 1)
            if fid.persistent not in self._by_id:
                return fid

    def add(self, opened: SmbOpen) -> None:
        """Make `opened` findable, in the registry and in its session."""
        self._by_id[opened.fid.persistent] = opened
        self._by_resume_key[opened.resume_key] = opened
        opened.session.opens[opened.fid.volatile] = opened

    def discard(self, opened: SmbOpen) -> None:
        """Forget `opened`; harmless when it is not known."""
        self._by_id.pop(opened.fid.persistent, None)
        self._by_resume_key.pop(opened.resume_key, None)
        opened.session.opens.pop(opened.fid.volatile, None)

    def find(self, fid: FileId) -> SmbOpen | None:
        """The open of that FileId in whatever session; both halves must match."""
        opened = self._by_id.get(fid.persistent)
        return opened if opened is not None and opened.fid == fid else None

    def find_resume_key(self, key: bytes) -> SmbOpen | None:
        """The open that FSCTL_SRV_REQUEST_RESUME_KEY gave `key` for; the caller compares sessions (MS-SMB2 3.3.5.15.6)."""
        return self._by_resume_key.get(key)
