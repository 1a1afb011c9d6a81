"""File information classes of SET_INFO (MS-SMB2 3.3.5.21.1, MS-FSA 2.1.5.15)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from odxfs.errors import CutShort
from odxfs.ntstatus import Status
from odxfs.opens import Use
from odxfs.smb.access import FILE_WRITE_ATTRIBUTES, FILE_WRITE_DATA, FILE_WRITE_EA, require
from odxfs.smb.caching.folders import entry_changed
from odxfs.smb.caching.waiting import break_caching, changing
from odxfs.smb.information import deleting, moving
from odxfs.smb.information.allocation import set_aside
from odxfs.smb.information.attributes import SETTABLE, rounded_up
from odxfs.smb.information.extended_attributes import set_eas
from odxfs.smb.opens import VALID_MODES, SmbOpen
from odxfs.smb.request import SmbError
from odxfs.types import MAX_FILE_BYTES
from odxfs.volume import AttributeChange
from odxfs.wire.fscc import file_information as info
from odxfs.wire.fscc import file_names as names
from odxfs.wire.fscc.classes import FileAttributes
from odxfs.wire.fscc.classes import FileInformationClass as Class
from odxfs.wire.fscc.ea import unpack_full_ea
from odxfs.wire.fscc.filetime import KEEP, RESUME_UPDATES, Filetime, to_ns

if TYPE_CHECKING:
    from odxfs.smb.request import RequestContext
    from odxfs.wire.set_info import SetInfoRequest

_QUERY_ONLY_OR_LOCAL = frozenset({Class.QUOTA, Class.REPARSE_POINT})
_OF_THE_OPEN = frozenset({Class.POSITION, Class.MODE})
"""Classes that change the open and not the file."""

_OF_THE_SIZE = frozenset({Class.END_OF_FILE, Class.ALLOCATION})
"""Classes that may change the file's bytes: with write-through they are answered when it is durable, as WRITE is."""

_KNOWN_RENAME_FLAGS = 0x1FF


async def set_file(context: RequestContext, opened: SmbOpen, request: SetInfoRequest) -> None:
    """Apply the class. SmbError as MS-FSA has it; INFO_LENGTH_MISMATCH for a buffer that is too short for the class.

    In a previous version nothing of a file is changed, whatever the open was granted: MEDIA_WRITE_PROTECTED.
    """
    change = _CHANGES.get(request.file_info_class)
    if change is None:
        unknown = request.file_info_class not in _QUERY_ONLY_OR_LOCAL
        raise SmbError(Status.INVALID_INFO_CLASS if unknown else Status.NOT_SUPPORTED)
    if opened.is_previous_version and request.file_info_class not in _OF_THE_OPEN:
        raise SmbError(Status.MEDIA_WRITE_PROTECTED)
    try:
        await change(context, opened, request.buffer)
    except CutShort as error:
        raise SmbError(Status.INFO_LENGTH_MISMATCH, str(error)) from error
    if request.file_info_class in _OF_THE_SIZE and opened.writes_through:
        await opened.volume.sync(opened.inode)


async def _basic(context: RequestContext, opened: SmbOpen, buffer: bytes) -> None:
    """Times and attributes (MS-FSA 2.1.5.15.2)."""
    require(opened.granted_access, FILE_WRITE_ATTRIBUTES)
    wanted = info.FileBasicInformation.unpack(buffer)
    attributes = wanted.file_attributes
    if attributes & FileAttributes.DIRECTORY and not opened.file_inode.is_directory:
        raise SmbError(Status.INVALID_PARAMETER)
    if attributes & FileAttributes.TEMPORARY and opened.file_inode.is_directory:
        raise SmbError(Status.INVALID_PARAMETER)
    change = AttributeChange(
        btime_ns=_time(wanted.creation_time),
        atime_ns=_time(wanted.last_access_time),
        mtime_ns=_write_time(opened, wanted.last_write_time),
        ctime_ns=_change_time(opened, wanted.change_time),
        dos_attributes=_dos_attributes(opened, attributes),
    )
    await opened.volume.set_attributes(opened.file_inode, change)
    entry_changed(context.server, opened)


def _time(filetime: Filetime) -> int | None:
    """0 keeps a time; -1 and -2 switch its automatic updates on this open, and leave it as it is, too."""
    if filetime < RESUME_UPDATES:
        raise SmbError(Status.INVALID_PARAMETER)
    return None if filetime <= KEEP else to_ns(filetime)


def _write_time(opened: SmbOpen, wanted: Filetime) -> int | None:
    """Once a client has set it, LastWriteTime stays through this open until -2 lets it move again."""
    given = _time(wanted)
    if wanted != KEEP:
        opened.keeps_write_time = wanted != RESUME_UPDATES
    return given


def _change_time(opened: SmbOpen, wanted: Filetime) -> int | None:
    """Once a client has set it, ChangeTime stays through this open until -2 lets it move again (MS-FSA 2.1.5.15.2)."""
    if wanted != KEEP:
        opened.keeps_change_time = wanted != RESUME_UPDATES
    given = _time(wanted)
    return opened.file_inode.ctime_ns if given is None and opened.keeps_change_time else given


def _dos_attributes(opened: SmbOpen, wanted: int) -> int | None:
    if wanted == 0:
        return None
    return (wanted & SETTABLE) | (opened.file_inode.dos_attributes & ~SETTABLE)


