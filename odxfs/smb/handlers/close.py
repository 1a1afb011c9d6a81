"""CLOSE: the end of an open (MS-SMB2 3.3.5.10)."""

from odxfs.smb.closing import close_open
from odxfs.smb.durable.persistence import forget_durably
from odxfs.smb.information.attributes import allocation_size, end_of_file, open_attributes, times_of
from odxfs.smb.opens import SmbOpen
from odxfs.smb.request import RequestContext
from odxfs.wire.close import CloseFlags, CloseRequest, CloseResponse


async def close(context: RequestContext) -> CloseResponse:
    """Close the open; with POSTQUERY_ATTRIB the answer tells what the file looked like then."""
    request = CloseRequest.unpack(context.pdu)
    opened = context.find_open(request.file_id)
    queried = bool(request.flags & CloseFlags.POSTQUERY_ATTRIB) and not opened.is_pipe
    response = _attributes(opened) if queried else CloseResponse()
    await close_open(context.server, opened)
    if opened.durability is not None and opened.durability.is_persistent:
        await forget_durably(context.server)
    return response


def _attributes(opened: SmbOpen) -> CloseResponse:
    inode = opened.inode
    times = times_of(opened.file_inode)
    return CloseResponse(
        flags=CloseFlags.POSTQUERY_ATTRIB,
        creation_time=times.creation,
        last_access_time=times.last_access,
        last_write_time=times.last_write,
        change_time=times.change,
        allocation_size=allocation_size(inode),
        end_of_file=end_of_file(inode),
        file_attributes=open_attributes(opened),
    )
