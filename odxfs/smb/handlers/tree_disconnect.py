"""TREE_DISCONNECT: a session gives up a share (MS-SMB2 3.3.5.8)."""

from odxfs.smb.closing import close_tree
from odxfs.smb.request import RequestContext
from odxfs.wire.tree_disconnect import TreeDisconnectRequest, TreeDisconnectResponse


async def tree_disconnect(context: RequestContext) -> TreeDisconnectResponse:
    """Close the opens of this tree connect."""
    TreeDisconnectRequest.unpack(context.pdu)
    await close_tree(context.server, context.tree)
    return TreeDisconnectResponse()
