"""Marking an open file or directory for deletion: FileDispositionInformation(Ex) (MS-FSA 2.1.5.15.3 and .4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from odxfs.ntstatus import Status
from odxfs.opens import Use
from odxfs.smb.access import DELETE, FILE_ATTRIBUTE_READONLY, may_delete, require
from odxfs.smb.caching.waiting import break_caching
from odxfs.smb.request import SmbError
from odxfs.wire.create import CreateOptions
from odxfs.wire.fscc.file_information import DispositionFlags

if TYPE_CHECKING:
    from odxfs.smb.opens import SmbOpen
    from odxfs.smb.request import RequestContext

_KNOWN = 0x1F


async def set_disposition(
    context: RequestContext, opened: SmbOpen, *, delete: bool, ignore_read_only: bool = False
) -> None:
    """Delete at the last close, or not after all. SmbError: CANNOT_DELETE, DIRECTORY_NOT_EMPTY, ACCESS_DENIED."""
    require(opened.granted_access, DELETE)
    number = opened.inode.number
    if not delete:
        context.server.opens.set_delete_pending(number, False, opened.doomed_name)
        return
    if opened.parent is None and not opened.is_stream:
        raise SmbError(Status.CANNOT_DELETE, "the root of a share stays")
    if opened.file_inode.dos_attributes & FILE_ATTRIBUTE_READONLY and not ignore_read_only:
        raise SmbError(Status.CANNOT_DELETE)
    await _require_folder(context, opened)
    await break_caching(context, opened, Use.RENAME)
    if opened.is_directory:
        if await opened.volume.list_directory(number, 0, 1):
            raise SmbError(Status.DIRECTORY_NOT_EMPTY)
        context.server.notifications.directory_marked(number)
    context.server.opens.set_delete_pending(number, True, opened.doomed_name)


async def _require_folder(context: RequestContext, opened: SmbOpen) -> None:
    """What the folder has to say beside the DELETE of the open. SmbError(ACCESS_DENIED)."""
    if opened.is_stream or opened.parent is None:
        return
    folder = await opened.volume.inode(opened.parent)
    for each in (folder, opened.inode):
        await opened.volume.security(each)
    if not may_delete(folder, opened.inode, context.token):
        raise SmbError(Status.ACCESS_DENIED)


async def set_disposition_ex(context: RequestContext, opened: SmbOpen, flags: int) -> None:
    """The same by flags (MS-FSCC 2.4.12). POSIX semantics are not offered: the name goes with the last close."""
    if flags & ~_KNOWN:
        raise SmbError(Status.INVALID_PARAMETER)
    if flags & DispositionFlags.ON_CLOSE:
        _set_delete_on_close(opened, delete=bool(flags & DispositionFlags.DELETE))
        return
    await set_disposition(
        context,
        opened,
        delete=bool(flags & DispositionFlags.DELETE),
        ignore_read_only=bool(flags & DispositionFlags.IGNORE_READONLY_ATTRIBUTE),
    )


def _set_delete_on_close(opened: SmbOpen, *, delete: bool) -> None:
    """Take back what the CREATE asked for, which had to have DELETE for that, or ask for it again. SmbError(NOT_SUPPORTED)."""
    if not opened.create_options & CreateOptions.DELETE_ON_CLOSE:
        raise SmbError(Status.NOT_SUPPORTED, "delete-on-close is chosen at CREATE")
    opened.delete_on_close = delete
