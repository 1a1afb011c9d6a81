"""Which named pipes there are. CREATE on IPC$ opens them here; impacket is loaded by the first one that is opened."""

from __future__ import annotations

from typing import TYPE_CHECKING

from odxfs.ntstatus import Status
from odxfs.smb.request import SmbError
from odxfs.smb.rpc.pipe import Pipe

if TYPE_CHECKING:
    from odxfs.smb.rpc.srvsvc import PublishedShare, ServerFacts
    from odxfs.smb.server import SmbServer

SERVER_COMMENT = "odxfs"
PIPE_NAMES = frozenset({"srvsvc", "wkssvc"})


def open_pipe(name: str, server: SmbServer) -> Pipe:
    """A new open of the pipe `name` (no `PIPE\\` in front, any case); SmbError(OBJECT_NAME_NOT_FOUND) for others."""
    folded = name.lower().lstrip("\\")
    if folded not in PIPE_NAMES:
        raise SmbError(Status.OBJECT_NAME_NOT_FOUND, f"there is no pipe {name!r}")
    from odxfs.smb.rpc.srvsvc import server_service
    from odxfs.smb.rpc.wkssvc import workstation_service

    facts = _facts(server)
    return Pipe(server_service(facts) if folded == "srvsvc" else workstation_service(facts))


def _facts(server: SmbServer) -> ServerFacts:
    from odxfs.smb.rpc.srvsvc import IPC_SHARE, SPECIAL_SHARE, PublishedShare, ServerFacts

    def shares() -> list[PublishedShare]:
        published = [PublishedShare(share.name, share.comment) for share in server.shares.list()]
        return [*published, PublishedShare("IPC$", "IPC Service", SPECIAL_SHARE | IPC_SHARE)]

    return ServerFacts(server.settings.server_name, SERVER_COMMENT, shares)
