"""A CREATE that is sent again because its answer was lost (MS-SMB2 3.3.5.9.10).

While the first is still at work its repetition is FILE_NOT_AVAILABLE, as the specification lets a client expect; Windows itself
answers with what comes to hand (ACCESS_DENIED, SHARING_VIOLATION). A repetition asks for what it likes: its answer speaks of
that, the open stays as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from odxfs.ntstatus import Status
from odxfs.smb.caching.oplocks import STATES, level_of
from odxfs.smb.durable.reconnecting import lease_key, take_up
from odxfs.smb.request import SmbError
from odxfs.wire.create import OplockLevel
from odxfs.wire.header import HeaderFlags

if TYPE_CHECKING:
    from odxfs.smb.durable.wishes import Wishes
    from odxfs.smb.opens import SmbOpen
    from odxfs.smb.request import RequestContext
    from odxfs.wire.create import CreateRequest


def find_replayed(context: RequestContext, wishes: Wishes) -> SmbOpen | None:
    """What this CREATE opened when it was sent before; None when it was not, or its client has used the open since.

    SmbError: DUPLICATE_OBJECTID where it does not say that it is sent again, FILE_NOT_AVAILABLE while the first is at work,
    ACCESS_DENIED for another user or lease. An open that was parked meanwhile is this session's from here on.
    """
    if not wishes.create_guid:
        return None
    durable, name = context.server.durable, (context.connection.client_guid, wishes.create_guid)
    is_replay = bool(context.header.flags & HeaderFlags.REPLAY)
    if durable.is_creating(name):
        raise SmbError(Status.FILE_NOT_AVAILABLE if is_replay else Status.DUPLICATE_OBJECTID)
    opened = durable.find_create(name)
    if opened is None or opened.durability is None:
        return None
    if opened.is_parked and not opened.durability.may_come_back:
        return None
    if not is_replay:
        raise SmbError(Status.DUPLICATE_OBJECTID)
    if opened.durability.owner != context.session.user_name:
        raise SmbError(Status.ACCESS_DENIED)
    if (wishes.lease.lease_key if wishes.lease is not None else None) != lease_key(opened):
        raise SmbError(Status.ACCESS_DENIED)
    return _of_session(context, opened)


def replayed_level(opened: SmbOpen, request: CreateRequest) -> OplockLevel:
    """The oplock that the answer to a repetition speaks of: the one that is asked for this time, if the open has that much."""
    held = level_of(opened.grant)
    if (
        held is OplockLevel.LEASE
        or opened.grant is None
        or request.requested_oplock_level not in (0, *STATES)
    ):
        return held
    asked = OplockLevel(request.requested_oplock_level)
    return asked if not STATES.get(asked, 0) & ~opened.grant.state else held


def _of_session(context: RequestContext, opened: SmbOpen) -> SmbOpen:
    if opened.is_parked and opened.tree.share.name == context.tree.share.name:
        take_up(context, opened)
    if opened.session is not context.session or opened.tree is not context.tree:
        raise SmbError(Status.DUPLICATE_OBJECTID)
    return opened
