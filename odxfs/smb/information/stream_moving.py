"""Renaming a named stream within its file (MS-FSA 2.1.5.15.11.1).

A stream that has the new name is replaced only when it is empty and nobody has it open. A stream becomes a file's own data,
`::$DATA`, when that is empty; the open is then one of the file. The other way round, from `::$DATA` to a name, is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from odxfs.ntstatus import Status
from odxfs.opens import Use
from odxfs.smb.access import FILE_WRITE_DATA, rights
from odxfs.smb.caching.waiting import break_caching_of
from odxfs.smb.request import SmbError
from odxfs.smb.stream_names import parse_specifier
from odxfs.smb.streams import follow_stream_rename, remove_open_stream

if TYPE_CHECKING:
    from odxfs.opens import OpenEntry, OpenTable
    from odxfs.smb.opens import SmbOpen
    from odxfs.smb.request import RequestContext
    from odxfs.volume import Inode


async def rename_stream(context: RequestContext, opened: SmbOpen, path: str, *, replace: bool) -> None:
    """Give the stream that `opened` names the name `path`, which begins with a colon.

    SmbError: INVALID_PARAMETER for what cannot be a name and for a target that is not empty, OBJECT_NAME_COLLISION,
    ACCESS_DENIED for a target that is open, NOT_SUPPORTED for a file's own data.
    """
    try:
        wanted = parse_specifier(path.removeprefix(":"))
    except SmbError as error:
        raise SmbError(Status.INVALID_PARAMETER, str(error)) from error
    base = opened.base
    if wanted.is_index or opened.is_directory:
        raise SmbError(Status.INVALID_PARAMETER)
    if base is None:
        if not wanted.name:
            return
        raise SmbError(Status.NOT_SUPPORTED, "the data of a file stays its data")
    if not wanted.name:
        await _become_data(context, opened, base)
        return

    def permit(target: Inode) -> None:
        if not replace:
            raise SmbError(Status.OBJECT_NAME_COLLISION)
        if context.server.opens.is_open(target.number):
            raise SmbError(Status.ACCESS_DENIED, "the target is open")
        if target.size:
            raise SmbError(Status.INVALID_PARAMETER, "the target is not empty")

    old = opened.stream_name
    if (await opened.volume.find_stream(base, old))[1] is not opened.inode:
        raise SmbError(Status.FILE_DELETED, "the name is another stream's by now")
    await opened.volume.rename_stream(base, old, wanted.name, permit)
    follow_stream_rename(context.server, base, old, wanted.name)


async def _become_data(context: RequestContext, opened: SmbOpen, base: Inode) -> None:
    """The stream's bytes become the file's own: they are shared, then the stream goes."""
    opens, volume, stream = context.server.opens, opened.volume, opened.inode
    await volume.security(base)
    # DELETE of a stream is no right to change what its file holds.
    if not rights(base, context.token) & FILE_WRITE_DATA:
        raise SmbError(Status.ACCESS_DENIED)
    await break_caching_of(context, {base.number}, Use.CHANGE)
    of_file = _open_as_file(opens, opened, base)
    try:
        with opens.changing(base.number, of_file):
            await volume.clone_range(stream, 0, base, 0, stream.size)
            await volume.truncate(base, stream.size)
        await remove_open_stream(opened, base)
    except BaseException:
        opens.close(of_file)
        raise
    if opened.closed:
        opens.close(of_file)
        return
    _turn_to_file(opens, opened, of_file)
    await volume.release(stream)


def _open_as_file(opens: OpenTable, opened: SmbOpen, base: Inode) -> OpenEntry:
    """A place of the open among those of its file, if that is empty and nobody has it locked, nor the stream but this open."""
    entry = opened.entry
    if opened.closed or entry is None:
        raise SmbError(Status.FILE_CLOSED)
    if not base.is_file or base.size:
        raise SmbError(Status.INVALID_PARAMETER)
    if not opens.is_last(entry) or entry.lock_count or opens.is_delete_pending(entry.number):
        raise SmbError(Status.SHARING_VIOLATION)
    if opens.write_conflicts(base.number, 0, opened.inode.size, None):
        raise SmbError(Status.FILE_LOCK_CONFLICT)
    return opens.open(base.number, entry.access, entry.share, opened, name=opened.entry_name)


def _turn_to_file(opens: OpenTable, opened: SmbOpen, of_file: OpenEntry) -> None:
    """The open is one of the file from here on, whose hold it has: it gives up its places in the table for `of_file`."""
    for entry in (opened.entry, opened.base_entry):
        if entry is not None:
            opens.close(entry)
    opened.entry, opened.attached_inode = of_file, opened.base
    opened.base, opened.base_entry, opened.stream_name = None, None, b""
