"""FLUSH: make what was written durable (MS-SMB2 3.3.5.11)."""

from odxfs.smb.access import FILE_APPEND_DATA, FILE_WRITE_DATA, require
from odxfs.smb.opens import SmbOpen
from odxfs.smb.request import AfterCommit, RequestContext
from odxfs.wire.flush import FlushRequest, FlushResponse


def flush_now(context: RequestContext) -> AfterCommit | None:
    """The answer for when what was written is durable; None for everything else."""
    opened = _find_open(context)
    if opened.is_pipe or opened.volume.pool.threads.is_slow:
        return None
    return AfterCommit(context, FlushResponse(), opened.volume)


async def flush(context: RequestContext) -> FlushResponse:
    """Answer when everything written to the file before is on stable storage. A pipe has nothing to flush."""
    opened = _find_open(context)
    if not opened.is_pipe:
        await opened.volume.sync(opened.inode)
    return FlushResponse()


def _find_open(context: RequestContext) -> SmbOpen:
    """The open, when it may be flushed."""
    opened = context.find_open(FlushRequest.unpack(context.pdu).file_id)
    if not opened.is_pipe:
        require(opened.granted_access, FILE_WRITE_DATA | FILE_APPEND_DATA)
    return opened
