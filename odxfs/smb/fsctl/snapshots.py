"""FSCTL_SRV_ENUMERATE_SNAPSHOTS: which previous versions there are (MS-SMB2 3.3.5.15.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from odxfs.ntstatus import Status
from odxfs.smb.fsctl.call import needed
from odxfs.smb.previous_versions import tokens_of
from odxfs.smb.request import SmbError
from odxfs.wire.fsctl.snapshots import MINIMUM_BYTES, SrvSnapshotArray

if TYPE_CHECKING:
    from odxfs.smb.opens import SmbOpen
    from odxfs.smb.request import RequestContext
    from odxfs.wire.ioctl import IoctlRequest


async def enumerate_snapshots(
    context: RequestContext, opened: SmbOpen | None, request: IoctlRequest
) -> bytes:
    """All snapshots of the share's volume, newest first; counts only where not all of them fit.

    Whether the open's file is in them is for the client to find out, by opening it in each.
    """
    found = needed(opened)
    if found.is_pipe:
        raise SmbError(Status.INVALID_DEVICE_REQUEST)
    if request.max_output_response < MINIMUM_BYTES:
        raise SmbError(Status.INVALID_PARAMETER)
    return SrvSnapshotArray.of(tokens_of(found.volume), request.max_output_response).pack()
