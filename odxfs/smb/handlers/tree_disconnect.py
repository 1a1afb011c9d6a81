"""TREE_DISCONNECT: a session gives up a share (MS-SMB2 3.3.5.8)."""

from odxfs.smb.closing import close_tree
from odxfs.smb.durable.persistence import forget_durably
from odxfs.smb.request import RequestContext
from odxfs.wire.tree_disconnect import TreeDisconnectRequest, TreeDisconnectResponse


async def tree_disconnect(context: RequestContext) -> TreeDisconnectResponse:
    """Close the opens of this tree connect."""
    TreeDisconnectRequest.unpack(context.pdu)
    opens = [opened for opened in context.session.opens.values() if opened.tree is context.tree]
    await close_tree(context.server, context.tree)
    if any(opened.durability is not None and opened.durability.is_persistent for opened in opens):
        await forget_durably(context.server)
    return TreeDisconnectResponse()
