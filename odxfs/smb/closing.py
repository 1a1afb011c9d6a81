"""How opens, trees and sessions end, whoever ends them: CLOSE, TREE_DISCONNECT, LOGOFF or a lost connection.

What has begun to end is ended, whatever becomes of the connection meanwhile: nobody would come back for the rest.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import trio

from odxfs.errors import NotFound, VolumeError
from odxfs.opens import Use
from odxfs.smb.caching.folders import entry_changed
from odxfs.smb.durable.parking import try_to_park
from odxfs.smb.information.allocation import forget_reserve
from odxfs.smb.sessions import SessionState
from odxfs.smb.streams import remove_open_stream

if TYPE_CHECKING:
    from odxfs.opens import DirectoryName, OpenEntry
    from odxfs.smb.connection import Connection
    from odxfs.smb.opens import SmbOpen
    from odxfs.smb.server import SmbServer
    from odxfs.smb.sessions import Session
    from odxfs.smb.trees import Tree
    from odxfs.types import InodeNumber
    from odxfs.volume import Inode

logger = logging.getLogger(__name__)


async def close_open(server: SmbServer, opened: SmbOpen) -> None:
    """End one open: its locks, its watch, its hold on the inode; the last client's of a file to be deleted removes the name.

    Harmless a second time. The name goes while the open still stands in the table, so nobody opens the file in between.
    """
    if opened.closed:
        return
    opened.closed = True
    server.registry.discard(opened)
    server.durable.forget(opened)
    if opened.watch is not None:
        server.notifications.close(opened.watch)
    entry = opened.entry
    if entry is None:
        return
    if opened.delete_on_close and not (opened.is_directory and opened.inode.size):
        _mark_for_deletion(server, opened, entry)
    with trio.CancelScope(shield=True):
        await opened.end_of_changes()  # its share mode and its locks stand for as long
        await _let_go(server, opened, entry)


def _mark_for_deletion(server: SmbServer, opened: SmbOpen, entry: OpenEntry) -> None:
    server.opens.set_delete_pending(entry.number, True, opened.doomed_name)
    # Nobody waits: it goes with the last close.
    server.opens.grants.contend(entry.number, Use.RENAME, opened.grant)
    if opened.is_directory:
        server.notifications.directory_marked(entry.number)


async def _let_go(server: SmbServer, opened: SmbOpen, entry: OpenEntry) -> None:
    """Returns when the kernel has forgotten a name that is gone: it would go on leading local programs to what it named."""
    gone_from: set[InodeNumber] = set()
    try:
        gone_from = await _remove_if_last(server, opened, opened.inode, entry)
        if opened.has_changed and not gone_from:
            entry_changed(server, opened)
    finally:
        server.opens.close(entry)
        forget_reserve(server, opened)
        await opened.volume.release(opened.inode)
        if opened.base is not None and opened.base_entry is not None:
            gone_from |= await _let_go_base(server, opened, opened.base, opened.base_entry)
        if opened.durability is not None and opened.durability.is_persistent:
            await opened.volume.pool.persistent_opens.remove(opened.fid.persistent)
    if gone_from:
        await opened.volume.pool.followed(*gone_from)


async def _let_go_base(server: SmbServer, opened: SmbOpen, base: Inode, entry: OpenEntry) -> set[InodeNumber]:
    """The end of a stream's open may be what the deletion of its file has waited for; the folders that had its names then."""
    try:
        return await _remove_if_last(server, opened, base, entry)
    finally:
        server.opens.close(entry)
        await opened.volume.release(base)


async def _remove_if_last(
    server: SmbServer, opened: SmbOpen, inode: Inode, entry: OpenEntry
) -> set[InodeNumber]:
    """Take away the names that have waited for the end of `entry`, which stands meanwhile; the folders that had them."""
    opens = server.opens
    folders: set[InodeNumber] = set()
    # Looked at again: a local program may have renamed it meanwhile.
    while names := opens.ended_deletions(entry):
        for name in names:
            try:
                await _remove_name(opened, inode, name)
            finally:
                opens.set_delete_pending(entry.number, False, name)
            entry_changed(server, opened)
            if name is not None:
                folders.add(name[0])
    return folders


async def _remove_name(opened: SmbOpen, inode: Inode, name: DirectoryName | None) -> None:
    """Unlink the name that deletion was asked for; a directory that is not empty any more stays, as on Windows.

    So does what another name leads to, and what has got this name meanwhile: a local program may rename or remove it at any time.
    """

    def permit(found: Inode) -> None:
        if found is not inode:
            raise NotFound(f"{opened.path!r} is another file by now")

    volume = opened.volume
    try:
        if inode.is_stream and opened.base is not None:
            await remove_open_stream(opened, opened.base)
            return
        if name is None:
            raise NotFound("it had no name to delete")
        if inode.is_directory:
            await volume.rmdir(*name, permit)
        else:
            await volume.unlink(*name, permit)
    except VolumeError as error:
        logger.info("%r is not deleted at its last close: %s", opened.path, error)


async def close_tree(server: SmbServer, tree: Tree) -> None:
    """End a tree connect: its opens are closed, and what still waits is cancelled."""
    session = tree.session
    session.trees.pop(tree.id, None)
    await _close_opens(server, [opened for opened in session.opens.values() if opened.tree is tree])
    for connection in session.channels:
        connection.cancel_pending(tree=tree)


async def close_session(server: SmbServer, session: Session) -> None:
    """End a session, whichever way it ends: by LOGOFF, by a later login of its client or with its last connection.

    Opens that may outlive it are parked, everything else in it ends. Harmless a second time. Its connections forget its keys;
    answers to what was verified before are still signed.
    """
    if session.state is SessionState.CLOSED:
        return
    session.state = SessionState.CLOSED
    server.sessions.pop(session.id, None)
    server.expiry.forget(session)
    for connection in session.channels:
        connection.forget_session(session)
    opens = list(session.opens.values())
    await _close_opens(server, [opened for opened in opens if not try_to_park(server, opened)])
    for connection in session.channels:
        connection.cancel_pending(session=session)
    session.trees.clear()


async def lose_channel(server: SmbServer, session: Session, connection: Connection) -> None:
    """A connection of a session is gone (MS-SMB2 3.3.7.1). What waited on it has ended; the session ends with its last one."""
    if session.channels == [connection]:
        await close_session(server, session)
        return
    connection.forget_session(session)
    if connection in session.channels:
        session.channels.remove(connection)


async def _close_opens(server: SmbServer, opens: list[SmbOpen]) -> None:
    """One after the other: who waits for a lock of the first gets it before its own open is closed, as on Windows."""
    with trio.CancelScope(shield=True):
        for opened in opens:
            had_locks = opened.entry is not None and opened.entry.lock_count > 0
            await close_open(server, opened)
            if had_locks:
                await trio.lowlevel.checkpoint()
