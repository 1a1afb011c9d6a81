"""The end of what was taken away while clients use it: users, shares, and volumes that are another server's now."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from odxfs.smb.closing import close_open, close_session, close_tree

if TYPE_CHECKING:
    from odxfs.smb.auth.users import User
    from odxfs.smb.opens import SmbOpen
    from odxfs.smb.server import SmbServer
    from odxfs.smb.sessions import Session
    from odxfs.smb.shares import Share

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """How many sessions, and how many tree connects of other sessions, have ended."""

    sessions: int = 0
    trees: int = 0

    def __add__(self, other: Withdrawn) -> Withdrawn:
        return Withdrawn(self.sessions + other.sessions, self.trees + other.trees)


async def end_withdrawn(server: SmbServer) -> Withdrawn:
    """End the sessions of users that are no more, and the tree connects to shares that are no more or lead elsewhere now (MS-SMB2
    3.3.4.12, 3.3.4.15).

    All opens in them are closed, parked ones too. Raises UserError, and has ended nothing, when users or shares cannot be read.
    """
    sessions = [each for each in server.sessions.values() if not _has_user(server, each)]
    trees = [
        tree
        for session in server.sessions.values()
        if session not in sessions
        for tree in session.trees.values()
        if not is_served(server, tree.share)
    ]
    parked = [each for each in server.durable if not _may_come_back(server, each)]
    for session in sessions:
        await _end_session(server, session)
    for tree in trees:
        await close_tree(server, tree)
    for opened in parked:
        await close_open(server, opened)
    ended = Withdrawn(len(sessions), len(trees))
    if ended != Withdrawn():
        logger.info("withdrawn from clients: %d sessions, %d tree connects", ended.sessions, ended.trees)
    return ended


def is_served(server: SmbServer, share: Share) -> bool:
    """Whether the server still has the share, with the same files. Raises UserError when the shares cannot be read."""
    if share.volume and not server.owns_volume(share.volume):  # IPC$ has none
        return False
    found = server.shares.find(share.name)
    return found is not None and (found.volume, found.path) == (share.volume, share.path)


def is_user(server: SmbServer, user: User) -> bool:
    """Whether a user who has logged in is one still. Raises UserError when the users cannot be read."""
    found = server.users.find(user.name)
    return found is not None and found.sid == user.sid


def _has_user(server: SmbServer, session: Session) -> bool:
    """True also of a session that nobody has logged in to yet."""
    return session.user is None or is_user(server, session.user)


def _may_come_back(server: SmbServer, opened: SmbOpen) -> bool:
    assert opened.durability is not None, "what is parked is durable"
    return is_served(server, opened.tree.share) and server.users.find(opened.durability.owner) is not None


async def _end_session(server: SmbServer, session: Session) -> None:
    """Its tree connects first: what the end of a session leaves for its client to come back to, nobody may come back to."""
    for tree in list(session.trees.values()):
        await close_tree(server, tree)
    await close_session(server, session)
