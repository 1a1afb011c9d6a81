"""FSCTL_OFFLOAD_READ and FSCTL_OFFLOAD_WRITE on the wire (MS-SMB2 3.3.5.15.8): the last step before the engine.

Both are passed through to the file system, so everything that is checked is in `odxfs.offload.rules`. Decided here: tokens
are served from SMB 3.0 on, as ONTAP does, and only on shares that hold files; and a share's policy may let calls wait.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext

import trio

from odxfs.errors import OffloadRefused, Refusal, UserError, VolumeError
from odxfs.ntstatus import Status
from odxfs.offload import (
    Caller,
    Mechanism,
    OffloadParty,
    OffloadPolicy,
    ReadCall,
    ReadResult,
    WriteCall,
)
from odxfs.offload.rules import READ_INPUT_BYTES, WRITE_INPUT_BYTES
from odxfs.opens import Use
from odxfs.smb.caching.waiting import break_caching, changing
from odxfs.smb.fsctl.call import caller_of, volume_and_number
from odxfs.smb.opens import SmbOpen
from odxfs.smb.request import RequestContext, SmbError
from odxfs.smb.shares import Share
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
    call = _read_call(request)
    with _refusals_recorded(context, opened, "read", call.file_offset, call.copy_length):
        found = _file_of(context, opened)
        share = await _share_after_delay(context, found)
        await _break(context, found, Access.FILE_READ_DATA, Use.READ)
    party = _party(context, found, share)
    result: ReadResult = await context.server.engine.offload_read(party, call)
    return OffloadReadOutput(
        flags=ALL_ZERO_BEYOND_CURRENT_RANGE if result.all_zero_beyond else 0,
        transfer_length=result.transfer_length,
        token=result.token,
    ).pack()


async def offload_write(context: RequestContext, opened: SmbOpen | None, request: IoctlRequest) -> bytes:
    """FSCTL_OFFLOAD_WRITE: a token's bytes into the open's file. Raises OffloadRefused, VolumeError."""
    call = _write_call(request)
    with ExitStack() as change:
        with _refusals_recorded(context, opened, "write", call.file_offset, call.copy_length):
            found = _file_of(context, opened)
            share = await _share_after_delay(context, found)
            await _break(context, found, Access.FILE_WRITE_DATA, Use.CHANGE)
            change.enter_context(_changing(context, found))
        written = await context.server.engine.offload_write(_party(context, found, share), call)
    return OffloadWriteOutput(length_written=written).pack()


async def _break(context: RequestContext, opened: SmbOpen, right: int, use: Use) -> None:
    """A token stands for what the clients have written so far, so they write it; who lacks the right disturbs nobody."""
    if opened.granted_access & right:
        await break_caching(context, opened, use)


def _changing(context: RequestContext, opened: SmbOpen) -> AbstractContextManager[None]:
    """As `changing`; who lacks the right changes nothing."""
    return changing(context, opened) if opened.granted_access & Access.FILE_WRITE_DATA else nullcontext()


@contextmanager
def _refusals_recorded(
    context: RequestContext, opened: SmbOpen | None, call: str, offset: int, length: int
) -> Iterator[None]:
    """Around what comes before the engine: it counts and tells of what ends here, too."""
    try:
        yield
    except (OffloadRefused, SmbError, VolumeError, trio.Cancelled):
        caller = caller_of(context, opened) if opened is not None else Caller(context.server.name)
        volume, number = volume_and_number(opened) if opened is not None else ("", 0)
        with context.server.engine.recorded(Mechanism.OFFLOAD, call, caller, volume, number, offset, length):
            raise


def _file_of(context: RequestContext, opened: SmbOpen | None) -> SmbOpen:
    if context.connection.dialect < FIRST_DIALECT:
        raise OffloadRefused(Refusal.DIALECT_TOO_OLD)
    if opened is None or opened.is_pipe:
        raise OffloadRefused(Refusal.NOT_A_FILE_SHARE)
    return opened


def _party(context: RequestContext, opened: SmbOpen, share: Share) -> OffloadParty:
    opens, inode, entry = context.server.opens, opened.inode, opened.entry
    settings, caller = context.server.settings.offload, caller_of(context, opened)
    return OffloadParty(
        volume=opened.volume,
        inode=inode,
        readable=bool(opened.granted_access & Access.FILE_READ_DATA),
        writable=bool(opened.granted_access & Access.FILE_WRITE_DATA),
        read_only=opened.tree.share.read_only or opened.is_previous_version,
        enabled=share.copy_offload and settings.enabled,
        read_conflicts=lambda offset, length: opens.read_conflicts(inode.number, offset, length, entry),
        write_conflicts=lambda offset, length: opens.write_conflicts(inode.number, offset, length, entry),
        owner=caller.owner,
        client=caller.client,
        svm=caller.svm,
        share=caller.share,
        path=caller.path,
        settings=settings,
        policy=OffloadPolicy.of(share.offload_policy),
        is_given_up=lambda: opened.closed,
    )


def _share_now(context: RequestContext, opened: SmbOpen) -> Share:
    """The share as its administrator has set it up by now; as it was at the tree connect if that cannot be had any more."""
    known = opened.tree.share
    try:
        return context.server.shares.find(known.name) or known
    except UserError:
        return known


async def _share_after_delay(context: RequestContext, opened: SmbOpen) -> Share:
    """The share as it is set up once its policy has let the call wait, which the client may cancel; all else is served."""
    share = _share_now(context, opened)
    seconds = OffloadPolicy.of(share.offload_policy).delay_seconds
    if not seconds:
        return share
    async with context.waiting() if context.may_pend else nullcontext():  # else in silence
        await trio.sleep(seconds)
    if opened.closed:
        raise SmbError(Status.FILE_CLOSED)
    return _share_now(context, opened)


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
