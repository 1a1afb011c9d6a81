"""An SMB open: what a FileId names (MS-SMB2 3.3.1.10), and the registry that finds it."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import trio

from odxfs.ntstatus import Status
from odxfs.smb.durable.channel_sequence import UNCHECKED
from odxfs.smb.limits import MAX_OPENS_PER_SESSION
from odxfs.smb.request import SmbError
from odxfs.volume import decode_name
from odxfs.wire.create import CreateOptions
from odxfs.wire.file_id import FileId

if TYPE_CHECKING:
    from odxfs.opens import DirectoryName, Grant, OpenEntry
    from odxfs.smb.durable.durability import Durability
    from odxfs.smb.notify.watch import Watch
    from odxfs.smb.rpc.pipe import Pipe
    from odxfs.smb.sessions import Session
    from odxfs.smb.trees import Tree, View
    from odxfs.types import InodeNumber
    from odxfs.volume import Inode, Volume

_LARGEST_ID = 2**63 - 2
"""The catalog keeps a persistent half as a signed number, and bounds its keys by the largest of these."""

VALID_MODES = 0x0000_103E
"""WRITE_THROUGH, SEQUENTIAL_ONLY, NO_INTERMEDIATE_BUFFERING, SYNCHRONOUS_IO_(NON)ALERT, DELETE_ON_CLOSE (MS-FSCC 2.4.31)."""

RESUME_KEY_BYTES = 24
"""MS-SMB2 2.2.32.3."""


@dataclass(slots=True, eq=False)
class SmbOpen:
    """One open of a file, a directory or a pipe; owned by its session until `closed`.

    `path` is relative to the share's root, separated by backslashes, without a leading one; "" is the root itself. The @GMT
    token of a previous version is not part of it. `attached_view` is what the path led through.
    `attached_inode` is what is read and written. Of an open of a named stream it is the stream's, `base` the file it is of, whose
    attributes, times and rights are the stream's; `stream_name` is its stored name, `base_entry` its other place in the table;
    `made_base` says that the file was made for it.
    `parent` and `name` are the directory entry it was opened by (None and b"" for the root and for pipes); a rename through
    this open updates them. `moved_path` is what has become of `path` by `seen_renames` of the open table, None where nothing
    has; `information/present_path.py` keeps both. `keeps_change_time`: the client has set ChangeTime itself, further changes
    through SET_INFO leave it (MS-FSA's UserSetChangeTime).
    `keeps_write_time`: the same of LastWriteTime, which writing through this open leaves alone.
    `enumeration` belongs to QUERY_DIRECTORY, `next_ea` to a scan of EAs,
    `watch` to CHANGE_NOTIFY, `resume_key` to IOCTL.
    `durability` is what lets it outlive its connection, `channel_sequence` what the last request had, `checked_sequence` the
    value of that field of the header with which nothing more has to be looked at (durable/channel_sequence.py), and
    `lock_sequences` are the numbers of the last LOCK of each index. `changes` counts what changes its bytes just now.
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
    base: Inode | None = None
    base_entry: OpenEntry | None = None
    made_base: bool = False
    stream_name: bytes = b""
    parent: InodeNumber | None = None
    name: bytes = b""
    moved_path: str | None = None
    seen_renames: int = -1
    delete_on_close: bool = False
    is_directory: bool = False
    pipe: Pipe | None = None
    enumeration: object | None = None
    watch: Watch | None = None
    next_ea: int = 0
    position: int = 0
    mode: int = 0
    keeps_change_time: bool = False
    keeps_write_time: bool = False
    closed: bool = False
    opened_mtime_ns: int = 0
    checked_sequence: int = UNCHECKED
    channel_sequence: int = 0
    lock_sequences: dict[int, int] | None = None
    durability: Durability | None = None
    changes: int = 0
    changes_over: trio.Event | None = None
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
    def has_changed(self) -> bool:
        """Whether its file was written since it was opened, so that a listing of the folder shows something else."""
        inode = self.attached_inode
        return inode is not None and inode.is_file and inode.mtime_ns != self.opened_mtime_ns

    @property
    def grant(self) -> Grant | None:
        """What its client may cache; None for an open that has never had an oplock or a lease."""
        return self.entry.grant if self.entry is not None else None

    @property
    def file_inode(self) -> Inode:
        """The inode whose attributes, times, rights and names are meant: a named stream has its file's (MS-FSA Open.File)."""
        return self.inode if self.base is None else self.base

    @property
    def is_stream(self) -> bool:
        """Whether it is an open of a named stream."""
        return self.base is not None

    @property
    def full_path(self) -> str:
        """`path`, and behind a colon the name of a named stream."""
        return self.with_stream(self.path)

    def with_stream(self, path: str) -> str:
        """The same of another path of the file."""
        return f"{path}:{decode_name(self.stream_name)}" if self.base is not None else path

    @property
    def entry_name(self) -> DirectoryName | None:
        """The directory entry it was opened by; None for a share's root and for pipes."""
        return None if self.parent is None else (self.parent, self.name)

    @property
    def doomed_name(self) -> DirectoryName | None:
        """What goes when this open is deleted: its directory entry, None for a stream, which has none."""
        return None if self.is_stream else self.entry_name

    @property
    def is_pipe(self) -> bool:
        """True for an open on IPC$."""
        return self.pipe is not None

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Around a change of bytes through this open, which its end waits for."""
        self.changes += 1
        try:
            yield
        finally:
            self.changes -= 1
            if not self.changes and self.changes_over is not None:
                self.changes_over.set()

    async def end_of_changes(self) -> None:
        """Return when nothing is changed through this open any more. What takes long looks at `closed` between its steps."""
        if self.changes:
            self.changes_over = trio.Event()
            await self.changes_over.wait()

    @property
    def writes_through(self) -> bool:
        """Whether what is written through it must be durable before that is answered (MS-SMB2 2.2.13, FILE_WRITE_THROUGH)."""
        return bool((self.create_options | self.mode) & CreateOptions.WRITE_THROUGH)

    @property
    def is_parked(self) -> bool:
        """Whether its session is lost and it waits for its client: `session` and `tree` then stand for none."""
        return self.durability is not None and self.durability.is_parked


def require_room(session: Session) -> None:
    """SmbError(TOO_MANY_OPENED_FILES) for a session with as many opens as it may have.

    Asked when nothing is done yet, and again in the step that adds one: others may have been added since.
    """
    if len(session.opens) >= MAX_OPENS_PER_SESSION:
        raise SmbError(Status.TOO_MANY_OPENED_FILES)


class OpenRegistry:
    """Every open of a server by the persistent half of its FileId, and by its resume key."""

    def __init__(self) -> None:
        self._by_id: dict[int, SmbOpen] = {}
        self._by_resume_key: dict[bytes, SmbOpen] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[SmbOpen]:
        return iter(list(self._by_id.values()))

    def __contains__(self, opened: SmbOpen) -> bool:
        """Whether it is an open of this server: others may share the open table."""
        return self._by_id.get(opened.fid.persistent) is opened

    def new_file_id(self) -> FileId:
        """Two random halves: a FileId tells nothing about the server and is guessed by nobody."""
        while True:
            fid = FileId(secrets.randbelow(_LARGEST_ID) + 1, secrets.randbits(63) + 1)
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

    def park(self, opened: SmbOpen) -> None:
        """Take `opened` from its session, which is lost; it stays findable by the persistent half of its FileId."""
        opened.session.opens.pop(opened.fid.volatile, None)

    def resume(self, opened: SmbOpen, session: Session, tree: Tree) -> None:
        """Give a parked open to a session, under a volatile half that no earlier holder knows (MS-SMB2 3.3.5.9.7)."""
        opened.session, opened.tree = session, tree
        opened.fid = FileId(opened.fid.persistent, secrets.randbits(63) + 1)
        session.opens[opened.fid.volatile] = opened

    def find_persistent(self, persistent: int) -> SmbOpen | None:
        """The open with that persistent half of its FileId."""
        return self._by_id.get(persistent)

    def find(self, fid: FileId) -> SmbOpen | None:
        """The open of that FileId in whatever session; both halves must match."""
        opened = self._by_id.get(fid.persistent)
        return opened if opened is not None and opened.fid == fid else None

    def find_resume_key(self, key: bytes) -> SmbOpen | None:
        """The open that FSCTL_SRV_REQUEST_RESUME_KEY gave `key` for; the caller compares sessions (MS-SMB2 3.3.5.15.6)."""
        return self._by_resume_key.get(key)