def _check_target(name: str, root_directory: int) -> None:
    if root_directory or not name:
        raise SmbError(Status.INVALID_PARAMETER)


async def _rename(context: RequestContext, opened: SmbOpen, buffer: bytes) -> None:
    wanted = names.FileRenameInformation.unpack(buffer)
    _check_target(wanted.file_name, wanted.root_directory)
    await moving.rename(context, opened, wanted.file_name, replace=wanted.replace_if_exists)


async def _rename_ex(context: RequestContext, opened: SmbOpen, buffer: bytes) -> None:
    """POSIX semantics are taken as the plain ones: an open target is refused either way."""
    wanted = names.FileRenameInformationEx.unpack(buffer)
    _check_target(wanted.file_name, wanted.root_directory)
    if wanted.flags & ~_KNOWN_RENAME_FLAGS:
        raise SmbError(Status.INVALID_PARAMETER)
    flags = names.RenameFlags
    await moving.rename(
        context,
        opened,
        wanted.file_name,
        replace=bool(wanted.flags & flags.REPLACE_IF_EXISTS),
        ignore_read_only=bool(wanted.flags & flags.IGNORE_READONLY_ATTRIBUTE),
    )


async def _link(context: RequestContext, opened: SmbOpen, buffer: bytes) -> None:
    wanted = names.FileLinkInformation.unpack(buffer)
    _check_target(wanted.file_name, wanted.root_directory)
    await moving.link(context, opened, wanted.file_name, replace=wanted.replace_if_exists)


async def _disposition(context: RequestContext, opened: SmbOpen, buffer: bytes) -> None:
    wanted = info.FileDispositionInformation.unpack(buffer)
    await deleting.set_disposition(context, opened, delete=wanted.delete_pending)


async def _disposition_ex(context: RequestContext, opened: SmbOpen, buffer: bytes) -> None:
    await deleting.set_disposition_ex(context, opened, info.FileDispositionInformationEx.unpack(buffer).flags)


async def _end_of_file(context: RequestContext, opened: SmbOpen, buffer: bytes) -> None:
    require(opened.granted_access, FILE_WRITE_DATA)
    size = info.FileEndOfFileInformation.unpack(buffer).end_of_file
    _check_size(opened, size)
    await break_caching(context, opened, Use.CHANGE)
    with changing(context, opened):
        await opened.volume.truncate(opened.inode, size)
    opened.volume.reserve(opened.inode, 0)


async def _allocation(context: RequestContext, opened: SmbOpen, buffer: bytes) -> None:
    """Less than the size cuts the file. More is shown as set aside: a volume is thin, and only asked whether it has the room.

    MS-FSA 2.1.5.15.1.
    """
    require(opened.granted_access, FILE_WRITE_DATA)
    size = info.FileAllocationInformation.unpack(buffer).allocation_size
    _check_size(opened, size)
    await break_caching(context, opened, Use.CHANGE)
    if rounded_up(size) < rounded_up(opened.inode.size):
        with changing(context, opened):
            await opened.volume.truncate(opened.inode, size)
    set_aside(opened, size)


def _check_size(opened: SmbOpen, size: int) -> None:
    if not opened.inode.is_file or size < 0:
        raise SmbError(Status.INVALID_PARAMETER)
    if size > MAX_FILE_BYTES:
        raise SmbError(Status.DISK_FULL)


async def _position(context: RequestContext, opened: SmbOpen, buffer: bytes) -> None:
    position = info.FilePositionInformation.unpack(buffer).current_byte_offset
    if position < 0:
        raise SmbError(Status.INVALID_PARAMETER)
    opened.position = position


async def _mode(context: RequestContext, opened: SmbOpen, buffer: bytes) -> None:
    mode = info.FileModeInformation.unpack(buffer).mode
    if mode & ~VALID_MODES:
        raise SmbError(Status.INVALID_PARAMETER)
    opened.mode = mode


async def _full_ea(context: RequestContext, opened: SmbOpen, buffer: bytes) -> None:
    require(opened.granted_access, FILE_WRITE_EA)
    await set_eas(opened.volume, opened.file_inode, unpack_full_ea(buffer))
    entry_changed(context.server, opened)


async def _valid_data_length(context: RequestContext, opened: SmbOpen, buffer: bytes) -> None:
    """Only who may manage volumes may show bytes that were never written: nobody here (MS-FSA 2.1.5.15.14)."""
    info.FileValidDataLengthInformation.unpack(buffer)
    raise SmbError(Status.PRIVILEGE_NOT_HELD)


async def _short_name(context: RequestContext, opened: SmbOpen, buffer: bytes) -> None:
    raise SmbError(Status.NOT_SUPPORTED, "there are no 8.3 names")


_CHANGES: dict[int, Callable[[RequestContext, SmbOpen, bytes], Awaitable[None]]] = {
    Class.BASIC: _basic,
    Class.RENAME: _rename,
    Class.RENAME_EX: _rename_ex,
    Class.LINK: _link,
    Class.DISPOSITION: _disposition,
    Class.DISPOSITION_EX: _disposition_ex,
    Class.END_OF_FILE: _end_of_file,
    Class.ALLOCATION: _allocation,
    Class.POSITION: _position,
    Class.MODE: _mode,
    Class.FULL_EA: _full_ea,
    Class.VALID_DATA_LENGTH: _valid_data_length,
    Class.SHORT_NAME: _short_name,
}
