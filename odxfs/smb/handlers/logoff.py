"""LOGOFF: the end of a session and of everything in it (MS-SMB2 3.3.5.6)."""

from odxfs.smb.closing import close_session
from odxfs.smb.request import RequestContext
from odxfs.wire.logoff import LogoffRequest, LogoffResponse


async def logoff(context: RequestContext) -> LogoffResponse:
    """Close the session's opens and forget its keys; this answer is still signed with them."""
    LogoffRequest.unpack(context.pdu)
    await close_session(context.server, context.session)
    return LogoffResponse()
