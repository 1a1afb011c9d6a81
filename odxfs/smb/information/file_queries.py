"""File information classes of QUERY_INFO (MS-SMB2 3.3.5.20.1, MS-FSA 2.1.5.12)."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING

from odxfs.errors import NotFound
from odxfs.ntstatus import Status
from odxfs.smb.access import FILE_READ_ATTRIBUTES, FILE_READ_EA, require
from odxfs.smb.information.answer import Information, fixed
from odxfs.smb.information.attributes import (
    allocation_size,
    end_of_file,
    open_attributes,
    reparse_tag,
    times_of,
    visible_links,
)
from odxfs.smb.information.extended_attributes import ea_size, query_full_ea
from odxfs.smb.information.present_path import present_path
from odxfs.smb.information.volume_identity import serial_number
from odxfs.smb.request import Answer, SmbError
from odxfs.smb.stream_names import DATA_TYPE, wire_stream_name
from odxfs.wire.fscc import file_information as info
from odxfs.wire.fscc import file_names as names
from odxfs.wire.fscc.classes import FileInformationClass as Class

if TYPE_CHECKING:
    from odxfs.smb.opens import SmbOpen
    from odxfs.smb.request import RequestContext
    from odxfs.wire.query_info import QueryInfoRequest

_NAME_FIXED_BYTES = 8
"""FileNameLength and the first character, as sizeof counts them (MS-FSCC 2.4.32)."""

_SHORT_NAME = re.compile(r"[A-Za-z0-9!#$%&'()@^_`{}~-]{1,8}(\.[A-Za-z0-9!#$%&'()@^_`{}~-]{1,3})?")
_ALL_FIXED_BYTES = 104
_STREAM_FIXED_BYTES = 32
_NEEDS_READ_ATTRIBUTES = frozenset(
    {Class.BASIC, Class.ALL, Class.NETWORK_OPEN, Class.ATTRIBUTE_TAG, Class.PIPE, Class.PIPE_LOCAL, Class.ID}
)
_NOT_SUPPORTED = frozenset({Class.QUOTA, Class.HARD_LINK, Class.REPARSE_POINT, Class.PIPE_REMOTE})
"""Classes that MS-FSCC knows for queries and this server does not answer."""


async def query_file(
    context: RequestContext, opened: SmbOpen, request: QueryInfoRequest
) -> Information | Answer:
    """The class asked for. SmbError: ACCESS_DENIED, NOT_SUPPORTED, INVALID_INFO_CLASS."""
    info_class = request.file_info_class
    if info_class in _NEEDS_READ_ATTRIBUTES:
        require(opened.granted_access, FILE_READ_ATTRIBUTES)
    if info_class == Class.FULL_EA:
        require(opened.granted_access, FILE_READ_EA)
        return await query_full_ea(opened, request)
    query = _QUERIES.get(info_class)
    if query is not None:
        return query(context, opened)
    slow_query = _SLOW_QUERIES.get(info_class)
    if slow_query is not None:
        return await slow_query(context, opened)
    raise SmbError(Status.NOT_SUPPORTED if info_class in _NOT_SUPPORTED else Status.INVALID_INFO_CLASS)


def _basic_information(opened: SmbOpen) -> info.FileBasicInformation:
    times = times_of(opened.file_inode)
    return info.FileBasicInformation(
        times.creation, times.last_access, times.last_write, times.change, open_attributes(opened)
    )


def _standard_information(context: RequestContext, opened: SmbOpen) -> info.FileStandardInformation:
    inode, opens = opened.inode, context.server.opens
    doomed = opens.is_delete_pending(inode.number, opened.doomed_name)
    pending = doomed or opened.delete_on_close
    links = visible_links(opened.file_inode) - opens.count_doomed(inode.number) - (pending and not doomed)
    return info.FileStandardInformation(
        allocation_size(inode), end_of_file(inode), max(links, 0), pending, opened.is_directory
    )


def _basic(context: RequestContext, opened: SmbOpen) -> Information:
    return fixed(_basic_information(opened).pack())


def _standard(context: RequestContext, opened: SmbOpen) -> Information:
    return fixed(_standard_information(context, opened).pack())


def _internal(context: RequestContext, opened: SmbOpen) -> Information:
    return fixed(info.FileInternalInformation(opened.file_inode.number).pack())


def _access(context: RequestContext, opened: SmbOpen) -> Information:
    return fixed(info.FileAccessInformation(opened.granted_access).pack())


def _position(context: RequestContext, opened: SmbOpen) -> Information:
    return fixed(info.FilePositionInformation(opened.position).pack())


def _mode(context: RequestContext, opened: SmbOpen) -> Information:
    return fixed(info.FileModeInformation(opened.mode).pack())


def _alignment(context: RequestContext, opened: SmbOpen) -> Information:
    return fixed(info.FileAlignmentInformation(0).pack())


def _network_open(context: RequestContext, opened: SmbOpen) -> Information:
    inode, times = opened.inode, times_of(opened.file_inode)
    return fixed(
        info.FileNetworkOpenInformation(
            times.creation,
            times.last_access,
            times.last_write,
            times.change,
            allocation_size(inode),
            end_of_file(inode),
            open_attributes(opened),
        ).pack()
    )


def _attribute_tag(context: RequestContext, opened: SmbOpen) -> Information:
    inode = opened.inode
    return fixed(info.FileAttributeTagInformation(open_attributes(opened), reparse_tag(inode)).pack())


def _compression(context: RequestContext, opened: SmbOpen) -> Information:
    return fixed(info.FileCompressionInformation(end_of_file(opened.inode)).pack())


def _standard_link(context: RequestContext, opened: SmbOpen) -> Information:
    inode = opened.inode
    pending = context.server.opens.is_delete_pending(inode.number, opened.doomed_name)
    links = visible_links(opened.file_inode)
    return fixed(info.FileStandardLinkInformation(links, links, pending, opened.is_directory).pack())


def _id(context: RequestContext, opened: SmbOpen) -> Information:
    return fixed(info.FileIdInformation(serial_number(context, opened), opened.file_inode.number).pack())


async def _name(context: RequestContext, opened: SmbOpen) -> Information:
    return Information((await _file_name(context, opened)).pack(), _NAME_FIXED_BYTES)


async def _file_name(context: RequestContext, opened: SmbOpen) -> names.FileNameInformation:
    path = await present_path(context.server.opens, opened)
    return names.FileNameInformation("\\" + opened.with_stream(path))


async def _normalized_name(context: RequestContext, opened: SmbOpen) -> Information:
    """Only from 3.1.1 on (MS-SMB2 3.3.5.20.1)."""
    if context.connection.dialect < 0x0311:
        raise SmbError(Status.NOT_SUPPORTED)
    path = await present_path(context.server.opens, opened)
    return Information(
        names.FileNormalizedNameInformation(opened.with_stream(path)).pack(), _NAME_FIXED_BYTES
    )


async def _alternate_name(context: RequestContext, opened: SmbOpen) -> Information:
    """A name that fits into 8.3 is its own short name; others have none (MS-FSA 2.1.5.12.2)."""
    path = await present_path(context.server.opens, opened)
    name = path.rpartition("\\")[2]
    if not _SHORT_NAME.fullmatch(name):
        raise SmbError(Status.OBJECT_NAME_NOT_FOUND)
    return Information(names.FileAlternateNameInformation(name).pack(), _NAME_FIXED_BYTES)


async def _stream(context: RequestContext, opened: SmbOpen) -> Information:
    """The unnamed stream of a file, which a directory has not, and the named ones."""
    file, volume = opened.file_inode, opened.volume
    streams = []
    if file.is_file:
        streams.append(names.FileStreamInformation("::$DATA", end_of_file(file), allocation_size(file)))
    for entry in await volume.list_streams(file):
        try:
            stream = await volume.inode(entry.number)
        except NotFound:
            continue  # removed since they were listed
        name = f":{wire_stream_name(entry.name)}:{DATA_TYPE}"
        streams.append(names.FileStreamInformation(name, end_of_file(stream), allocation_size(stream)))
    if not streams:
        return Information(b"", 0)
    return Information(names.pack_streams(streams), _STREAM_FIXED_BYTES, partial(names.pack_streams, streams))


async def _ea(context: RequestContext, opened: SmbOpen) -> Information:
    return fixed(info.FileEaInformation(await ea_size(opened.volume, opened.file_inode)).pack())


async def _all(context: RequestContext, opened: SmbOpen) -> Information:
    everything = names.FileAllInformation(
        _basic_information(opened),
        _standard_information(context, opened),
        info.FileInternalInformation(opened.file_inode.number),
        info.FileEaInformation(await ea_size(opened.volume, opened.file_inode)),
        info.FileAccessInformation(opened.granted_access),
        info.FilePositionInformation(opened.position),
        info.FileModeInformation(opened.mode),
        info.FileAlignmentInformation(0),
        await _file_name(context, opened),
    )
    return Information(everything.pack(), _ALL_FIXED_BYTES)


_QUERIES: dict[int, Callable[[RequestContext, SmbOpen], Information]] = {
    Class.BASIC: _basic,
    Class.STANDARD: _standard,
    Class.INTERNAL: _internal,
    Class.ACCESS: _access,
    Class.POSITION: _position,
    Class.MODE: _mode,
    Class.ALIGNMENT: _alignment,
    Class.COMPRESSION: _compression,
    Class.NETWORK_OPEN: _network_open,
    Class.ATTRIBUTE_TAG: _attribute_tag,
    Class.STANDARD_LINK: _standard_link,
    Class.ID: _id,
}

_SLOW_QUERIES: dict[int, Callable[[RequestContext, SmbOpen], Awaitable[Information]]] = {
    Class.EA: _ea,
    Class.STREAM: _stream,
    Class.ALL: _all,
    Class.NAME: _name,
    Class.NORMALIZED_NAME: _normalized_name,
    Class.ALTERNATE_NAME: _alternate_name,
}
"""The queries that may have to ask the catalog."""
