"""A session: one login of one user on one connection (MS-SMB2 3.3.1.8)."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from odxfs.smb.auth.acceptor import Acceptor
    from odxfs.smb.auth.users import User
    from odxfs.smb.connection import Connection
    from odxfs.smb.opens import SmbOpen
    from odxfs.smb.trees import Tree
    from odxfs.wire.security import SessionSecurity


class SessionState(Enum):
    """Only a VALID session may do anything but log in and log off."""

    IN_PROGRESS = "in progress"
    VALID = "valid"
    CLOSED = "closed"


@dataclass(slots=True, eq=False)
class Session:
    """Owned by its connection; `opens` is keyed by the volatile half of the FileId, `trees` by TreeId."""

    id: int
    connection: Connection
    state: SessionState = SessionState.IN_PROGRESS
    user: User | None = None
    security: SessionSecurity | None = None
    acceptor: Acceptor | None = None
    encrypt_data: bool = False
    trees: dict[int, Tree] = field(default_factory=dict)
    opens: dict[int, SmbOpen] = field(default_factory=dict)
    next_tree_id: int = 1

    @property
    def uid(self) -> int:
        """The POSIX user that this session acts as."""
        assert self.user is not None, "only a valid session acts"
        return self.user.uid

    @property
    def gid(self) -> int:
        """The POSIX group that this session acts as."""
        assert self.user is not None, "only a valid session acts"
        return self.user.gid


def new_session_id(taken: dict[int, Session]) -> int:
    """A random id, not 0 and not in use; 32 bits, since some clients keep no more. It opens nothing by itself."""
    while True:
        candidate = secrets.randbits(32)
        if candidate and candidate not in taken:
            return candidate
