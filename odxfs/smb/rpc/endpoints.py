"""Which named pipes there are. CREATE on IPC$ opens them here; impacket is loaded by the first one that is opened."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from odxfs.ntstatus import Status
from odxfs.smb.limits import MAX_PIPES_PER_SESSION
from odxfs.smb.request import SmbError
from odxfs.smb.rpc.pipe import Pipe

if TYPE_CHECKING:
    from odxfs.smb.auth.users import User
    from odxfs.smb.rpc.pipe import Interface
    from odxfs.smb.rpc.srvsvc import ServerFacts
    from odxfs.smb.security.names import Names
    from odxfs.smb.server import SmbServer
    from odxfs.smb.sessions import Session
    from odxfs.smb.shares import Share

SERVER_COMMENT = "odxfs"
PIPE_NAMES = frozenset({"srvsvc", "wkssvc", "lsarpc", "samr"})


def open_pipe(name: str, server: SmbServer, session: Session) -> Pipe:
    """A new open of the pipe `name` (no `PIPE\\` in front, any case).

    SmbError: OBJECT_NAME_NOT_FOUND for others, INSUFFICIENT_RESOURCES when the session has as many as it may.
    """
    folded = name.lower().lstrip("\\")
    if folded not in PIPE_NAMES:
        raise SmbError(Status.OBJECT_NAME_NOT_FOUND, f"there is no pipe {name!r}")
    if sum(opened.is_pipe for opened in session.opens.values()) >= MAX_PIPES_PER_SESSION:
        raise SmbError(Status.INSUFFICIENT_RESOURCES, "too many pipes of one session")
    return Pipe(_interface(folded, server, session.user))


def _interface(name: str, server: SmbServer, caller: User | None) -> Interface:
    from odxfs.smb.rpc import lsarpc, samr, srvsvc, wkssvc

    def names() -> Names:
        return server.names.of(server.settings.server_name)

    if name == "srvsvc":
        return srvsvc.server_service(_facts(server, caller))
    if name == "wkssvc":
        return wkssvc.workstation_service(_facts(server, caller))
    if name == "lsarpc":
        return lsarpc.security_authority(lsarpc.Authority(names))
    return samr.account_manager(samr.Manager(names))


def _facts(server: SmbServer, caller: User | None) -> ServerFacts:
    from odxfs.smb.rpc.srvsvc import IPC_SHARE, SPECIAL_SHARE, ConnectedUser, PublishedShare, ServerFacts

    def shares() -> list[PublishedShare]:
        published = [
            PublishedShare(share.name, share.comment, path=_windows_path(share))
            for share in server.shares.list()
        ]
        return [*published, PublishedShare("IPC$", "IPC Service", SPECIAL_SHARE | IPC_SHARE)]

    def sessions() -> list[ConnectedUser]:
        now = monotonic()
        return [
            ConnectedUser(
                session.connection.peer_address[0],
                session.user.name,
                len(session.opens),
                int(now - session.began_at),
            )
            for session in server.sessions.values()
            if session.user is not None
        ]

    administrator = caller is not None and caller.uid == 0
    name = server.settings.server_name
    return ServerFacts(name, SERVER_COMMENT, shares, sessions, is_administrator=administrator)


def _windows_path(share: Share) -> str:
    """Where a share leads, in the form that Windows' tools expect: the volume as a folder of a drive."""
    return "C:\\" + "\\".join([share.volume, *filter(None, share.path.split("/"))])
