"""FLUSH: make what was written durable (MS-SMB2 3.3.5.11)."""

from odxfs.smb.access import FILE_APPEND_DATA, FILE_WRITE_DATA, require
from odxfs.smb.request import AfterCommit, RequestContext
from odxfs.wire.flush import FlushRequest, FlushResponse


def flush_now(context: RequestContext) -> AfterCommit | None:
    """The answer for when what was written is durable; None for everything else."""
    opened = context.find_open(FlushRequest.unpack(context.pdu).file_id)
    if opened.is_pipe or opened.volume.pool.threads.is_slow:
        return None
    require(opened.granted_access, FILE_WRITE_DATA | FILE_APPEND_DATA)
    return AfterCommit(context, FlushResponse(), opened.volume)


async def flush(context: RequestContext) -> FlushResponse:
    """Answer when everything written to the file before is on stable storage. A pipe has nothing to flush."""
    request = FlushRequest.unpack(context.pdu)
    opened = context.find_open(request.file_id)
    if not opened.is_pipe:
        require(opened.granted_access, FILE_WRITE_DATA | FILE_APPEND_DATA)
        await opened.volume.sync(opened.inode)
    return FlushResponse()
