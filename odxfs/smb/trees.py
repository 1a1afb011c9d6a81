"""A tree connect: one session's use of one share (MS-SMB2 3.3.1.9)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from odxfs.offload import TokenFiles
from odxfs.volume import SnapshotVolume

if TYPE_CHECKING:
    from odxfs.smb.sessions import Session
    from odxfs.smb.shares import Share
    from odxfs.types import InodeNumber
    from odxfs.volume import Volume


@dataclass(frozen=True, slots=True)
class View:
    """What a share shows: the volume as it is, or as one of its snapshots holds it, from the folder `root` down."""

    volume: Volume
    root: InodeNumber

    @property
    def is_previous_version(self) -> bool:
        """True for a snapshot: everything may be read, nothing changed."""
        return isinstance(self.volume, SnapshotVolume)


@dataclass(slots=True, eq=False)
class Tree:
    """Owned by its session. `attached_view` is what the share shows now; None for IPC$, whose opens are pipes."""

    id: int
    session: Session
    share: Share
    attached_view: View | None
    maximal_access: int
    encrypt_data: bool = False
    is_tokens: bool = False
    """True for TOKENS$; a field, since each request asks for it."""

    @property
    def is_ipc(self) -> bool:
        """True for IPC$: no files, only pipes."""
        return self.attached_view is None

    @property
    def tokens(self) -> TokenFiles:
        """What TOKENS$ shows; callers have seen that it is that share."""
        files = self.view.volume
        assert isinstance(files, TokenFiles), "the share of tokens shows tokens"
        return files

    @property
    def view(self) -> View:
        """What a file share shows now; callers have refused IPC$ before."""
        assert self.attached_view is not None, "IPC$ has no volume"
        return self.attached_view
