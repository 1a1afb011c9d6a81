"""The server's half of one SMB2 connection: bytes in, verified requests out, replies to bytes (MS-SMB2 3.3).

Sans-IO: whoever owns the socket receives into `get_buffer`, says `received`, and sends what `send` returns. A ProtocolError
from any method that takes the peer's bytes means that the connection must be closed without an answer; what deserves an
answer comes out as a request with a `refusal`.
"""

from collections.abc import Iterator, Sequence

from odxfs.errors import ProtocolError
from odxfs.ntstatus import Status
from odxfs.types import Buffer
from odxfs.wire.compound import split_compound
from odxfs.wire.credits import CREDIT_BYTES, SequenceWindow
from odxfs.wire.crypto.preauth import INITIAL_HASH, extend_hash
from odxfs.wire.error import ErrorResponse
from odxfs.wire.exchange import Chain, Reply, Request
from odxfs.wire.framing import LOGIN_FRAME_BYTES, SESSION_FRAME_BYTES, FrameBuffer
from odxfs.wire.fscc import filetime
from odxfs.wire.fscc.filetime import Filetime
from odxfs.wire.header import (
    HEADER_BYTES,
    HEADER_STRUCT,
    NO_SIGNATURE,
    PROTOCOL_ID,
    Command,
    Header,
    HeaderFlags,
)
from odxfs.wire.negotiate import Dialect, NegotiateRequest, NegotiateResponse, SecurityMode
from odxfs.wire.negotiate_contexts import Cipher, NegotiateContext, SigningAlgorithm
from odxfs.wire.negotiate_smb1 import DIALECT_WILDCARD, Smb1NegotiateRequest
from odxfs.wire.negotiation import ServerOffer, negotiate
from odxfs.wire.outgoing import OutgoingMessage, frame_messages, pad_compound, sign_message
from odxfs.wire.payload import payload_bytes
from odxfs.wire.security import SessionSecurity, make_security
from odxfs.wire.transform import TRANSFORM_PROTOCOL_ID, TransformHeader
from odxfs.wire.verification import verify

__all__ = ["Chain", "Reply", "Request", "ServerConnection", "ServerOffer", "SessionSecurity"]

MAX_LOGINS = 64
"""Logins of one connection that may be half done at a time: each costs a hash of 64 bytes here and an acceptor above."""

ALL_ONES = 2**64 - 1
_SMB1_PROTOCOL_ID = b"\xffSMB"
_ECHOED_FLAGS = HeaderFlags.RELATED | HeaderFlags.PRIORITY_MASK
_SECURITY_MODE_OFFSET = HEADER_BYTES + 3
_PENDING_BODY = ErrorResponse().pack()
_NO_SESSION_NEEDED = frozenset({Command.NEGOTIATE, Command.SESSION_SETUP})


