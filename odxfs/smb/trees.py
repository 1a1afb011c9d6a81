"""A tree connect: one session's use of one share (MS-SMB2 3.3.1.9)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from odxfs.smb.sessions import Session
    from odxfs.smb.shares import Share
    from odxfs.types import InodeNumber
    from odxfs.volume import Volume


@dataclass(slots=True, eq=False)
class Tree:
    """Owned by its session. `attached_volume` and `root` are None for IPC$, whose opens are pipes."""

    id: int
    session: Session
    share: Share
    attached_volume: Volume | None
    root: InodeNumber | None
    maximal_access: int
    encrypt_data: bool = False

    @property
    def is_ipc(self) -> bool:
        """True for IPC$: no files, only pipes."""
        return self.attached_volume is None

    @property
    def volume(self) -> Volume:
        """The volume behind a file share; callers have refused IPC$ before."""
        assert self.attached_volume is not None, "IPC$ has no volume"
        return self.attached_volume
