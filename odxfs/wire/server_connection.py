"""The server's half of one SMB2 connection: bytes in, verified requests out, replies to bytes (MS-SMB2 3.3).  SKELETON, being filled in.

`from odxfs.wire.security import SessionSecurity` ; re-exported here.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from odxfs.ntstatus import Status
from odxfs.types import Buffer
from odxfs.wire.header import Header
from odxfs.wire.negotiate import NegotiateRequest, NegotiateResponse
from odxfs.wire.security import SessionSecurity


@dataclass(slots=True)
class Request:
    """One request of a compound. `pdu` starts at the SMB2 header and stays valid for as long as it is held (never overwritten).

    `refusal` is set when the connection layer has already decided the answer (bad or missing signature, unencrypted in an
    encrypting session, unknown session, CreditCharge below the payload): the server answers an ErrorResponse with that
    status and does nothing else. In a related request header.session_id is already the compound's; header.tree_id is raw.
    """

    header: Header
    pdu: memoryview
    signed: bool = False
    refusal: Status | None = None
    smb1_dialects: tuple[str, ...] = ()      # a multi-protocol SMB1 NEGOTIATE: header.command is NEGOTIATE, pdu is the SMB1 message
    granted: bool = False                    # credits were already granted (interim reply)
    security: SessionSecurity | None = None


@dataclass(slots=True)
class Chain:
    """The requests of one compound (usually one), in order."""

    requests: list[Request]
    encrypted: bool = False
    session_id: int = 0


@dataclass(slots=True)
class Reply:
    """The answer to `request`. `body` is what follows the header (without payload); `payload` is never copied before crypto.

    session_id/tree_id: None = the request's. async_id non-zero = the final answer of a request that pended.
    """

    request: Request
    status: int
    body: bytes
    payload: Buffer | None = None
    session_id: int | None = None
    tree_id: int | None = None
    async_id: int = 0


@dataclass(frozen=True, slots=True)
class ServerOffer:
    """What this server offers in NEGOTIATE."""

    server_guid: bytes                       # 16
    min_dialect: int = 0x0210
    max_dialect: int = 0x0311
    signing_required: bool = True
    encryption: bool = True                  # offered at all
    max_transact_bytes: int = 8 << 20
    max_read_bytes: int = 8 << 20
    max_write_bytes: int = 8 << 20


class ServerConnection:
    """Created per TCP connection: ServerConnection(offer). Public state below is read-only for the server."""

    dialect: int                             # 0 before NEGOTIATE, 0x02FF after a multi-protocol one
    cipher: int                              # 0 = none
    signing_algorithm: int
    client_guid: bytes
    client_capabilities: int
    client_security_mode: int
    client_dialects: tuple[int, ...]
    server_capabilities: int
    server_security_mode: int
    supports_multi_credit: bool
    sessions: dict[int, SessionSecurity]

    def get_buffer(self) -> memoryview: ...                        # recv_into this (at least 64 KiB, more inside a large frame) ...
    def received(self, count: int) -> list[Chain]: ...             # ... and say how much came; ProtocolError = close the connection
    def receive(self, data: Buffer) -> list[Chain]: ...            # the same by copying (tests, small inputs)
    def negotiate(self, request: Request, security_token: bytes) -> tuple[Status, NegotiateResponse | None]: ...   # decides everything; (NOT_SUPPORTED, None) when no common dialect
    def derive_keys(self, request: Request, session_id: int, session_key: bytes, *, encrypt_data: bool = False, signing_required: bool | None = None) -> SessionSecurity: ...
        # call on success, before send() of the SESSION_SETUP success; `request` is that last SESSION_SETUP request; registers the session
    def forget_session(self, session_id: int) -> None: ...         # logoff, or a failed login
    def send(self, chain: Chain, replies: Sequence[Reply]) -> list[Buffer]: ...        # one framed message for sendmsg
    def interim(self, chain: Chain, request: Request, async_id: int) -> list[Buffer]: ...   # STATUS_PENDING; grants the credits
    def unsolicited(self, session_id: int, command: int, body: bytes, tree_id: int = 0) -> list[Buffer]: ...   # oplock/lease break, message id all ones
