"""The client's half of one SMB2 connection: requests to bytes, bytes to verified responses (MS-SMB2 3.2).

Sans-IO, the mirror of `odxfs.wire.server_connection`. A ProtocolError from any method that takes the server's bytes means
that the connection must be closed: a response that does not verify is never handed out.
"""

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from odxfs.errors import ProtocolError
from odxfs.ntstatus import Status, status_name
from odxfs.types import Buffer
from odxfs.wire.compound import split_compound
from odxfs.wire.credits import CreditAccount
from odxfs.wire.crypto.preauth import INITIAL_HASH, extend_hash
from odxfs.wire.framing import LOGIN_FRAME_BYTES, SESSION_FRAME_BYTES, FrameBuffer
from odxfs.wire.header import PROTOCOL_ID, Command, Header, HeaderFlags
from odxfs.wire.negotiate import Capabilities, Dialect, NegotiateRequest, NegotiateResponse, SecurityMode
from odxfs.wire.negotiate_contexts import (
    Cipher,
    EncryptionCapabilities,
    HashAlgorithm,
    NegotiateContext,
    PreauthIntegrityCapabilities,
    SigningAlgorithm,
    SigningCapabilities,
    find_context,
)
from odxfs.wire.negotiation import PREFERRED_CIPHERS, PREFERRED_SIGNING, SALT_BYTES, SERVED_DIALECTS
from odxfs.wire.outgoing import OutgoingMessage, frame_messages, pad_compound, sign_message
from odxfs.wire.security import SessionSecurity, make_security
from odxfs.wire.session_setup import SessionFlags, SessionSetupResponse
from odxfs.wire.transform import TRANSFORM_PROTOCOL_ID, TransformHeader
from odxfs.wire.verification import verify

ALL_ONES = 2**64 - 1
"""The message id of what answers no request, and the session id of a related request."""

REQUESTED_CREDITS = 512
"""Credits asked for with every request until that many are there: 32 MiB in flight, more than a fast network holds."""

_RELATED_TREE_ID = 0xFFFFFFFF
_ALWAYS_SIGNED = frozenset({Command.TREE_CONNECT, Command.IOCTL, Command.LOGOFF})
"""Signed whenever there are keys: the first proves the login (3.2.4.2.4), the second carries VALIDATE_NEGOTIATE_INFO."""

_UNSIGNED_REFUSALS = frozenset({Status.USER_SESSION_DELETED, Status.NETWORK_SESSION_EXPIRED})
"""What a server that no longer has the session's keys says; a forger gains no more by it than by cutting the wire."""


@dataclass(slots=True, eq=False)
class Response:
    """One verified response; `pdu` starts at the SMB2 header and is never overwritten while it is held.

    `interim`: STATUS_PENDING, the real response follows under the same message id. The successful response of a login is
    not verified before `ClientConnection.establish`. `unsolicited`: it answers nothing (OPLOCK_BREAK).
    """

    header: Header
    pdu: memoryview
    interim: bool = False
    encrypted: bool = False

    @property
    def unsolicited(self) -> bool:
        return self.header.message_id == ALL_ONES


@dataclass(slots=True)
class Call:
    """One request of a compound. A `related` one takes session and tree from the one before it."""

    command: int
    body: bytes
    payload: Buffer | None = None
    tree_id: int = 0
    session_id: int = 0
    credit_charge: int = 1
    related: bool = False
    encrypt: bool = False


@dataclass(frozen=True, slots=True)
class ClientOffer:
    """What a client is willing to speak, best first; `client_guid` is 16 raw bytes."""

    client_guid: bytes
    dialects: tuple[int, ...] = SERVED_DIALECTS
    ciphers: tuple[int, ...] = PREFERRED_CIPHERS
    signing_algorithms: tuple[int, ...] = PREFERRED_SIGNING
    signing_required: bool = True

    @property
    def security_mode(self) -> int:
        """SecurityMode of NEGOTIATE and SESSION_SETUP."""
        required = SecurityMode.SIGNING_REQUIRED if self.signing_required else 0
        return SecurityMode.SIGNING_ENABLED | required


