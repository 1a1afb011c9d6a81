"""Persistent opens in the pool's catalog: written before their client hears of them, made again when the server comes back.

A record is committed before the answer to the CREATE that made the open, to a LOCK, to a rename or a wish to delete, to a break
and to CLOSE. So what a client was told is there after a crash; what it was not told it asks for again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING
from uuid import UUID

import trio

from odxfs.errors import NotADirectory, NotFound, ReadOnly, SharingViolation, UserError, VolumeError
from odxfs.opens.byte_range_locks import TooManyLocks
from odxfs.smb.durable.caching import describe_caching, restore_caching
from odxfs.smb.durable.durability import AppInstance, Durability, Kind
from odxfs.smb.durable.parking import lost_tree
from odxfs.smb.durable.record import OpenRecord, pack_record, unpack_record
from odxfs.smb.limits import MAX_DURABLE_V2_SECONDS
from odxfs.smb.opens import SmbOpen
from odxfs.smb.paths import share_root
from odxfs.smb.streams import attach_base_again
from odxfs.smb.trees import View
from odxfs.types import InodeNumber
from odxfs.wire.create import CreateAction
from odxfs.wire.file_id import FileId

if TYPE_CHECKING:
    from odxfs.opens import DirectoryName, Grant
    from odxfs.smb.server import SmbServer
    from odxfs.smb.trees import Tree
    from odxfs.volume import Inode, Volume
    from odxfs.volume.persistent_opens import PersistentOpen

ORIGIN = "smb"
"""What changes made through a share are marked with."""

logger = logging.getLogger(__name__)


async def keep_record(server: SmbServer, opened: SmbOpen) -> None:
    """Have the catalog say what a persistent open is now, durably on return; without effect on any other open.

    Costs a commit of the pool where that is not durable yet. Raises ReadOnly, NoSpace or StoreFailed.
    """
    await _keep(server, (opened,))


async def keep_records_of_file(server: SmbServer, opened: SmbOpen) -> None:
    """The same for every persistent open of what `opened` is of: the wish to delete and the names of a file are told in each.

    So what is changed through one open is not brought back by the record of another. Raises as `keep_record`.
    """
    numbers = {opened.inode.number, opened.file_inode.number}
    await _keep(server, [other for number in numbers for other in _opens_of_file(server, number)])


def follow_name(server: SmbServer, number: InodeNumber, old: DirectoryName, new: DirectoryName) -> None:
    """An open file has got another name: what was opened by the old name has the new one, in the next commit, too.

    Its path stays: the program may have moved it to where the share does not reach.
    """
    for opened in _opens_of_file(server, number):
        if opened.entry_name == old:
            opened.parent, opened.name = new
            _note_record(server, opened)


def note_grant(server: SmbServer, grant: Grant | None) -> None:
    """What may be cached has changed: have the next commit say so for the persistent opens that it is of.

    So no commit has what others wrote since without the end of what was cached before. No checkpoint.
    """
    for opened in _opens_of_grant(grant):
        _note_record(server, opened)


async def keep_grant(server: SmbServer, grant: Grant | None) -> None:
    """The same, durably on return. Raises as `keep_record`."""
    await _keep(server, _opens_of_grant(grant))


def _opens_of_file(server: SmbServer, number: InodeNumber) -> list[SmbOpen]:
    owners = [entry.owner for entry in server.opens.opens_of(number)]
    return [owner for owner in owners if isinstance(owner, SmbOpen) and owner in server.registry]


def _opens_of_grant(grant: Grant | None) -> list[SmbOpen]:
    entries = grant.entries if grant is not None else ()
    return [entry.owner for entry in entries if isinstance(entry.owner, SmbOpen)]


async def _keep(server: SmbServer, opens: Iterable[SmbOpen]) -> None:
    """Note these opens, and return when what was noted is durable: by a commit that has begun already it may not be yet."""
    waiting: dict[Durability, bytes] = {}
    for opened in opens:
        record, durability = _note_record(server, opened), opened.durability
        if record is not None and durability is not None and durability.durable_record is not record:
            waiting[durability] = record
    if waiting:
        await server.pool.commit()
    for durability, record in waiting.items():
        durability.durable_record = record


def _note_record(server: SmbServer, opened: SmbOpen) -> bytes | None:
    """Have the next commit say what a persistent open is now: the record, None for any other open."""
    if opened.durability is None or not opened.durability.is_persistent or opened.closed:
        return None
    records, identifier = server.pool.persistent_opens, opened.fid.persistent
    body = pack_record(_describe(server, opened, opened.durability))
    if records.body_of(identifier) != body:
        records.put(identifier, opened.inode, body)
    return records.body_of(identifier)


async def forget_durably(server: SmbServer) -> None:
    """A client that hears of the end of persistent opens must not find them again after a crash; on a disk that fails it may."""
    try:
        await server.pool.commit()
    except ReadOnly as error:  # the log says that of the pool
        logger.info("persistent opens are closed, and may be back after a restart: %s", error)
    except VolumeError as error:
        logger.warning("persistent opens are closed, and may be back after a restart: %s", error)


async def leave_open(server: SmbServer, opened: SmbOpen) -> None:
    """The server ends and a client may come back: forget a persistent open, not its record, which goes on holding the inode."""
    opened.closed = True
    server.registry.discard(opened)
    server.durable.forget(opened)
    if opened.entry is not None:
        server.opens.close(opened.entry)
    await opened.volume.release(opened.inode)
    if opened.base is not None and opened.base_entry is not None:
        server.opens.close(opened.base_entry)
        await opened.volume.release(opened.base)


async def restore_opens(server: SmbServer) -> None:
    """Make this server's persistent opens again, parked, before its clients get in.

    The time that a client has to come back begins now. What cannot be made again (its volume, folder or share is gone, or a local
    program has the file open without sharing it) is closed for good.
    """
    for kept in server.pool.persistent_opens.list():
        record = unpack_record(kept.body)
        if record is not None and (record.svm != server.name or server.registry.find_persistent(kept.id)):
            continue
        try:
            restored = record is not None and await _restore(server, kept, record)
        except UserError as error:
            logger.warning("persistent open %d waits for another start: %s", kept.id, error)
            continue
        if not restored:
            logger.warning("persistent open %d of inode %d is lost", kept.id, kept.inode.number)
            await server.pool.persistent_opens.remove(kept.id)


def _describe(server: SmbServer, opened: SmbOpen, durability: Durability) -> OpenRecord:
    instance, entry = durability.app_instance, opened.entry
    assert entry is not None, "only files and directories are persistent"
    return OpenRecord(
        svm=server.name,
        share=opened.tree.share.name,
        path=opened.path,
        user=durability.owner,
        client_guid=durability.client_guid.bytes.hex(),
        create_guid=durability.create_guid.hex(),
        timeout=durability.timeout,
        action=durability.action,
        access=opened.granted_access,
        share_access=opened.share_access,
        create_options=opened.create_options,
        parent=opened.parent or 0,
        name=opened.name.hex(),
        mode=opened.mode,
        position=opened.position,
        delete_on_close=opened.delete_on_close,
        delete_pending=server.opens.is_delete_pending(entry.number, opened.doomed_name),
        keeps_change_time=opened.keeps_change_time,
        keeps_write_time=opened.keeps_write_time,
        app_instance=instance.id.hex() if instance is not None else "",
        app_version=instance.version if instance is not None else None,
        locks=tuple(sorted(server.opens.locks_of(entry))),
        lock_sequences=tuple(sorted((opened.lock_sequences or {}).items())),
        caching=describe_caching(opened.grant),
    )


async def _restore(server: SmbServer, kept: PersistentOpen, record: OpenRecord) -> bool:
    """Make one open again; False when that is not possible. Raises UserError when the shares cannot be read."""
    where = await _find_place(server, kept.inode, record)
    if where is None:
        return False
    tree, view = where
    opened = _make_open(kept, record, tree, view)
    try:
        opened.entry = server.opens.open(
            kept.inode.number,
            record.access,
            record.share_access,
            opened,
            name=None if kept.inode.is_stream else opened.entry_name,
        )
    except SharingViolation:
        return False
    if kept.inode.is_stream and not await attach_base_again(server.opens, view.volume, opened):
        server.opens.close(opened.entry)
        return False
    view.volume.hold(kept.inode)
    await view.volume.security(opened.file_inode)  # as after a CREATE, which has judged it
    server.registry.add(opened)
    server.registry.park(opened)
    server.durable.enter(opened)
    server.durable.park(opened, trio.current_time())
    if not restore_caching(server, opened, record.caching):
        logger.warning("what the client of %r could cache is lost over the restart", record.path)
    _restore_locks(server, opened, record)
    if record.delete_pending:
        server.opens.set_delete_pending(kept.inode.number, True, opened.doomed_name)
    return True


async def _find_place(server: SmbServer, inode: Inode, record: OpenRecord) -> tuple[Tree, View] | None:
    """The share and the volume of a record, where they still belong together and to this server."""
    share = server.shares.find(record.share)
    if share is None or share.is_ipc or share.is_tokens:
        return None
    try:
        volume: Volume = server.pool.volume(share.volume, ORIGIN)
        root = await share_root(volume, share.path, None)
    except (NotFound, NotADirectory):
        return None
    if inode.volume != volume.id or not server.owns_volume(share.volume):
        return None
    view = View(volume, root)
    return lost_tree(share, view), view


def _make_open(kept: PersistentOpen, record: OpenRecord, tree: Tree, view: View) -> SmbOpen:
    application = bytes.fromhex(record.app_instance)
    return SmbOpen(
        fid=FileId(kept.id, 0),
        session=tree.session,
        tree=tree,
        path=record.path,
        granted_access=record.access,
        share_access=record.share_access,
        create_options=record.create_options,
        attached_view=view,
        attached_inode=kept.inode,
        parent=InodeNumber(record.parent) if record.parent else None,
        name=bytes.fromhex(record.name),
        delete_on_close=record.delete_on_close,
        is_directory=kept.inode.is_directory,
        position=record.position,
        mode=record.mode,
        keeps_change_time=record.keeps_change_time,
        keeps_write_time=record.keeps_write_time,
        lock_sequences=dict(record.lock_sequences) or None,
        durability=Durability(
            client_guid=UUID(bytes=bytes.fromhex(record.client_guid)),
            owner=record.user,
            action=CreateAction(record.action),
            create_guid=bytes.fromhex(record.create_guid),
            app_instance=AppInstance(application, record.app_version) if application else None,
            kind=Kind.PERSISTENT,
            timeout=min(record.timeout, MAX_DURABLE_V2_SECONDS),
        ),
    )


def _restore_locks(server: SmbServer, opened: SmbOpen, record: OpenRecord) -> None:
    """They were all held at once, so none is in another's way, unless a local program was quicker with the file.

    The exclusive ones first: an open may share what it has locked for itself, but not the other way round.
    """
    assert opened.entry is not None, "it has just been made"
    for offset, length, exclusive in sorted(record.locks, key=lambda lock: not lock[2]):
        try:
            taken = server.opens.lock(opened.entry, offset, length, exclusive=exclusive)
        except TooManyLocks:
            taken = False
        if not taken:
            logger.warning("a lock of %r at byte %d is lost over the restart", record.path, offset)