class ServerConnection:
    """One connection. Everything public but the methods is for reading only.

    `dialect` is 0 before NEGOTIATE and Dialect.WILDCARD after an SMB1 one. `sessions` are the established ones.
    `client_*` are the values of the client's NEGOTIATE, `server_*` those of the answer (FSCTL_VALIDATE_NEGOTIATE_INFO).
    """

    def __init__(self, offer: ServerOffer) -> None:
        self.offer = offer
        self.dialect = 0
        self.cipher = Cipher.NONE
        self.signing_algorithm = SigningAlgorithm.HMAC_SHA256
        self.client_guid = bytes(16)
        self.client_capabilities = 0
        self.client_security_mode = 0
        self.client_dialects: tuple[int, ...] = ()
        self.server_capabilities = 0
        self.server_security_mode = offer.security_mode
        self.preauth_hash = b""
        self.sessions: dict[int, SessionSecurity] = {}
        self._logins: dict[int, bytes] = {}
        self._window = SequenceWindow()
        self._frames = FrameBuffer(LOGIN_FRAME_BYTES)

    @property
    def supports_multi_credit(self) -> bool:
        """Whether requests may carry more than 64 KiB: in every dialect that is served."""
        return self.dialect not in (0, Dialect.WILDCARD)

    # -- bytes in --

    def get_buffer(self) -> memoryview:
        """Where the next bytes of the socket go; valid until `received`."""
        return self._frames.room()

    def received(self, count: int) -> list[Chain]:
        """`count` bytes were put into `get_buffer()`: the compounds that are now complete, checked and in order."""
        self._frames.received(count)
        return list(self._chains())

    def receive(self, data: Buffer) -> list[Chain]:
        """Like `received`, for bytes that lie elsewhere: copies them."""
        chains: list[Chain] = []
        rest = memoryview(data)
        while rest:
            room = self._frames.room()
            count = min(len(room), len(rest))
            room[:count] = rest[:count]
            chains += self.received(count)
            rest = rest[count:]
        return chains

    def _chains(self) -> Iterator[Chain]:
        for frame in self._frames.frames():
            protocol = bytes(frame[:4])
            if protocol == PROTOCOL_ID:
                chain = self._accept(frame, None)
            elif protocol == TRANSFORM_PROTOCOL_ID:
                chain = self._accept_sealed(frame)
            elif protocol == _SMB1_PROTOCOL_ID:
                chain = self._accept_smb1(frame)
            else:
                raise ProtocolError(f"a message that begins with {protocol.hex()}")
            if chain.requests:
                yield chain

    def _accept_smb1(self, frame: memoryview) -> Chain:
        if self.dialect != 0:
            raise ProtocolError("SMB1 after NEGOTIATE")
        parsed = Smb1NegotiateRequest.unpack(frame)
        if not parsed.offers_wildcard:
            raise ProtocolError("an SMB1 client that does not speak SMB 2.1 or later", Status.NOT_SUPPORTED)
        self._window.take(0, 1)
        header = Header(command=Command.NEGOTIATE, credits=1)
        return Chain([Request(header, frame, smb1_dialects=parsed.dialects)])

    def _accept_sealed(self, frame: memoryview) -> Chain:
        transform = TransformHeader.unpack(frame)
        security = self.sessions.get(transform.session_id)
        if security is None or security.unsealer is None:
            raise ProtocolError("encrypted for a session that has no keys", Status.USER_SESSION_DELETED)
        return self._accept(security.unsealer.unseal(transform, frame), security)

    def _accept(self, message: memoryview, sealed: SessionSecurity | None) -> Chain:
        """The requests of one frame.

        A related one that has nothing to be related to, because it comes first or follows one without a session, is
        refused with INVALID_PARAMETER, as Windows does.
        """
        header = Header.unpack(message)
        parts = [(header, message)] if header.next_command == 0 else split_compound(message)
        chain = Chain([], sealed is not None, header.session_id, sealed)
        session_id, orphan = header.session_id, True
        for part_header, pdu in parts:
            related = part_header.flags & HeaderFlags.RELATED != 0
            if related:
                part_header.session_id = session_id  # whatever it says itself (3.3.5.2.7.2)
            request = self._admit(part_header, pdu, sealed)
            session_id = part_header.session_id
            if request is None:
                continue
            if related and orphan:
                request.refusal = Status.INVALID_PARAMETER
            orphan = request.refusal == Status.USER_SESSION_DELETED or (related and orphan)
            chain.requests.append(request)
        return chain

    def _admit(self, header: Header, pdu: memoryview, sealed: SessionSecurity | None) -> Request | None:
        """Check one request in the order of MS-SMB2 3.3.5.2; None for a CANCEL that proves nothing, which has no answer."""
        command = header.command
        self._check_state(header)
        is_cancel = command == Command.CANCEL
        if not is_cancel:
            self._window.take(header.message_id, header.credit_charge or 1)
        signed = sealed is None and header.flags & HeaderFlags.SIGNED != 0
        if sealed is None:
            security = self.sessions.get(header.session_id)
            refusal = self._check_security(header, pdu, security, signed)
        elif header.session_id == sealed.session_id:
            security, refusal = sealed, None
        else:
            raise ProtocolError("an encrypted message for another session", Status.USER_SESSION_DELETED)
        if is_cancel and (refusal is not None or security is None):
            return None
        if refusal is None and not is_cancel:
            refusal = _check_charge(header, pdu)
        return Request(header, pdu, signed, refusal, security)

    def _check_state(self, header: Header) -> None:
        if header.flags & HeaderFlags.SERVER_TO_REDIR:
            raise ProtocolError("a response where a request was due")
        negotiated = self.dialect not in (0, Dialect.WILDCARD)
        if negotiated == (header.command == Command.NEGOTIATE):
            raise ProtocolError("NEGOTIATE twice" if negotiated else "a request before NEGOTIATE")

    def _check_security(
        self, header: Header, pdu: memoryview, security: SessionSecurity | None, signed: bool
    ) -> Status | None:
        """The refusal of a plain message that is not what its session asks for (3.3.5.2.4, 3.3.5.2.9)."""
        command = header.command
        if security is None:
            if command in _NO_SESSION_NEEDED or (command == Command.ECHO and header.session_id == 0):
                return None
            return Status.USER_SESSION_DELETED
        if signed and not verify(security, header, pdu, from_server=False):
            return Status.ACCESS_DENIED
        if security.encrypt_data and command != Command.SESSION_SETUP:
            return Status.ACCESS_DENIED
        if security.signing_required and not signed:
            return Status.ACCESS_DENIED
        return None

    # -- the login --

    def negotiate(
        self, request: Request, security_token: bytes, system_time: Filetime = filetime.NONE
    ) -> tuple[Status, NegotiateResponse | None]:
        """Answer a NEGOTIATE and settle the connection; the response is None unless the status is SUCCESS.

        Raises ProtocolError when the request is malformed, or the second one of two that came in one go.
        """
        if self.dialect not in (0, Dialect.WILDCARD):
            raise ProtocolError("NEGOTIATE twice")
        if request.smb1_dialects:
            assert DIALECT_WILDCARD in request.smb1_dialects, "the only SMB1 NEGOTIATE that is let through"
            self.dialect = Dialect.WILDCARD
            return Status.SUCCESS, self._negotiate_response(Dialect.WILDCARD, security_token, system_time)
        parsed = NegotiateRequest.unpack(request.pdu)
        try:
            chosen = negotiate(self.offer, parsed)
        except ProtocolError as error:
            return error.status, None
        if chosen is None:
            return Status.NOT_SUPPORTED, None
        self.dialect = chosen.dialect
        self.cipher = chosen.cipher
        self.signing_algorithm = chosen.signing_algorithm
        self.client_guid = parsed.client_guid
        self.client_capabilities = parsed.capabilities
        self.client_security_mode = parsed.security_mode
        self.client_dialects = parsed.dialects
        self.server_capabilities = chosen.capabilities
        if chosen.dialect == Dialect.SMB_3_1_1:
            self.preauth_hash = extend_hash(INITIAL_HASH, (request.pdu,))
        response = self._negotiate_response(chosen.dialect, security_token, system_time, chosen.contexts)
        return Status.SUCCESS, response

    def _negotiate_response(
        self, dialect: int, token: bytes, system_time: Filetime, contexts: tuple[NegotiateContext, ...] = ()
    ) -> NegotiateResponse:
        return NegotiateResponse(
            dialect_revision=dialect,
            server_guid=self.offer.server_guid,
            max_transact_size=self.offer.max_transact_bytes,
            max_read_size=self.offer.max_read_bytes,
            max_write_size=self.offer.max_write_bytes,
            system_time=system_time,
            security_mode=self.server_security_mode,
            capabilities=self.server_capabilities,
            security_buffer=token,
            negotiate_contexts=contexts,
        )

    def derive_keys(
        self,
        request: Request,
        session_id: int,
        session_key: bytes,
        *,
        encrypt_data: bool = False,
        signing_required: bool | None = None,
    ) -> SessionSecurity:
        """Establish the session: to be called when a login succeeds, before `send` of that answer.

        `request` is the last SESSION_SETUP. `session_key` is the whole key of the authentication. Signing is required when
        either end says so, unless it is given. A session that logs in again keeps its keys (MS-SMB2 3.3.5.5.2).
        """
        known = self.sessions.get(session_id)
        if known is not None:
            return known
        preauth_hash = b""
        if self.dialect == Dialect.SMB_3_1_1:
            preauth_hash = extend_hash(self._logins.pop(session_id, self.preauth_hash), (request.pdu,))
        if signing_required is None:
            asked = self.client_security_mode | request.pdu[_SECURITY_MODE_OFFSET]
            signing_required = self.offer.signing_required or asked & SecurityMode.SIGNING_REQUIRED != 0
        security = make_security(
            session_id,
            session_key,
            dialect=self.dialect,
            cipher=self.cipher,
            signing_algorithm=self.signing_algorithm,
            preauth_hash=preauth_hash,
            server=True,
            signing_required=signing_required,
            encrypt_data=encrypt_data,
        )
        self.sessions[session_id] = security
        self._frames.limit = SESSION_FRAME_BYTES
        return security

    def forget_session(self, session_id: int) -> None:
        """The session logged off, or its login failed. What was verified before stays answerable."""
        self.sessions.pop(session_id, None)
        self._logins.pop(session_id, None)

    # -- replies out --

    def send(self, chain: Chain, replies: Sequence[Reply]) -> list[Buffer]:
        """One frame with the answers to requests of `chain`: credits granted, signed or encrypted, ready for sendmsg."""
        messages = [self._message(reply) for reply in replies]
        if len(messages) > 1:
            pad_compound(messages)
        sealing = chain.security if chain.encrypted else _sealing(replies)
        if sealing is None:
            for message in messages:
                if message.signer is not None:
                    sign_message(message, from_server=True)
        else:
            for message in messages:
                message.clear_signed()
        if replies[0].request.header.command <= Command.SESSION_SETUP:
            self._extend_hashes(replies[0], messages[0])
        return frame_messages(messages, sealing)

    def _message(self, reply: Reply) -> OutgoingMessage:
        request = reply.request
        header = request.header
        session_id = header.session_id if reply.session_id is None else reply.session_id
        security = request.security
        sign = security is not None and (request.signed or security.signing_required)
        if header.command == Command.SESSION_SETUP and security is None and reply.status == Status.SUCCESS:
            security = self.sessions.get(session_id)
            sign = security is not None and (security.signing_required or self.dialect >= Dialect.SMB_3_0)
        flags = HeaderFlags.SERVER_TO_REDIR | header.flags & _ECHOED_FLAGS
        signature = NO_SIGNATURE
        if security is None and header.flags & HeaderFlags.SIGNED:
            # There are no keys to sign with. Samba gives the client its own signature back, and its client takes no
            # answer to a signed request that does not at least claim to be signed.
            flags |= HeaderFlags.SIGNED
            signature = header.signature
        granted = 0
        if not request.granted:
            request.granted = True
            granted = self._window.grant((header.credits or 1) if self.sessions else 1)
        low, high = 0, header.tree_id if reply.tree_id is None else reply.tree_id
        if reply.async_id:
            flags |= HeaderFlags.ASYNC_COMMAND
            low, high = reply.async_id & 0xFFFFFFFF, reply.async_id >> 32
        if sign:
            flags |= HeaderFlags.SIGNED
        head = HEADER_STRUCT.pack(
            PROTOCOL_ID,
            HEADER_BYTES,
            header.credit_charge,
            reply.status,
            header.command,
            granted,
            flags,
            0,
            header.message_id,
            low,
            high,
            session_id,
            signature,
        )
        signer = security if sign else None
        return OutgoingMessage(head + reply.body, reply.payload, header.message_id, signer)

    def _extend_hashes(self, reply: Reply, message: OutgoingMessage) -> None:
        """Chain what the preauthentication hashes cover: NEGOTIATE, and every leg of a first login but its success."""
        request = reply.request
        if self.dialect != Dialect.SMB_3_1_1 or request.security is not None:
            return
        if request.header.command == Command.NEGOTIATE:
            self.preauth_hash = extend_hash(self.preauth_hash, message.pieces())
        elif reply.status == Status.MORE_PROCESSING_REQUIRED and reply.session_id:
            if reply.session_id not in self._logins and len(self._logins) >= MAX_LOGINS:
                raise ProtocolError("too many logins are half done on one connection")
            before = extend_hash(self._logins.get(reply.session_id, self.preauth_hash), (request.pdu,))
            self._logins[reply.session_id] = extend_hash(before, message.pieces())

    def interim(self, chain: Chain, request: Request, async_id: int) -> list[Buffer]:
        """The STATUS_PENDING answer that makes `request` an asynchronous one; grants its credits (3.3.4.2).

        Not signed, because the final answer has the same message id and AES-GMAC must see an id once only.
        """
        message = self._message(Reply(request, Status.PENDING, _PENDING_BODY, async_id=async_id))
        message.clear_signed()
        sealing = chain.security if chain.encrypted else None
        return frame_messages([message], sealing)

    def unsolicited(self, session_id: int, command: int, body: bytes) -> list[Buffer]:
        """A message that answers nothing (OPLOCK_BREAK): message id all ones, not signed, encrypted if the session is."""
        header = Header(command, flags=HeaderFlags.SERVER_TO_REDIR, message_id=ALL_ONES)
        security = self.sessions.get(session_id)
        sealing = security if security is not None and security.encrypt_data else None
        return frame_messages([OutgoingMessage(header.pack() + body, None, ALL_ONES)], sealing)


def _check_charge(header: Header, pdu: memoryview) -> Status | None:
    """INVALID_PARAMETER when the CreditCharge does not cover the payload."""
    if payload_bytes(header.command, pdu) > CREDIT_BYTES * (header.credit_charge or 1):
        return Status.INVALID_PARAMETER
    return None


def _sealing(replies: Sequence[Reply]) -> SessionSecurity | None:
    """Whose keys encrypt the answers to a plain request: a session or tree that demands it, but never a login's own."""
    for reply in replies:
        security = reply.request.security
        if (
            security is not None
            and security.sealer is not None
            and (reply.encrypt or security.encrypt_data)
            and reply.request.header.command != Command.SESSION_SETUP
        ):
            return security
    return None
