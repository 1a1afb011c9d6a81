"""IOCTL: the checks that all FSCTLs share, and the table of those that are served (MS-SMB2 3.3.5.15)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from odxfs.ntstatus import Status
from odxfs.offload import Mechanism
from odxfs.smb.fsctl import (
    copychunk,
    duplicate_extents,
    negotiation,
    pipes,
    reparse,
    resiliency,
    snapshots,
    sparse,
    storage,
)
from odxfs.smb.fsctl.call import FsctlAnswer, recorded_copy
from odxfs.smb.handlers import fsctl_offload
from odxfs.smb.request import Answer, RequestContext, SmbError
from odxfs.smb.token_share import check_control_code
from odxfs.wire.file_id import ANY
from odxfs.wire.fsctl.codes import Fsctl as Code
from odxfs.wire.ioctl import IoctlFlags, IoctlRequest, IoctlResponse

if TYPE_CHECKING:
    from odxfs.smb.fsctl.call import Fsctl
    from odxfs.smb.opens import SmbOpen

_WITHOUT_OPEN: dict[int, Fsctl] = {
    Code.DFS_GET_REFERRALS: negotiation.dfs_get_referrals,
    Code.DFS_GET_REFERRALS_EX: negotiation.dfs_get_referrals,
    Code.QUERY_NETWORK_INTERFACE_INFO: negotiation.query_network_interface_info,
    Code.VALIDATE_NEGOTIATE_INFO: negotiation.validate_negotiate_info,
    Code.PIPE_WAIT: pipes.pipe_wait,
}
"""FSCTLs whose FileId must be all ones."""

_WITH_OPEN: dict[int, Fsctl] = {
    Code.OFFLOAD_READ: fsctl_offload.offload_read,
    Code.OFFLOAD_WRITE: fsctl_offload.offload_write,
    Code.SRV_ENUMERATE_SNAPSHOTS: snapshots.enumerate_snapshots,
    Code.SRV_REQUEST_RESUME_KEY: copychunk.request_resume_key,
    Code.SRV_COPYCHUNK: copychunk.copychunk,
    Code.SRV_COPYCHUNK_WRITE: copychunk.copychunk_write,
    Code.DUPLICATE_EXTENTS_TO_FILE: duplicate_extents.duplicate_extents,
    Code.DUPLICATE_EXTENTS_TO_FILE_EX: duplicate_extents.duplicate_extents_ex,
    Code.SET_SPARSE: sparse.set_sparse,
    Code.SET_ZERO_DATA: sparse.set_zero_data,
    Code.QUERY_ALLOCATED_RANGES: sparse.query_allocated_ranges,
    Code.FILE_LEVEL_TRIM: sparse.file_level_trim,
    Code.QUERY_FILE_REGIONS: sparse.query_file_regions,
    Code.GET_COMPRESSION: storage.get_compression,
    Code.SET_COMPRESSION: storage.set_compression,
    Code.GET_INTEGRITY_INFORMATION: storage.get_integrity_information,
    Code.SET_INTEGRITY_INFORMATION: storage.set_integrity_information,
    Code.SET_INTEGRITY_INFORMATION_EX: storage.set_integrity_information_ex,
    Code.CREATE_OR_GET_OBJECT_ID: storage.object_id,
    Code.GET_REPARSE_POINT: reparse.get_reparse_point,
    Code.SET_REPARSE_POINT: reparse.set_reparse_point,
    Code.DELETE_REPARSE_POINT: reparse.delete_reparse_point,
    Code.LMR_REQUEST_RESILIENCY: resiliency.request_resiliency,
    Code.PIPE_TRANSCEIVE: pipes.pipe_transceive,
    Code.PIPE_PEEK: pipes.pipe_peek,
}

_CHANGING = frozenset(
    {
        Code.SRV_COPYCHUNK,
        Code.SRV_COPYCHUNK_WRITE,
        Code.DUPLICATE_EXTENTS_TO_FILE,
        Code.DUPLICATE_EXTENTS_TO_FILE_EX,
        Code.SET_SPARSE,
        Code.SET_ZERO_DATA,
        Code.FILE_LEVEL_TRIM,
        Code.SET_COMPRESSION,
        Code.SET_INTEGRITY_INFORMATION,
        Code.SET_INTEGRITY_INFORMATION_EX,
        Code.SET_REPARSE_POINT,
        Code.DELETE_REPARSE_POINT,
    }
)
"""What changes the open's file: MEDIA_WRITE_PROTECTED in a previous version. OFFLOAD_WRITE is refused by the engine's rules."""

_WRITING = frozenset(
    {
        Code.OFFLOAD_WRITE,
        Code.SRV_COPYCHUNK,
        Code.SRV_COPYCHUNK_WRITE,
        Code.DUPLICATE_EXTENTS_TO_FILE,
        Code.DUPLICATE_EXTENTS_TO_FILE_EX,
        Code.SET_ZERO_DATA,
        Code.FILE_LEVEL_TRIM,
    }
)
"""What changes bytes of the open's file: with write-through it is answered when it is durable, as WRITE is."""

