"""SET_INFO: change what QUERY_INFO shows (MS-SMB2 3.3.5.21)."""

from odxfs.ntstatus import Status
from odxfs.smb.access import FILE_WRITE_DATA, require
from odxfs.smb.information.file_changes import set_file
from odxfs.smb.information.security import set_security
from odxfs.smb.opens import SmbOpen
from odxfs.smb.request import RequestContext, SmbError
from odxfs.wire.query_info import InfoType
from odxfs.wire.set_info import SetInfoRequest, SetInfoResponse

FS_LABEL, FS_CONTROL, FS_OBJECT_ID = 2, 6, 8


async def set_info(context: RequestContext) -> SetInfoResponse:
    """Handle one request; what is not built is refused as MS-SMB2 3.3.5.21 says."""
    request = SetInfoRequest.unpack(context.pdu)
    opened = context.find_open(request.file_id)
    if len(request.buffer) > context.server.settings.max_transact_bytes:
        raise SmbError(Status.INVALID_PARAMETER)
    if opened.is_pipe:
        raise SmbError(Status.NOT_SUPPORTED)
    if request.info_type == InfoType.FILE:
        await set_file(context, opened, request)
    elif request.info_type == InfoType.FILESYSTEM:
        _refuse_filesystem(opened, request.file_info_class)
    elif request.info_type == InfoType.SECURITY:
        await set_security(context, opened, request.additional_information, request.buffer)
    elif request.info_type == InfoType.QUOTA:
        raise SmbError(Status.NOT_SUPPORTED, "volumes keep no quotas")
    else:
        raise SmbError(Status.INVALID_PARAMETER)
    return SetInfoResponse()


def _refuse_filesystem(opened: SmbOpen, info_class: int) -> None:
    """Label, quota control and object id of a volume are not a client's to set (MS-SMB2 3.3.5.21.2)."""
    if info_class in (FS_CONTROL, FS_OBJECT_ID):
        require(opened.granted_access, FILE_WRITE_DATA)
        raise SmbError(Status.NOT_SUPPORTED)
    if info_class == FS_LABEL:
        raise SmbError(Status.NOT_SUPPORTED)
    raise SmbError(Status.INVALID_INFO_CLASS)
