"""OPLOCK_BREAK: a client's acknowledgement of a break (MS-SMB2 3.3.5.22)."""

from __future__ import annotations

from odxfs.ntstatus import Status
from odxfs.opens import Grant
from odxfs.opens.caching import WRITE, NotAccepted, NotBreaking
from odxfs.smb.caching.leases import Lease
from odxfs.smb.durable.persistence import keep_grant
from odxfs.smb.opens import SmbOpen
from odxfs.smb.request import RequestContext, Response, SmbError
from odxfs.wire.create import OplockLevel
from odxfs.wire.oplock_break import (
    LeaseBreakAcknowledgment,
    LeaseBreakResponse,
    OplockBreakAcknowledgment,
    OplockBreakResponse,
    unpack_acknowledgment,
)


async def oplock_break(context: RequestContext) -> Response:
    """Take what the client agrees to. SmbError where it was not asked, or not for that."""
    acknowledgment = unpack_acknowledgment(context.pdu)
    with context.server.breaks.behind_the_answer(context):  # what came meanwhile is asked next
        if isinstance(acknowledgment, LeaseBreakAcknowledgment):
            response, grant = _lease(context, acknowledgment)
        else:
            response, grant = _oplock(context, acknowledgment)
    await keep_grant(context.server, grant)
    return response


def _oplock(context: RequestContext, acknowledgment: OplockBreakAcknowledgment) -> tuple[Response, Grant]:
    """3.3.5.22.1. Whoever agrees to what no break can lead to loses the oplock."""
    opened = context.find_open(acknowledgment.file_id)
    grant, level = opened.grant, acknowledgment.oplock_level
    if grant is None or grant.is_lease or not grant.breaking:
        caches_more = grant is not None and not grant.is_lease and grant.state & WRITE
        raise SmbError(Status.INVALID_DEVICE_STATE if caches_more else Status.INVALID_OPLOCK_PROTOCOL)
    grants = context.server.opens.grants
    context.server.breaks.forget(grant)
    allowed = grant.asked if level == OplockLevel.II else 0
    if level not in (OplockLevel.II, OplockLevel.NONE) or (level == OplockLevel.II and not allowed):
        grants.acknowledge(grant, 0)
        lease = level == OplockLevel.LEASE
        raise SmbError(Status.INVALID_PARAMETER if lease else Status.INVALID_OPLOCK_PROTOCOL)
    grants.acknowledge(grant, allowed)
    return OplockBreakResponse(level, opened.fid), grant


def _users_of(lease: Lease) -> set[str]:
    """Who has opens with the lease, whose client may be lost at the moment."""
    owners = [entry.owner for entry in lease.grant.entries if isinstance(entry.owner, SmbOpen)]
    return {
        opened.durability.owner
        if opened.durability is not None and opened.is_parked
        else opened.session.user_name
        for opened in owners
    }


def _lease(context: RequestContext, acknowledgment: LeaseBreakAcknowledgment) -> tuple[Response, Grant]:
    """3.3.5.22.2. A lease is the client's, whichever of its connections it answers on.

    A ClientGuid proves nothing: for a user who has none of the lease's opens there is no lease.
    """
    lease = context.server.leases.find(context.connection.client_guid, acknowledgment.lease_key)
    if lease is None or context.session.user_name not in _users_of(lease):
        raise SmbError(Status.OBJECT_NAME_NOT_FOUND)
    try:
        context.server.opens.grants.acknowledge(lease.grant, acknowledgment.lease_state)
    except NotBreaking:
        raise SmbError(Status.UNSUCCESSFUL) from None
    except NotAccepted:
        raise SmbError(Status.REQUEST_NOT_ACCEPTED) from None
    if not lease.grant.breaking:
        context.server.breaks.forget(lease.grant)
    return LeaseBreakResponse(acknowledgment.lease_key, acknowledgment.lease_state), lease.grant
