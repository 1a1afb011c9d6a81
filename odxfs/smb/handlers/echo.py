"""ECHO: is anybody there (MS-SMB2 3.3.5.17)."""

from odxfs.smb.request import RequestContext
from odxfs.wire.echo import EchoRequest, EchoResponse


async def echo(context: RequestContext) -> EchoResponse:
    """Yes."""
    EchoRequest.unpack(context.pdu)
    return EchoResponse()
