"""FSCTL_LMR_REQUEST_RESILIENCY: an open that waits for its client whatever becomes of the connection (MS-SMB2 3.3.5.15.9)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from odxfs.ntstatus import Status
from odxfs.smb.durable.durability import Durability, Kind
from odxfs.smb.limits import MAX_RESILIENT_SECONDS, RESILIENT_SECONDS
from odxfs.smb.request import SmbError
from odxfs.wire.create import CreateAction
from odxfs.wire.fsctl.resiliency import NetworkResiliencyRequest

if TYPE_CHECKING:
    from odxfs.smb.opens import SmbOpen
    from odxfs.smb.request import RequestContext
    from odxfs.wire.ioctl import IoctlRequest


async def request_resiliency(context: RequestContext, opened: SmbOpen | None, request: IoctlRequest) -> bytes:
    """Keep the open for the time that is asked for once its connection is lost.

    SmbError: INVALID_PARAMETER for too long a time, INVALID_DEVICE_REQUEST for anything but a file. A persistent open is more
    than that already and stays persistent.
    """
    asked = NetworkResiliencyRequest.unpack(request.input_buffer).timeout / 1000
    if asked > MAX_RESILIENT_SECONDS:
        raise SmbError(Status.INVALID_PARAMETER)
    if opened is None or opened.entry is None or not opened.inode.is_file or opened.is_previous_version:
        raise SmbError(Status.INVALID_DEVICE_REQUEST, "only a file can be kept")
    durability = opened.durability
    if durability is None:
        guid = context.connection.client_guid
        durability = opened.durability = Durability(guid, context.session.user_name, CreateAction.OPENED)
    if not durability.is_persistent:
        durability.kind, durability.timeout = Kind.RESILIENT, asked or RESILIENT_SECONDS
    return b""
