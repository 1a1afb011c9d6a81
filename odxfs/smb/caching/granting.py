"""Oplocks and leases at CREATE: what is asked for, whom it disturbs, what is granted (MS-SMB2 3.3.5.9, 3.3.5.9.8, 3.3.5.9.11)."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from odxfs.errors import OdxfsError
from odxfs.ntstatus import Status
from odxfs.opens import Grant, Use
from odxfs.opens.caching import HANDLE, READ
from odxfs.smb.caching.leases import Lease
from odxfs.smb.caching.oplocks import STATES, Oplock
from odxfs.smb.request import SmbError
from odxfs.wire.create import OplockLevel
from odxfs.wire.create_contexts import REQUEST_LEASE, LeaseFlags, LeaseV2, find_create_context, unpack_lease
from odxfs.wire.create_contexts import Lease as LeaseV1
from odxfs.wire.negotiate import Dialect

if TYPE_CHECKING:
    from odxfs.smb.opens import SmbOpen
    from odxfs.smb.request import RequestContext
    from odxfs.volume import Inode
    from odxfs.wire.create import CreateRequest, RawContext


class Contended(OdxfsError):
    """An open has to wait for these grants, and then be tried again from the start."""

    def __init__(self, grants: list[Grant]) -> None:
        super().__init__("others cache what is to be opened")
        self.grants = grants


def _asked_lease(context: RequestContext, request: CreateRequest) -> LeaseV1 | LeaseV2 | None:
    """The lease that is asked for; version 2 is unknown before dialect 3.0."""
    if request.requested_oplock_level != OplockLevel.LEASE:
        return None
    data = find_create_context(request.create_contexts, REQUEST_LEASE)
    if data is None:
        return None
    asked = unpack_lease(data)
    return None if isinstance(asked, LeaseV2) and context.connection.dialect < Dialect.SMB_3_0 else asked


def _known_lease(context: RequestContext, request: CreateRequest) -> Lease | None:
    asked = _asked_lease(context, request)
    if asked is None:
        return None
    return context.server.leases.find(context.connection.client_guid, asked.lease_key)


def _own_grant(context: RequestContext, request: CreateRequest) -> Grant | None:
    lease = _known_lease(context, request)
    return lease.grant if lease is not None else None


def emptying(
    context: RequestContext, request: CreateRequest, opened: SmbOpen
) -> AbstractContextManager[None]:
    """`OpenTable.changing` around what a CREATE does to a file that it overwrites, behind `contend_open`."""
    own = _own_grant(context, request)
    return context.server.opens.changing(opened.inode.number, own=own)


def check_lease_key(context: RequestContext, request: CreateRequest, inode: Inode | None) -> None:
    """INVALID_PARAMETER when the client has a lease of that key on another file."""
    lease = _known_lease(context, request)
    if lease is not None and (inode is None or lease.grant.number != inode.number):
        raise SmbError(Status.INVALID_PARAMETER, "the lease key is that of another file")


def contend_open(
    context: RequestContext, request: CreateRequest, inode: Inode, access: int, *, overwriting: bool
) -> None:
    """Break what stands in the way of an open with `access`. Raises Contended when that has to be waited for, SmbError as
    `check_lease_key`.

    Where sharing forbids it, those who only keep a closed file open for themselves are asked first (MS-FSA 2.1.5.1.2).
    """
    opens = context.server.opens
    check_lease_key(context, request, inode)
    if not opens.cached:
        return
    own = _own_grant(context, request)
    if not opens.check(inode.number, access, request.share_access):
        waited_for = opens.grants.contend(inode.number, Use.OPEN_UNSHARED, own)
    else:
        use = Use.OVERWRITE if overwriting else Use.OPEN
        waited_for = opens.grants.contend(inode.number, use, own, access=access)
    if waited_for:
        raise Contended(waited_for)


def grant_caching(context: RequestContext, opened: SmbOpen, request: CreateRequest) -> None:
    """Give a fresh open what it asks for as far as others leave it. SmbError as `check_lease_key`."""
    entry = opened.entry
    if entry is None or context.tree.is_tokens:
        return
    asked = _asked_lease(context, request)
    if asked is not None:
        _grant_lease(context, opened, asked)
    elif not opened.is_directory:
        state = STATES.get(OplockLevel(request.requested_oplock_level), 0) if _is_level(request) else 0
        if state:
            context.server.opens.grant_oplock(entry, state, Oplock(opened, context.server.breaks))


def _is_level(request: CreateRequest) -> bool:
    return request.requested_oplock_level in STATES


def _grant_lease(context: RequestContext, opened: SmbOpen, asked: LeaseV1 | LeaseV2) -> None:
    if opened.is_directory and not isinstance(asked, LeaseV2):
        return
    leases, guid = context.server.leases, context.connection.client_guid
    number = opened.inode.number
    lease = leases.find(guid, asked.lease_key)
    if lease is not None and lease.grant.number != number:
        raise SmbError(Status.INVALID_PARAMETER, "the lease key is that of another file")
    if lease is None:
        parent_key = _parent_key(asked)
        epoch = asked.epoch if isinstance(asked, LeaseV2) else 0
        lease = leases.add(
            guid,
            asked.lease_key,
            number,
            is_v2=isinstance(asked, LeaseV2),
            epoch=epoch,
            parent_key=parent_key,
        )
    if lease is None:
        return
    wanted = asked.lease_state & (READ | HANDLE) if opened.is_directory else asked.lease_state
    before = lease.grant.state
    assert opened.entry is not None, "only files and directories are leased"
    context.server.opens.grant_lease(opened.entry, lease.grant, wanted)
    if lease.grant.state != before:
        lease.advance()


def _parent_key(asked: LeaseV1 | LeaseV2) -> bytes | None:
    if isinstance(asked, LeaseV2) and asked.lease_flags & LeaseFlags.PARENT_LEASE_KEY_SET:
        return asked.parent_lease_key
    return None


def answer_lease(opened: SmbOpen) -> list[RawContext]:
    """The context that tells the state of the open's lease, none where it has no lease."""
    grant = opened.grant
    if grant is None or not isinstance(grant.holder, Lease):
        return []
    lease = grant.holder
    flags = LeaseFlags.BREAK_IN_PROGRESS if grant.breaking else 0
    if not lease.is_v2:
        return [(REQUEST_LEASE, LeaseV1(lease.key, grant.state, flags).pack())]
    if lease.parent_key is not None:
        flags |= LeaseFlags.PARENT_LEASE_KEY_SET
    answer = LeaseV2(lease.key, grant.state, flags, 0, lease.parent_key or bytes(16), lease.epoch)
    return [(REQUEST_LEASE, answer.pack())]
