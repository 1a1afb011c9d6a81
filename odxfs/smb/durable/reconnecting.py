"""A client comes back for an open that was parked when its session was lost (MS-SMB2 3.3.5.9.7, 3.3.5.9.12)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from odxfs.ntstatus import Status
from odxfs.smb.access import READ_ONLY_ACCESS
from odxfs.smb.caching.leases import Lease
from odxfs.smb.durable.channel_sequence import UNCHECKED, sequence_of
from odxfs.smb.durable.durability import Durability
from odxfs.smb.request import SmbError
from odxfs.volume import upcase
from odxfs.wire.create_contexts import DurableHandleFlags

if TYPE_CHECKING:
    from odxfs.smb.durable.wishes import Wishes
    from odxfs.smb.opens import SmbOpen
    from odxfs.smb.request import RequestContext
    from odxfs.wire.create import CreateRequest
    from odxfs.wire.create_contexts import DurableHandleReconnect, DurableHandleReconnectV2


def named_open(context: RequestContext, wishes: Wishes) -> SmbOpen | None:
    """The open that a reconnect names or a repeated CREATE has made, in whatever state."""
    server, asked = context.server, wishes.reconnect_v2 or wishes.reconnect
    if asked is not None:
        return server.registry.find_persistent(asked.file_id.persistent)
    if not wishes.create_guid:
        return None
    return server.durable.find_create((context.connection.client_guid, wishes.create_guid))


def reconnect(context: RequestContext, request: CreateRequest, wishes: Wishes) -> SmbOpen | None:
    """The parked open that `wishes` name, given to this session; None when they name none. No checkpoint.

    SmbError: OBJECT_NAME_NOT_FOUND where there is none for this client, ACCESS_DENIED for another user and for
    an open that may change what the share lets nobody change any more, INVALID_PARAMETER for a leased file under another name.
    """
    if wishes.reconnect_v2 is not None:
        opened = _find_v2(context, wishes.reconnect_v2)
    elif wishes.reconnect is not None:
        opened = _find(context, wishes.reconnect)
    else:
        return None
    _check_lease(context, request, opened, wishes)
    if _durability(opened).owner != context.session.user_name:
        raise SmbError(Status.ACCESS_DENIED)
    take_up(context, opened)
    return opened


def take_up(context: RequestContext, opened: SmbOpen) -> None:
    """Give a parked open to the session of this request. SmbError(ACCESS_DENIED) where it may do what the share now forbids."""
    if context.tree.share.read_only and opened.granted_access & ~READ_ONLY_ACCESS:
        raise SmbError(Status.ACCESS_DENIED, "the share has become read-only")
    server = context.server
    server.durable.unpark(opened)
    server.registry.resume(opened, context.session, context.tree)
    opened.channel_sequence, opened.checked_sequence = sequence_of(context), UNCHECKED
    context.afterwards += (lambda: server.breaks.tell_again(opened.grant),)


_NO_GUID = bytes(16)
"""The CreateGuid of an open that was made without one, for a client that comes back for it by version 2."""


def _find(context: RequestContext, asked: DurableHandleReconnect) -> SmbOpen:
    opened = _find_parked(context, asked.file_id.persistent)
    if _durability(opened).is_persistent:
        raise SmbError(Status.OBJECT_NAME_NOT_FOUND)
    return opened


def _find_v2(context: RequestContext, asked: DurableHandleReconnectV2) -> SmbOpen:
    opened = _find_parked(context, asked.file_id.persistent)
    durability = _durability(opened)
    wants_persistent = bool(asked.flags & DurableHandleFlags.PERSISTENT)
    if (
        durability.create_guid or _NO_GUID
    ) != asked.create_guid or durability.is_persistent is not wants_persistent:
        raise SmbError(Status.OBJECT_NAME_NOT_FOUND)
    return opened


def _find_parked(context: RequestContext, persistent: int) -> SmbOpen:
    """The parked open of that FileId, if it was made through the share that it is asked for in."""
    opened = context.server.registry.find_persistent(persistent)
    if opened is None or opened.durability is None or not opened.durability.may_come_back:
        raise SmbError(Status.OBJECT_NAME_NOT_FOUND)
    if opened.tree.share.name != context.tree.share.name:
        raise SmbError(Status.OBJECT_NAME_NOT_FOUND)
    return opened


def _check_lease(context: RequestContext, request: CreateRequest, opened: SmbOpen, wishes: Wishes) -> None:
    """A leased open goes back to the client that has the lease, by the file's name, and to nobody without the lease's key."""
    held = lease_key(opened)
    if (wishes.lease.lease_key if wishes.lease is not None else None) != held:
        raise SmbError(Status.OBJECT_NAME_NOT_FOUND)
    if held is None:
        return
    if _durability(opened).client_guid != context.connection.client_guid:
        raise SmbError(Status.OBJECT_NAME_NOT_FOUND)
    if upcase(request.name) != upcase(opened.full_path):
        raise SmbError(Status.INVALID_PARAMETER)


def lease_key(opened: SmbOpen) -> bytes | None:
    """The key of the lease that the open is under; None for an oplock or nothing."""
    grant = opened.grant
    return grant.holder.key if grant is not None and isinstance(grant.holder, Lease) else None


def _durability(opened: SmbOpen) -> Durability:
    assert opened.durability is not None, "only opens that have one are parked"
    return opened.durability
