"""QUERY_DIRECTORY: the names in a directory (MS-SMB2 3.3.5.18, MS-FSA 2.1.5.6.3)."""

from functools import partial

from odxfs.errors import VolumeError
from odxfs.ntstatus import Status
from odxfs.smb.access import FILE_LIST_DIRECTORY, is_listed, require
from odxfs.smb.directory.entries import pack_listed
from odxfs.smb.directory.enumeration import Enumeration, Listed
from odxfs.smb.directory.pattern import MAX_PATTERN_CHARACTERS
from odxfs.smb.opens import SmbOpen
from odxfs.smb.request import RequestContext, SmbError
from odxfs.wire.cursor import pack_chain
from odxfs.wire.fscc.directory_information import ENTRY_ALIGNMENT, form_of
from odxfs.wire.query_directory import QueryDirectoryFlags, QueryDirectoryRequest, QueryDirectoryResponse


async def query_directory(context: RequestContext) -> QueryDirectoryResponse:
    """Handle one request. SmbError: NO_SUCH_FILE where the first of a scan finds nothing, else NO_MORE_FILES, and the checks'."""
    request = QueryDirectoryRequest.unpack(context.pdu)
    opened = context.find_open(request.file_id)
    _check(context, opened, request)
    if request.output_buffer_length < form_of(request.file_information_class).minimum_bytes:
        raise SmbError(Status.INFO_LENGTH_MISMATCH)
    enumeration = _enumeration(context, opened, request)
    async with enumeration.lock:
        if request.flags & (QueryDirectoryFlags.RESTART_SCANS | QueryDirectoryFlags.REOPEN):
            enumeration.restart(request.file_name)
        entries = await _gather(enumeration, request)
        is_first, enumeration.answered = not enumeration.answered, True
        if not entries:
            raise SmbError(Status.NO_SUCH_FILE if is_first else Status.NO_MORE_FILES)
    return QueryDirectoryResponse(pack_chain(entries, ENTRY_ALIGNMENT))


def _check(context: RequestContext, opened: SmbOpen, request: QueryDirectoryRequest) -> None:
    if not opened.is_directory:
        raise SmbError(Status.INVALID_PARAMETER)
    if request.output_buffer_length > context.server.settings.max_transact_bytes:
        raise SmbError(Status.INVALID_PARAMETER)
    require(opened.granted_access, FILE_LIST_DIRECTORY)
    pattern = request.file_name
    if "\\" in pattern or "/" in pattern or len(pattern) > MAX_PATTERN_CHARACTERS:
        raise SmbError(Status.OBJECT_NAME_INVALID)


def _enumeration(context: RequestContext, opened: SmbOpen, request: QueryDirectoryRequest) -> Enumeration:
    """The scan of this open; the first request's pattern is kept until a restart brings another (an empty one is `*`)."""
    if not isinstance(opened.enumeration, Enumeration):
        hides = opened.tree.share.access_based_enumeration
        opened.enumeration = Enumeration(
            opened.volume,
            opened.inode.number,
            opened.view.root,
            request.file_name or "*",
            partial(is_listed, token=context.token) if hides else None,
        )
    return opened.enumeration


async def _gather(enumeration: Enumeration, request: QueryDirectoryRequest) -> list[bytes]:
    """The next entries that fit into the answer; INFO_LENGTH_MISMATCH when not even the first does."""
    entries: list[bytes] = []
    used = 0
    while (listed := await _next(enumeration, entries)) is not None:
        packed = pack_listed(request.file_information_class, listed)
        if used + len(packed) > request.output_buffer_length:
            enumeration.push_back(listed)
            if not entries:
                raise SmbError(Status.INFO_LENGTH_MISMATCH)
            break
        entries.append(packed)
        used += len(packed) + -len(packed) % ENTRY_ALIGNMENT
        if request.flags & QueryDirectoryFlags.RETURN_SINGLE_ENTRY:
            break
    return entries


async def _next(enumeration: Enumeration, gathered: list[bytes]) -> Listed | None:
    """The next name; None at the end, and where something fails behind names that are gathered: that is for the next request."""
    try:
        return await enumeration.next()
    except VolumeError:
        if not gathered:
            raise
        return None
