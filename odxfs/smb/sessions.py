"""A session: one login of one user, on one connection or on several (MS-SMB2 3.3.1.8, 3.3.1.14)."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from enum import Enum
from math import inf
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from odxfs.smb.auth.users import User
    from odxfs.smb.connection import Connection
    from odxfs.smb.opens import SmbOpen
    from odxfs.smb.request import RequestContext
    from odxfs.smb.security.token import Token
    from odxfs.smb.trees import Tree
    from odxfs.wire.security import SessionSecurity


class SessionState(Enum):
    """Only a VALID session may do anything but log in and log off; an EXPIRED one may also close and unlock what it has."""

    IN_PROGRESS = "in progress"
    VALID = "valid"
    EXPIRED = "expired"
    CLOSED = "closed"


@dataclass(slots=True, eq=False)
class Session:
    """`opens` is keyed by the volatile half of the FileId, `trees` by TreeId.

    `channels` are the connections that it was logged in or bound on and that stand, the oldest first; one at least. A closed
    session keeps those it had last. What a channel's signing key is, its connection knows (`protocol.sessions`).
    `running` are the requests at work in it, but for those that are answered without waiting; keyed by identity.
    `began_at` is when its first login began, by time.monotonic.
    """

    id: int
    channels: list[Connection]
    state: SessionState = SessionState.IN_PROGRESS
    user: User | None = None
    security: SessionSecurity | None = None
    encrypt_data: bool = False
    trees: dict[int, Tree] = field(default_factory=dict)
    opens: dict[int, SmbOpen] = field(default_factory=dict)
    running: dict[int, RequestContext] = field(default_factory=dict)
    next_tree_id: int = 1
    expires_at: float = inf
    began_at: float = field(default_factory=monotonic)
    token: Token | None = None
    """Kept by `security.token.token_of`."""

    def has_channel_besides(self, connection: Connection) -> bool:
        """Whether the session is bound to another connection, too, on which it lives on."""
        return self.channels != [connection]

    @property
    def connection(self) -> Connection:
        """The way to its client: the oldest connection that stands."""
        return self.channels[0]

    @property
    def user_name(self) -> str:
        """Who has logged in, by the name that this server knows the user by."""
        assert self.user is not None, "only a valid session acts"
        return self.user.name

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
