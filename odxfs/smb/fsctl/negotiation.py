"""FSCTLs about the connection: VALIDATE_NEGOTIATE_INFO, QUERY_NETWORK_INTERFACE_INFO, DFS referrals."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import trio

from odxfs.ntstatus import Status
from odxfs.smb.interfaces import local_addresses, plain_address, reachable
from odxfs.smb.request import SmbError
from odxfs.wire.fsctl.network_interface import MAX_INTERFACES, NetworkInterfaceInfo, pack_interfaces
from odxfs.wire.fsctl.validate_negotiate import ValidateNegotiateInfoRequest, ValidateNegotiateInfoResponse

if TYPE_CHECKING:
    from odxfs.smb.connection import Connection
    from odxfs.smb.opens import SmbOpen
    from odxfs.smb.request import RequestContext
    from odxfs.wire.ioctl import IoctlRequest

_SMB_3_0, _SMB_3_1_1 = 0x0300, 0x0311


async def validate_negotiate_info(
    context: RequestContext, opened: SmbOpen | None, request: IoctlRequest
) -> bytes:
    """Was NEGOTIATE changed on its way? A difference, or the question on 3.1.1, ends the connection (MS-SMB2 3.3.5.15.12)."""
    connection = context.connection
    if connection.dialect == _SMB_3_1_1:
        await _drop(connection, "VALIDATE_NEGOTIATE_INFO on a 3.1.1 connection")
    asked = ValidateNegotiateInfoRequest.unpack(request.input_buffer)
    if (
        asked.capabilities != connection.client_capabilities
        or asked.guid != connection.client_guid.bytes_le
        or asked.security_mode != connection.client_security_mode
        or asked.dialects != connection.client_dialects
    ):
        await _drop(connection, "NEGOTIATE was changed on its way to the server")
    if request.max_output_response < ValidateNegotiateInfoResponse.LAYOUT.size:
        await _drop(connection, "no room for the answer that proves what was negotiated")
    return ValidateNegotiateInfoResponse(
        connection.server_capabilities,
        context.server.guid.bytes_le,
        connection.server_security_mode,
        connection.dialect,
    ).pack()


async def _drop(connection: Connection, reason: str) -> NoReturn:
    """End the connection without a reply: what the client gets to see is what an attacker cannot change."""
    connection.abort(reason)
    await trio.sleep_forever()
    raise AssertionError("the connection's tasks are cancelled")


async def query_network_interface_info(
    context: RequestContext, opened: SmbOpen | None, request: IoctlRequest
) -> bytes:
    """The addresses at which the client may open further connections to this server (MS-SMB2 3.3.5.15.11)."""
    connection = context.connection
    if connection.dialect < _SMB_3_0:
        raise SmbError(Status.NOT_SUPPORTED)
    host, port = connection.local_address
    try:
        connected = plain_address(host)
    except ValueError:
        raise SmbError(Status.NOT_SUPPORTED, "this connection has no IP address") from None
    found = await trio.to_thread.run_sync(local_addresses)
    told = reachable(context.server.listening, found, connected, port)[:MAX_INTERFACES]
    output = pack_interfaces(
        [NetworkInterfaceInfo(each.if_index, each.address, each.link_speed) for each in told]
    )
    if len(output) > request.max_output_response:
        raise SmbError(Status.BUFFER_TOO_SMALL)
    return output


async def dfs_get_referrals(context: RequestContext, opened: SmbOpen | None, request: IoctlRequest) -> bytes:
    """There is no DFS here (MS-SMB2 3.3.5.15.2)."""
    raise SmbError(Status.FS_DRIVER_REQUIRED)
