"""What becomes of opens whose session is lost (MS-SMB2 3.3.7.1, 3.3.5.6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from odxfs.smb.durable.granting import caches_handles
from odxfs.smb.sessions import Session, SessionState
from odxfs.smb.trees import Tree

if TYPE_CHECKING:
    from odxfs.smb.opens import SmbOpen
    from odxfs.smb.server import SmbServer
    from odxfs.smb.shares import Share
    from odxfs.smb.trees import View


def lost_tree(share: Share, view: View) -> Tree:
    """What a parked open has for a tree connect and a session, so that nothing of its lost connection is kept in memory.

    Only the share, and that the session is CLOSED, may be asked of them.
    """
    session = Session(0, [], SessionState.CLOSED)
    return Tree(0, session, share, view, 0)


def try_to_park(server: SmbServer, opened: SmbOpen) -> bool:
    """Keep an open for its client to come back; False when it has to be closed. No checkpoint.

    A durable open is kept only while its oplock or lease is whole: once that is lost somebody else wants the file.
    """
    durability = opened.durability
    if opened.closed or durability is None or not durability.outlives_connection:
        return False
    if durability.yields and not caches_handles(opened):
        return False
    if not server.durable.may_park(durability):
        return False
    if opened.watch is not None:
        server.notifications.close(opened.watch)
        opened.watch = None
    opened.enumeration = None
    durability.left_at_work = opened.session.running
    server.registry.park(opened)
    opened.tree = lost_tree(opened.tree.share, opened.view)
    opened.session = opened.tree.session
    server.durable.park(opened, trio.current_time())
    return True
