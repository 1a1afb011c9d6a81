"""What a handler is given and what it gives back."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from odxfs.errors import OdxfsError, UserError
from odxfs.ntstatus import Status, status_name
from odxfs.smb.durable.channel_sequence import is_in_sequence
from odxfs.smb.security.token import token_of
from odxfs.wire.file_id import ANY, FileId

if TYPE_CHECKING:
    from odxfs.smb.connection import Connection
    from odxfs.smb.opens import SmbOpen
    from odxfs.smb.security.token import Token
    from odxfs.smb.server import SmbServer
    from odxfs.smb.sessions import Session
    from odxfs.smb.trees import Tree
    from odxfs.volume import Volume
    from odxfs.wire.exchange import Request
    from odxfs.wire.header import Header

logger = logging.getLogger(__name__)


class SmbError(OdxfsError):
    """A handler's refusal: `status` for the reply, `data` for its ErrorData (MS-SMB2 2.2.2), normally none."""

    def __init__(self, status: Status, message: str = "", data: bytes = b"") -> None:
        super().__init__(message or status_name(status))
        self.status = status
        self.data = data


class Response(Protocol):
    """Any response structure of odxfs.wire."""

    def pack(self) -> bytes:
        """The body that follows the 64-byte header."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A response that goes out under a status other than success (BUFFER_OVERFLOW, MORE_PROCESSING_REQUIRED, ...)."""

    status: Status
    response: Response


@dataclass(slots=True)
class RequestContext:
    """One request on its way through a handler.

    `open` is the open of the related request before this one in a compound, or what this request made (CREATE sets it);
    `related_failure` is why that request made none. `may_pend`: it is the last of its compound. `reply_session_id` and
    `reply_tree_id` are for the reply's header where they differ from the request's. `afterwards` is called once the reply is on
    its way: what it posts follows it. `pender` belongs to the spine: see `waiting`.
    """

    server: SmbServer
    connection: Connection
    request: Request
    header: Header
    pdu: memoryview
    bound_session: Session | None = None
    bound_tree: Tree | None = None
    open: SmbOpen | None = None
    related: bool = False
    may_pend: bool = True
    related_failure: Status | None = None
    encrypted: bool = False
    reply_session_id: int | None = None
    reply_tree_id: int | None = None
    known_token: Token | None = None
    afterwards: tuple[Callable[[], None], ...] = ()
    pender: Callable[[], AbstractAsyncContextManager[None]] | None = field(default=None, repr=False)

    @property
    def session(self) -> Session:
        """The valid session of this request; USER_SESSION_DELETED when there is none."""
        if self.bound_session is None:
            raise SmbError(Status.USER_SESSION_DELETED)
        return self.bound_session

    @property
    def token(self) -> Token:
        """Who the session is in access checks; ACCESS_DENIED when the groups of users cannot be read."""
        if self.known_token is not None:
            return self.known_token
        try:
            self.known_token = token_of(self.session, self.server.users)
            return self.known_token
        except UserError as error:
            logger.error("nobody gets in: %s", error)
            raise SmbError(Status.ACCESS_DENIED) from error

    @property
    def tree(self) -> Tree:
        """The tree connect of this request; NETWORK_NAME_DELETED when there is none."""
        if self.bound_tree is None:
            raise SmbError(Status.NETWORK_NAME_DELETED)
        return self.bound_tree

    def find_open(self, fid: FileId) -> SmbOpen:
        """The open that `fid` names in this session and tree; in a related request the all-ones FileId is the previous one's.

        Raises SmbError: FILE_CLOSED (MS-SMB2 3.3.5.2.7.2 and the first step of each command), FILE_NOT_AVAILABLE (3.3.5.2.10).
        """
        if self.related and (fid == ANY or self.open is not None):
            found = self.open
            if found is None and self.related_failure is not None:
                raise SmbError(self.related_failure)
        else:
            found = self.session.opens.get(fid.volatile)
            if found is not None and found.fid != fid:
                found = None
        if found is None or found.closed or found.tree is not self.bound_tree:
            raise SmbError(Status.FILE_CLOSED)
        self.open = found
        if found.checked_sequence != self.header.status and not is_in_sequence(self, found):
            raise SmbError(
                Status.FILE_NOT_AVAILABLE,
                "a channel was lost, and this request is from the wrong side of that",
            )
        return found

    def waiting(self) -> AbstractAsyncContextManager[None]:
        """Around a wait for somebody else, before which nothing has been changed: the client is told by an interim
        STATUS_PENDING, and may give it up. What the handler does behind it is done, whatever the client wishes meanwhile.

        Raises SmbError: CANCELLED, INSUFFICIENT_RESOURCES past MAX_PENDING_REQUESTS, INTERNAL_ERROR inside a compound (only its
        last request may wait).
        """
        assert self.pender is not None, "a fast path never waits"
        return self.pender()


@dataclass(frozen=True, slots=True)
class AfterCommit:
    """A response that may leave when all that has been written to `volume` by now is durable."""

    context: RequestContext
    response: Response
    volume: Volume


Handler = Callable[[RequestContext], Awaitable[Response | Answer]]
"""One SMB2 command. Raises SmbError, VolumeError, OffloadRefused or ProtocolError; anything else is a bug."""
