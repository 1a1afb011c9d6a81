"""The client's half of one SMB2 connection (MS-SMB2 3.2).  SKELETON, being filled in."""

from dataclasses import dataclass
from collections.abc import Sequence

from odxfs.types import Buffer
from odxfs.wire.header import Command, Header
from odxfs.wire.negotiate import NegotiateResponse
from odxfs.wire.security import SessionSecurity


@dataclass(slots=True)
class Response:
    """One verified response. `pdu` starts at the SMB2 header. `interim` = STATUS_PENDING with an async id, the real one follows."""

    header: Header
    pdu: memoryview
    interim: bool = False
    encrypted: bool = False


@dataclass(slots=True)
class Call:
    """One request to send (several make a compound)."""

    command: Command
    body: bytes
    payload: Buffer | None = None
    tree_id: int = 0
    session_id: int = 0
    credit_charge: int = 1
    related: bool = False                # related to the previous one of the compound: ids become all ones
    encrypt: bool = False                # besides session.encrypt_data


@dataclass(frozen=True, slots=True)
class ClientOffer:
    client_guid: bytes
    dialects: tuple[int, ...] = (0x0210, 0x0300, 0x0302, 0x0311)
    ciphers: tuple[int, ...] = (2, 1, 4, 3)
    signing_algorithms: tuple[int, ...] = (2, 1, 0)
    signing_required: bool = True


class ClientConnection:
    dialect: int
    cipher: int
    signing_algorithm: int
    max_transact_bytes: int
    max_read_bytes: int
    max_write_bytes: int
    credits: int                             # how many the client may use now
    supports_multi_credit: bool
    sessions: dict[int, SessionSecurity]

    def __init__(self, offer: ClientOffer) -> None: ...
    def negotiate(self) -> tuple[int, list[Buffer]]: ...                       # (message id, buffers); the response updates the state when it is received
    def session_setup(self, body: bytes, session_id: int = 0) -> tuple[int, list[Buffer]]: ...   # body = SessionSetupRequest(...).pack(); keeps the preauth hash
    def establish(self, response: Response, session_key: bytes, *, encrypt_data: bool = False) -> SessionSecurity: ...   # on the successful SESSION_SETUP response: keys, verifies its signature (ProtocolError), registers
    def forget_session(self, session_id: int) -> None: ...
    def request(self, command: Command, body: bytes, payload: Buffer | None = None, *, tree_id: int = 0, session_id: int = 0, credit_charge: int = 1, encrypt: bool = False) -> tuple[int, list[Buffer]]: ...
    def compound(self, calls: Sequence[Call]) -> tuple[list[int], list[Buffer]]: ...
    def cancel(self, message_id: int, session_id: int, async_id: int = 0) -> list[Buffer]: ...   # takes no credit
    def get_buffer(self) -> memoryview: ...
    def received(self, count: int) -> list[Response]: ...                      # ProtocolError = close
    def receive(self, data: Buffer) -> list[Response]: ...