class ClientConnection:
    """One connection. Everything public but the methods is for reading only; `max_*_bytes` are the server's, in bytes."""

    def __init__(self, offer: ClientOffer) -> None:
        self.offer = offer
        self.dialect = 0
        self.cipher = Cipher.NONE
        self.signing_algorithm = SigningAlgorithm.HMAC_SHA256
        self.capabilities = Capabilities.LARGE_MTU | Capabilities.ENCRYPTION
        self.server_capabilities = 0
        self.server_security_mode = 0
        self.server_guid = bytes(16)
        self.security_token = b""
        self.max_transact_bytes = 0
        self.max_read_bytes = 0
        self.max_write_bytes = 0
        self.sessions: dict[int, SessionSecurity] = {}
        self._preauth_hash = INITIAL_HASH
        self._login_requests: dict[int, bytes] = {}
        self._login_hashes: dict[int, bytes] = {}
        self._account = CreditAccount()
        self._outstanding: dict[int, tuple[int, int]] = {}
        self._frames = FrameBuffer(LOGIN_FRAME_BYTES)

    @property
    def credits(self) -> int:
        """How many credits may be spent now."""
        return self._account.available

    @property
    def supports_multi_credit(self) -> bool:
        """Whether requests may carry more than 64 KiB."""
        return self.server_capabilities & Capabilities.LARGE_MTU != 0

    # -- requests out --

    def negotiate(self) -> tuple[int, list[Buffer]]:
        """The first request; its message id and buffers. What the server chose is known once the response was received."""
        contexts: list[NegotiateContext] = []
        if Dialect.SMB_3_1_1 in self.offer.dialects:
            salt = secrets.token_bytes(SALT_BYTES)
            contexts.append(PreauthIntegrityCapabilities((HashAlgorithm.SHA_512,), salt))
            if self.offer.ciphers:
                contexts.append(EncryptionCapabilities(tuple(self.offer.ciphers)))
            contexts.append(SigningCapabilities(tuple(self.offer.signing_algorithms)))
        body = NegotiateRequest(
            dialects=tuple(self.offer.dialects),
            security_mode=self.offer.security_mode,
            capabilities=self.capabilities,
            client_guid=self.offer.client_guid,
            negotiate_contexts=tuple(contexts),
        ).pack()
        message = self._messages([Call(Command.NEGOTIATE, body)])[0]
        self._preauth_hash = extend_hash(INITIAL_HASH, message.pieces())
        return message.message_id, frame_messages([message], None)

    def session_setup(self, body: bytes, session_id: int = 0) -> tuple[int, list[Buffer]]:
        """One leg of a login; `body` is a packed SessionSetupRequest, `session_id` what the first response said."""
        message = self._messages([Call(Command.SESSION_SETUP, body, session_id=session_id)])[0]
        sign_message(message, from_server=False)
        if session_id not in self.sessions:
            before = self._login_hashes.get(session_id, self._preauth_hash)
            self._login_requests[message.message_id] = extend_hash(before, message.pieces())
        return message.message_id, frame_messages([message], None)

    def request(
        self,
        command: int,
        body: bytes,
        payload: Buffer | None = None,
        *,
        tree_id: int = 0,
        session_id: int = 0,
        credit_charge: int = 1,
        encrypt: bool = False,
    ) -> tuple[int, list[Buffer]]:
        """One request: its message id, and the buffers to send. ProtocolError when the credits are short."""
        call = Call(command, body, payload, tree_id, session_id, credit_charge, False, encrypt)
        ids, buffers = self.compound([call])
        return ids[0], buffers

    def compound(self, calls: Sequence[Call]) -> tuple[list[int], list[Buffer]]:
        """Several requests in one frame: their message ids in order, and the buffers to send."""
        messages = self._messages(calls)
        if len(messages) > 1:
            pad_compound(messages)
        security = self.sessions.get(calls[0].session_id)
        sealing = None
        if security is not None and (security.encrypt_data or any(call.encrypt for call in calls)):
            sealing = security
        for message in messages:
            if sealing is not None:
                message.clear_signed()
            else:
                sign_message(message, from_server=False)
        return [message.message_id for message in messages], frame_messages(messages, sealing)

    def cancel(self, message_id: int, session_id: int, async_id: int = 0) -> list[Buffer]:
        """CANCEL the request `message_id`, by its `async_id` once that is known. Costs no credit and has no answer."""
        flags = HeaderFlags.ASYNC_COMMAND if async_id else 0
        security = self.sessions.get(session_id)
        sealing = security if security is not None and security.encrypt_data else None
        signer = security if sealing is None else None
        if signer is not None:
            flags |= HeaderFlags.SIGNED
        header = Header(
            Command.CANCEL, flags=flags, message_id=message_id, async_id=async_id, session_id=session_id
        )
        body = b"\x04\x00\x00\x00"
        message = OutgoingMessage(header.pack() + body, None, message_id, signer, cancel=True)
        sign_message(message, from_server=False)
        return frame_messages([message], sealing)

    def _messages(self, calls: Sequence[Call]) -> list[OutgoingMessage]:
        ids = self._account.spend(call.credit_charge for call in calls)
        session_id = calls[0].session_id
        messages = []
        for call, message_id in zip(calls, ids, strict=True):
            session_id = session_id if call.related else call.session_id
            messages.append(self._message(call, message_id, self.sessions.get(session_id)))
            self._outstanding[message_id] = (call.command, session_id)
        return messages

    def _message(self, call: Call, message_id: int, security: SessionSecurity | None) -> OutgoingMessage:
        flags = HeaderFlags.RELATED if call.related else 0
        signer = None
        if security is not None and (security.signing_required or call.command in _ALWAYS_SIGNED):
            signer = security
            flags |= HeaderFlags.SIGNED
        wanted = max(0, REQUESTED_CREDITS - self._account.available)
        header = Header(
            command=call.command,
            credit_charge=0 if call.command == Command.NEGOTIATE else call.credit_charge,
            credits=wanted + call.credit_charge,
            flags=flags,
            message_id=message_id,
            tree_id=_RELATED_TREE_ID if call.related else call.tree_id,
            session_id=ALL_ONES if call.related else call.session_id,
        )
        return OutgoingMessage(header.pack() + call.body, call.payload, message_id, signer)

    # -- the login --

    def establish(self, response: Response, session_key: bytes, *, encrypt_data: bool = False) -> SessionSecurity:
        """Take up the session that `response`, a successful SESSION_SETUP, grants, with the authentication's whole key.

        Raises ProtocolError when the response is not signed with that key, or makes us a guest.
        """
        header = response.header
        if header.command != Command.SESSION_SETUP or header.status != Status.SUCCESS:
            raise ProtocolError("only a successful SESSION_SETUP establishes a session")
        if header.session_id in self.sessions:
            return self.sessions[header.session_id]
        flags = SessionSetupResponse.unpack(response.pdu).session_flags
        if flags & (SessionFlags.IS_GUEST | SessionFlags.IS_NULL):
            raise ProtocolError("the server lets us in as a guest only", Status.ACCESS_DENIED)
        required = (self.offer.security_mode | self.server_security_mode) & SecurityMode.SIGNING_REQUIRED != 0
        security = make_security(
            header.session_id,
            session_key,
            dialect=self.dialect,
            cipher=self.cipher,
            signing_algorithm=self.signing_algorithm,
            preauth_hash=self._login_hashes.pop(header.session_id, b""),
            server=False,
            signing_required=required,
            encrypt_data=encrypt_data or flags & SessionFlags.ENCRYPT_DATA != 0,
        )
        if header.flags & HeaderFlags.SIGNED:
            if not verify(security, header, response.pdu, from_server=True):
                raise ProtocolError("the login's response does not verify", Status.INVALID_SIGNATURE)
        elif required or self.dialect >= Dialect.SMB_3_1_1:
            raise ProtocolError("the login's response is not signed", Status.INVALID_SIGNATURE)
        self.sessions[header.session_id] = security
        self._frames.limit = SESSION_FRAME_BYTES
        return security

    def forget_session(self, session_id: int) -> None:
        """The session logged off, or its login failed."""
        self.sessions.pop(session_id, None)
        self._login_hashes.pop(session_id, None)

    # -- bytes in --

    def get_buffer(self) -> memoryview:
        """Where the next bytes of the socket go; valid until `received`."""
        return self._frames.room()

    def received(self, count: int) -> list[Response]:
        """`count` bytes were put into `get_buffer()`: the responses that are now complete, verified and in order."""
        self._frames.received(count)
        return [response for frame in self._frames.frames() for response in self._accept_frame(frame)]

    def receive(self, data: Buffer) -> list[Response]:
        """Like `received`, for bytes that lie elsewhere: copies them."""
        responses: list[Response] = []
        rest = memoryview(data)
        while rest:
            room = self._frames.room()
            count = min(len(room), len(rest))
            room[:count] = rest[:count]
            responses += self.received(count)
            rest = rest[count:]
        return responses

    def _accept_frame(self, frame: memoryview) -> Iterator[Response]:
        protocol = bytes(frame[:4])
        sealed = None
        if protocol == TRANSFORM_PROTOCOL_ID:
            transform = TransformHeader.unpack(frame)
            sealed = self.sessions.get(transform.session_id)
            if sealed is None or sealed.unsealer is None:
                raise ProtocolError("encrypted for a session that has no keys")
            frame = sealed.unsealer.unseal(transform, frame)
        elif protocol != PROTOCOL_ID:
            raise ProtocolError(f"a message that begins with {protocol.hex()}")
        for header, pdu in split_compound(frame):
            yield self._accept(header, pdu, sealed)

    def _accept(self, header: Header, pdu: memoryview, sealed: SessionSecurity | None) -> Response:
        if not header.flags & HeaderFlags.SERVER_TO_REDIR:
            raise ProtocolError("a request where a response was due")
        response = Response(header, pdu, encrypted=sealed is not None)
        if response.unsolicited:
            return response
        command, session_id = self._outstanding.get(header.message_id, (None, 0))
        if command != header.command:
            raise ProtocolError(f"a response to message {header.message_id}, which waits for none")
        response.interim = header.status == Status.PENDING and header.is_async
        if sealed is None:
            self._check_plain(header, pdu, self.sessions.get(session_id), response.interim)
        elif session_id not in (sealed.session_id, 0):
            raise ProtocolError("an encrypted response of another session")
        self._account.available += header.credits
        if not response.interim:
            del self._outstanding[header.message_id]
            self._take_up(response)
        return response

    def _check_plain(
        self, header: Header, pdu: memoryview, security: SessionSecurity | None, interim: bool
    ) -> None:
        """MS-SMB2 3.2.5.1.3: raises ProtocolError unless a plain response is as protected as its request's session asks for.

        The request's: what the response says of itself proves nothing before it is verified.
        """
        if security is None or header.status in _UNSIGNED_REFUSALS:
            return
        if security.encrypt_data and header.command != Command.SESSION_SETUP:
            raise ProtocolError("a plain response in an encrypted session", Status.ACCESS_DENIED)
        if interim:
            return
        if header.flags & HeaderFlags.SIGNED:
            if not verify(security, header, pdu, from_server=True):
                raise ProtocolError("a response does not verify", Status.INVALID_SIGNATURE)
        elif security.signing_required:
            raise ProtocolError(
                f"an unsigned response ({status_name(header.status)})", Status.INVALID_SIGNATURE
            )

    def _take_up(self, response: Response) -> None:
        """Keep what NEGOTIATE and the legs of a login leave behind."""
        header = response.header
        if header.command == Command.NEGOTIATE and header.status == Status.SUCCESS:
            self._settle(NegotiateResponse.unpack(response.pdu))
            self._preauth_hash = extend_hash(self._preauth_hash, (response.pdu,))
        elif header.command == Command.SESSION_SETUP:
            hashed = self._login_requests.pop(header.message_id, None)
            if hashed is None or self.dialect != Dialect.SMB_3_1_1:
                return
            if header.status == Status.MORE_PROCESSING_REQUIRED:
                hashed = extend_hash(hashed, (response.pdu,))
            self._login_hashes[header.session_id] = hashed

    def _settle(self, response: NegotiateResponse) -> None:
        """Check the server's choice against the offer and keep it (MS-SMB2 3.2.5.2)."""
        if response.dialect_revision not in self.offer.dialects:
            raise ProtocolError(f"the server chose dialect {response.dialect_revision:#06x}, which was not offered")
        self.dialect = response.dialect_revision
        self.server_capabilities = response.capabilities
        self.server_security_mode = response.security_mode
        self.server_guid = response.server_guid
        self.security_token = response.security_buffer
        self.max_transact_bytes = response.max_transact_size
        self.max_read_bytes = response.max_read_size
        self.max_write_bytes = response.max_write_size
        if self.dialect == Dialect.SMB_3_1_1:
            self._settle_contexts(response.negotiate_contexts)
        elif self.dialect >= Dialect.SMB_3_0:
            self.signing_algorithm = SigningAlgorithm.AES_CMAC
            if response.capabilities & Capabilities.ENCRYPTION:
                self.cipher = Cipher.AES_128_CCM

    def _settle_contexts(self, contexts: Sequence[NegotiateContext]) -> None:
        preauth = find_context(contexts, PreauthIntegrityCapabilities)
        if preauth is None or preauth.hash_algorithms != (HashAlgorithm.SHA_512,):
            raise ProtocolError("the server chose no preauthentication hash that was offered")
        self.signing_algorithm = SigningAlgorithm.AES_CMAC
        encryption = find_context(contexts, EncryptionCapabilities)
        if encryption is not None and encryption.ciphers != (Cipher.NONE,):
            self.cipher = Cipher(_only_choice(encryption.ciphers, self.offer.ciphers, "cipher"))
        signing = find_context(contexts, SigningCapabilities)
        if signing is not None:
            chosen = _only_choice(signing.signing_algorithms, self.offer.signing_algorithms, "signing algorithm")
            self.signing_algorithm = SigningAlgorithm(chosen)


def _only_choice(chosen: Sequence[int], offered: Sequence[int], what: str) -> int:
    if len(chosen) != 1 or chosen[0] not in offered:
        raise ProtocolError(f"the server chose a {what} that was not offered")
    return chosen[0]
