"""NEGOTIATE: which dialect and which cryptography a connection speaks (MS-SMB2 3.3.5.3, 3.3.5.4)."""

import time

from odxfs.ntstatus import Status
from odxfs.smb.auth.acceptor import negotiate_token
from odxfs.smb.request import RequestContext, Response, SmbError
from odxfs.wire.fscc.filetime import from_ns


async def negotiate(context: RequestContext) -> Response:
    """Settle the connection. Raises SmbError with the status of an offer that nothing can be made of."""
    status, response = context.connection.protocol.negotiate(
        context.request,
        negotiate_token(kerberos=context.server.settings.keytab is not None),
        from_ns(time.time_ns()),
    )
    if response is None or status is not Status.SUCCESS:
        raise SmbError(status)
    return response
