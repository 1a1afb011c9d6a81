"""QUERY_INFO: what an open's file, its file system and its security look like (MS-SMB2 3.3.5.20)."""

from odxfs.ntstatus import Status
from odxfs.smb.information.answer import Information
from odxfs.smb.information.file_queries import query_file
from odxfs.smb.information.filesystem_queries import query_filesystem
from odxfs.smb.information.pipe_queries import query_pipe
from odxfs.smb.information.security import query_security
from odxfs.smb.opens import SmbOpen
from odxfs.smb.request import Answer, RequestContext, SmbError
from odxfs.smb.token_share import check_query
from odxfs.wire.query_info import InfoType, QueryInfoRequest, QueryInfoResponse


async def query_info(context: RequestContext) -> QueryInfoResponse | Answer:
    """Handle one request.

    SmbError: INFO_LENGTH_MISMATCH when the room is smaller than the fixed part of the class. A variable part that does not
    fit is cut, with BUFFER_OVERFLOW; of a list of streams the entries that fit are told.
    """
    request = QueryInfoRequest.unpack(context.pdu)
    opened = context.find_open(request.file_id)
    if opened.tree.is_tokens:
        check_query(request)
    longest = context.server.settings.max_transact_bytes
    if request.output_buffer_length > longest or len(request.input_buffer) > longest:
        raise SmbError(Status.INVALID_PARAMETER)
    information = await _query(context, opened, request)
    if isinstance(information, Answer):
        return information
    if request.output_buffer_length < information.fixed_bytes:
        raise SmbError(Status.INFO_LENGTH_MISMATCH)
    if request.output_buffer_length < len(information.data):
        cut = information.within(request.output_buffer_length)
        return Answer(Status.BUFFER_OVERFLOW, QueryInfoResponse(cut))
    return QueryInfoResponse(information.data)


async def _query(context: RequestContext, opened: SmbOpen, request: QueryInfoRequest) -> Information | Answer:
    if request.info_type == InfoType.FILE:
        if opened.is_pipe:
            return query_pipe(opened, request)
        return await query_file(context, opened, request)
    if request.info_type in (InfoType.FILESYSTEM, InfoType.SECURITY, InfoType.QUOTA) and opened.is_pipe:
        raise SmbError(Status.NOT_SUPPORTED)
    if request.info_type == InfoType.FILESYSTEM:
        return query_filesystem(context, opened, request.file_info_class)
    if request.info_type == InfoType.SECURITY:
        return await query_security(context, opened, request)
    if request.info_type == InfoType.QUOTA:
        raise SmbError(Status.NOT_SUPPORTED, "volumes keep no quotas")
    raise SmbError(Status.INVALID_PARAMETER)
