"""What the server and its half of the connection hand each other: requests in, replies out."""

from dataclasses import dataclass

from odxfs.ntstatus import Status
from odxfs.types import Buffer
from odxfs.wire.header import Header
from odxfs.wire.security import SessionSecurity


@dataclass(slots=True, eq=False)
class Request:
    """One request of a compound.

    `pdu` starts at the SMB2 header and is never overwritten while it is held. `refusal`, when it is set, is the answer that
    the connection has already decided on: the server sends an ErrorResponse with that status and does nothing else.
    In a related request header.session_id is already that of the compound; header.tree_id is as it came.
    `smb1_dialects` is set for an SMB1 NEGOTIATE, whose `pdu` is the SMB1 message and whose header is made up.
    `security` is what the request was verified with. `binding` is the session that a SESSION_SETUP adds this connection to, once
    its signature has been verified. `granted` says that an interim reply has granted the credits.
    """

    header: Header
    pdu: memoryview
    signed: bool = False
    refusal: Status | None = None
    security: SessionSecurity | None = None
    binding: SessionSecurity | None = None
    granted: bool = False
    smb1_dialects: tuple[str, ...] = ()


@dataclass(slots=True, eq=False)
class Chain:
    """The requests of one compound (usually one), in order. `security` is the session that decrypted it."""

    requests: list[Request]
    encrypted: bool = False
    session_id: int = 0
    security: SessionSecurity | None = None


@dataclass(slots=True)
class Reply:
    """The answer to `request`: `body` follows the header, `payload` follows the body and is never copied before crypto.

    `session_id` and `tree_id` are the request's unless they are given. A non-zero `async_id` marks the final answer to a
    request that was pending.
    """

    request: Request
    status: int
    body: bytes
    payload: Buffer | None = None
    session_id: int | None = None
    tree_id: int | None = None
    async_id: int = 0
