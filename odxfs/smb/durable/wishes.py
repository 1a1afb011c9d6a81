"""What a CREATE says about durability, and which of it may stand together (MS-SMB2 3.3.5.9.6, .7, .10, .12, .13)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from odxfs.ntstatus import Status
from odxfs.smb.durable.durability import AppInstance
from odxfs.smb.request import SmbError
from odxfs.wire.create import CreateRequest, OplockLevel
from odxfs.wire.create_contexts import (
    REQUEST_LEASE,
    AppInstanceId,
    AppInstanceVersion,
    DurableHandleFlags,
    DurableHandleReconnect,
    DurableHandleReconnectV2,
    DurableHandleRequest,
    DurableHandleRequestV2,
    LeaseState,
    find_create_context,
    unpack_lease,
)
from odxfs.wire.negotiate import Dialect

if TYPE_CHECKING:
    from odxfs.wire.create_contexts import Lease, LeaseV2


@dataclass(frozen=True, slots=True)
class Wishes:
    """The durable contexts of one CREATE that count; a context that the specification lets the server ignore is None.

    `lease` is what RqLs says. `wants_handle_caching`: the oplock or lease that is asked for would let the client keep the open
    after its programs have closed it, which is what durability without persistence rests on.
    """

    request: DurableHandleRequest | None = None
    reconnect: DurableHandleReconnect | None = None
    request_v2: DurableHandleRequestV2 | None = None
    reconnect_v2: DurableHandleReconnectV2 | None = None
    app_instance: AppInstance | None = None
    lease: Lease | LeaseV2 | None = None
    wants_handle_caching: bool = False

    @property
    def create_guid(self) -> bytes:
        """What the client calls this CREATE, so that it can be told from one that is sent again; empty for none."""
        return self.request_v2.create_guid if self.request_v2 is not None else b""

    @property
    def wants_persistence(self) -> bool:
        """Whether a persistent open is asked for."""
        return self.request_v2 is not None and bool(self.request_v2.flags & DurableHandleFlags.PERSISTENT)

    @property
    def is_any(self) -> bool:
        """Whether there is anything to keep about the open."""
        return self.request is not None or self.request_v2 is not None or self.app_instance is not None


def read_wishes(request: CreateRequest, dialect: int) -> Wishes:
    """The wishes of `request` on a connection of `dialect`. SmbError(INVALID_PARAMETER) for contexts that exclude each other."""
    if not request.create_contexts:
        return _NONE
    contexts = request.create_contexts
    first = find_create_context(contexts, DurableHandleRequest.NAME)
    first_again = find_create_context(contexts, DurableHandleReconnect.NAME)
    second = find_create_context(contexts, DurableHandleRequestV2.NAME)
    second_again = find_create_context(contexts, DurableHandleReconnectV2.NAME)
    if dialect < Dialect.SMB_3_0:
        second = second_again = None
    _check_together(first, first_again, second, second_again)
    lease = _lease(request, reconnecting=first_again is not None or second_again is not None)
    return Wishes(
        DurableHandleRequest.unpack(first) if first is not None and first_again is None else None,
        DurableHandleReconnect.unpack(first_again) if first_again is not None else None,
        DurableHandleRequestV2.unpack(second) if second is not None else None,
        DurableHandleReconnectV2.unpack(second_again) if second_again is not None else None,
        _app_instance(request, dialect),
        lease,
        _wants_handle_caching(request, lease),
    )


_NONE = Wishes()


def _check_together(
    first: bytes | None, first_again: bytes | None, second: bytes | None, second_again: bytes | None
) -> None:
    """DHnQ beside DHnC is ignored; a context of version 2 stands alone."""
    of_version_2 = [each for each in (second, second_again) if each is not None]
    of_version_1 = first is not None or first_again is not None
    if len(of_version_2) > 1 or (of_version_2 and of_version_1):
        raise SmbError(Status.INVALID_PARAMETER, "durable contexts that exclude each other")


def _lease(request: CreateRequest, *, reconnecting: bool) -> Lease | LeaseV2 | None:
    """RqLs counts where the oplock level says so (MS-SMB2 3.3.5.9), or nothing but the contexts is looked at."""
    data = find_create_context(request.create_contexts, REQUEST_LEASE)
    if data is None or not (reconnecting or request.requested_oplock_level == OplockLevel.LEASE):
        return None
    return unpack_lease(data)


def _wants_handle_caching(request: CreateRequest, lease: Lease | LeaseV2 | None) -> bool:
    if lease is not None:
        return bool(lease.lease_state & LeaseState.HANDLE_CACHING)
    return request.requested_oplock_level == OplockLevel.BATCH


def _app_instance(request: CreateRequest, dialect: int) -> AppInstance | None:
    data = find_create_context(request.create_contexts, AppInstanceId.NAME)
    if data is None or dialect < Dialect.SMB_3_0:
        return None
    told = find_create_context(request.create_contexts, AppInstanceVersion.NAME)
    version = None
    if told is not None and dialect == Dialect.SMB_3_1_1:
        parts = AppInstanceVersion.unpack(told)
        version = (parts.app_instance_version_high, parts.app_instance_version_low)
    return AppInstance(AppInstanceId.unpack(data).app_instance_id, version)
