"""OPLOCK_BREAK: a client's acknowledgement of a break (MS-SMB2 3.3.5.22). None is ever sent, so none is due."""

from odxfs.ntstatus import Status
from odxfs.smb.request import RequestContext, Response, SmbError

STRUCTURE_SIZE_OFFSET = 64
OPLOCK_STRUCTURE_SIZE = 24
LEASE_STRUCTURE_SIZE = 36


async def oplock_break(context: RequestContext) -> Response:
    """Refuse: no open has an oplock (INVALID_OPLOCK_PROTOCOL) and no client a lease (OBJECT_NAME_NOT_FOUND)."""
    size = int.from_bytes(context.pdu[STRUCTURE_SIZE_OFFSET : STRUCTURE_SIZE_OFFSET + 2], "little")
    if size == OPLOCK_STRUCTURE_SIZE:
        raise SmbError(Status.INVALID_OPLOCK_PROTOCOL)
    if size == LEASE_STRUCTURE_SIZE:
        raise SmbError(Status.OBJECT_NAME_NOT_FOUND)
    raise SmbError(Status.INVALID_PARAMETER)