_DUPLICATING = frozenset({Code.DUPLICATE_EXTENTS_TO_FILE, Code.DUPLICATE_EXTENTS_TO_FILE_EX})

_COPYING_WITHOUT_TOKENS = _DUPLICATING | {
    Code.SRV_REQUEST_RESUME_KEY,
    Code.SRV_COPYCHUNK,
    Code.SRV_COPYCHUNK_WRITE,
}
"""What an SVM may be told not to serve: NOT_SUPPORTED, as ONTAP answers."""

_KNOWN_BUT_ABSENT = frozenset(int(code) for code in Code) - _WITH_OPEN.keys() - _WITHOUT_OPEN.keys()
"""Codes of MS-FSCC 2.3 that this file system has not got: INVALID_DEVICE_REQUEST, not NOT_SUPPORTED (MS-SMB2 3.3.5.15.8)."""


async def ioctl(context: RequestContext) -> IoctlResponse | Answer:
    """Handle one request: NOT_SUPPORTED for what is no FSCTL or not allowed, INVALID_DEVICE_REQUEST for what is missing."""
    request = IoctlRequest.unpack(context.pdu)
    _check(context, request)
    function, opened = _find(context, request)
    try:
        output = await function(context, opened, request)
    except FsctlAnswer as answer:
        await _sync_if_asked(opened, request.ctl_code)
        return Answer(answer.status, IoctlResponse(request.ctl_code, request.file_id, answer.output))
    await _sync_if_asked(opened, request.ctl_code)
    if len(output) > request.max_output_response:
        raise SmbError(Status.BUFFER_TOO_SMALL)
    return IoctlResponse(request.ctl_code, request.file_id, output)


async def _sync_if_asked(opened: SmbOpen | None, code: int) -> None:
    if code in _WRITING and opened is not None and not opened.is_pipe and opened.writes_through:
        await opened.volume.sync(opened.inode)


def _check(context: RequestContext, request: IoctlRequest) -> None:
    if request.flags != IoctlFlags.IS_FSCTL:
        raise SmbError(Status.NOT_SUPPORTED)
    longest = context.server.settings.max_transact_bytes
    if max(len(request.input_buffer), request.max_input_response, request.max_output_response) > longest:
        raise SmbError(Status.INVALID_PARAMETER)


def _refuse_copy_without_token(context: RequestContext, code: int, opened: SmbOpen) -> NoReturn:
    mechanism = Mechanism.DUPLICATE_EXTENTS if code in _DUPLICATING else Mechanism.COPYCHUNK
    with recorded_copy(context, mechanism, opened):
        raise SmbError(Status.NOT_SUPPORTED, "this server copies by token alone")
    raise AssertionError("what is raised there goes on")


def _find(context: RequestContext, request: IoctlRequest) -> tuple[Fsctl, SmbOpen | None]:
    if context.tree.is_tokens:
        check_control_code(request.ctl_code)
    without_open = _WITHOUT_OPEN.get(request.ctl_code)
    if without_open is not None:
        if request.file_id != ANY:
            raise SmbError(Status.INVALID_PARAMETER)
        return without_open, None
    opened = context.find_open(request.file_id)
    with_open = _WITH_OPEN.get(request.ctl_code)
    if with_open is None:
        known = request.ctl_code in _KNOWN_BUT_ABSENT
        raise SmbError(Status.INVALID_DEVICE_REQUEST if known else Status.NOT_SUPPORTED)
    if request.ctl_code in _COPYING_WITHOUT_TOKENS and not context.server.settings.offload.copychunk:
        _refuse_copy_without_token(context, request.ctl_code, opened)
    if opened.is_previous_version and request.ctl_code in _CHANGING:
        raise SmbError(Status.MEDIA_WRITE_PROTECTED)
    return with_open, opened
