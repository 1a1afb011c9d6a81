"""FSCTL_OFFLOAD_READ and FSCTL_OFFLOAD_WRITE on the wire (MS-SMB2 3.3.5.15.8): the last step before the engine.

Both are passed through to the file system, so everything that is checked is in `odxfs.offload.rules`. Only two things are
decided here: tokens are served from SMB 3.0 on, as ONTAP does, and only on shares that hold files.
"""

from odxfs.errors import OffloadRefused, Refusal
from odxfs.offload import OffloadParty, OffloadPolicy, ReadCall, WriteCall
from odxfs.offload.rules import READ_INPUT_BYTES, WRITE_INPUT_BYTES
from odxfs.smb.opens import SmbOpen
from odxfs.smb.request import RequestContext
from odxfs.wire.access_mask import Access
from odxfs.wire.fsctl.offload import (
    ALL_ZERO_BEYOND_CURRENT_RANGE,
    OffloadReadInput,
    OffloadReadOutput,
    OffloadWriteInput,
    OffloadWriteOutput,
)
from odxfs.wire.ioctl import IoctlRequest

FIRST_DIALECT = 0x0300
"""SMB 3.0: Windows and ONTAP neither ask for nor answer copy offload below it."""


async def offload_read(context: RequestContext, opened: SmbOpen | None, request: IoctlRequest) -> bytes:
    """FSCTL_OFFLOAD_READ: a token for a range of the open's file. Raises OffloadRefused, VolumeError."""
    party = _party(context, opened)
    result = await context.server.engine.offload_read(party, _read_call(request))
    return OffloadReadOutput(
        flags=ALL_ZERO_BEYOND_CURRENT_RANGE if result.all_zero_beyond else 0,
        transfer_length=result.transfer_length,
        token=result.token,
    ).pack()


async def offload_write(context: RequestContext, opened: SmbOpen | None, request: IoctlRequest) -> bytes:
    """FSCTL_OFFLOAD_WRITE: a token's bytes into the open's file. Raises OffloadRefused, VolumeError."""
    party = _party(context, opened)
    written = await context.server.engine.offload_write(party, _write_call(request))
    return OffloadWriteOutput(length_written=written).pack()


def _party(context: RequestContext, opened: SmbOpen | None) -> OffloadParty:
    if context.connection.dialect < FIRST_DIALECT:
        raise OffloadRefused(Refusal.DIALECT_TOO_OLD)
    if opened is None or opened.is_pipe:
        raise OffloadRefused(Refusal.NOT_A_FILE_SHARE)
    share, opens, inode, entry = opened.tree.share, context.server.opens, opened.inode, opened.entry
    user, settings = context.session.user, context.server.settings.offload
    return OffloadParty(
        volume=opened.volume,
        inode=inode,
        readable=bool(opened.granted_access & Access.FILE_READ_DATA),
        writable=bool(opened.granted_access & Access.FILE_WRITE_DATA),
        read_only=share.read_only or opened.is_previous_version,
        enabled=share.copy_offload and settings.enabled,
        read_conflicts=lambda offset, length: opens.read_conflicts(inode.number, offset, length, entry),
        write_conflicts=lambda offset, length: opens.write_conflicts(inode.number, offset, length, entry),
        owner=user.name if user is not None else "",
        client=context.connection.peer_address[0],
        svm=context.server.name,
        share=share.name,
        path=opened.path,
        settings=settings,
        policy=OffloadPolicy.parse(share.offload_policy),
    )


def _read_call(request: IoctlRequest) -> ReadCall:
    data, room = request.input_buffer, request.max_output_response
    if len(data) < READ_INPUT_BYTES:
        return ReadCall(len(data), room)
    fields = OffloadReadInput.unpack(data)
    return ReadCall(
        len(data),
        room,
        fields.size,
        fields.token_time_to_live,
        fields.file_offset,
        fields.copy_length,
    )


def _write_call(request: IoctlRequest) -> WriteCall:
    data, room = request.input_buffer, request.max_output_response
    if len(data) < WRITE_INPUT_BYTES:
        return WriteCall(len(data), room)
    fields = OffloadWriteInput.unpack(data)
    return WriteCall(
        len(data),
        room,
        fields.size,
        fields.file_offset,
        fields.copy_length,
        fields.transfer_offset,
        fields.token,
    )
