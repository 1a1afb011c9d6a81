"""What a named pipe answers to QUERY_INFO (MS-FSCC 2.4.37, 2.4.38, 2.4.47): clients ask before they bind."""

from odxfs.ntstatus import Status
from odxfs.smb.information.answer import Information, fixed
from odxfs.smb.opens import SmbOpen
from odxfs.smb.request import SmbError
from odxfs.smb.rpc.pipe import MAX_FRAGMENT_BYTES
from odxfs.wire.fscc import file_information as info
from odxfs.wire.fscc.classes import FileAttributes
from odxfs.wire.fscc.classes import FileInformationClass as Class
from odxfs.wire.fscc.filetime import NONE
from odxfs.wire.query_info import QueryInfoRequest

MESSAGE_TYPE, FULL_DUPLEX, UNLIMITED_INSTANCES = 1, 2, 0xFFFFFFFF
CONNECTED_STATE, CLIENT_END = 3, 0
MESSAGE_MODE, QUEUE_OPERATION = 1, 0


def query_pipe(opened: SmbOpen, request: QueryInfoRequest) -> Information:
    """The class asked for; SmbError(INVALID_INFO_CLASS) for what no pipe has."""
    assert opened.pipe is not None
    info_class = request.file_info_class
    if info_class == Class.STANDARD:
        return fixed(info.FileStandardInformation(MAX_FRAGMENT_BYTES, 0, 1, True, False).pack())
    if info_class == Class.BASIC:
        return fixed(info.FileBasicInformation(NONE, NONE, NONE, NONE, FileAttributes.NORMAL).pack())
    if info_class == Class.ACCESS:
        return fixed(info.FileAccessInformation(opened.granted_access).pack())
    if info_class == Class.PIPE:
        return fixed(info.FilePipeInformation(MESSAGE_MODE, QUEUE_OPERATION).pack())
    if info_class == Class.PIPE_LOCAL:
        return fixed(_local(opened.pipe.waiting_bytes).pack())
    raise SmbError(Status.INVALID_INFO_CLASS)


def _local(waiting_bytes: int) -> info.FilePipeLocalInformation:
    return info.FilePipeLocalInformation(
        named_pipe_type=MESSAGE_TYPE,
        named_pipe_configuration=FULL_DUPLEX,
        maximum_instances=UNLIMITED_INSTANCES,
        current_instances=1,
        inbound_quota=MAX_FRAGMENT_BYTES,
        read_data_available=waiting_bytes,
        outbound_quota=MAX_FRAGMENT_BYTES,
        write_quota_available=MAX_FRAGMENT_BYTES,
        named_pipe_state=CONNECTED_STATE,
        named_pipe_end=CLIENT_END,
    )
