"""The client's half of one SMB2 connection: requests to bytes, bytes to verified responses (MS-SMB2 3.2).

Sans-IO, the mirror of `odxfs.wire.server_connection`. A ProtocolError from any method that takes the server's bytes means
that the connection must be closed: a response that does not verify is never handed out.
"""

import secrets
from collections.abc import Sequence

from odxfs.errors import ProtocolError
from odxfs.ntstatus import Status
from odxfs.types import Buffer
from odxfs.wire.client_exchange import ALL_ONES, Call, ClientOffer, Response
from odxfs.wire.client_inbound import ClientInbound
from odxfs.wire.client_state import ClientState
from odxfs.wire.crypto.kdf import KEY_BYTES
from odxfs.wire.crypto.preauth import INITIAL_HASH, extend_hash
from odxfs.wire.framing import SESSION_FRAME_BYTES
from odxfs.wire.header import Command, Header, HeaderFlags
from odxfs.wire.negotiate import Capabilities, Dialect, NegotiateRequest, SecurityMode
from odxfs.wire.negotiate_contexts import (
    EncryptionCapabilities,
    HashAlgorithm,
    NegotiateContext,
    PreauthIntegrityCapabilities,
    SigningCapabilities,
)
from odxfs.wire.negotiation import SALT_BYTES
from odxfs.wire.outgoing import OutgoingMessage, frame_messages, pad_compound, sign_message
from odxfs.wire.security import SessionSecurity, make_security
from odxfs.wire.session_setup import SessionFlags, SessionSetupResponse
from odxfs.wire.verification import verify

__all__ = ["Call", "ClientConnection", "ClientOffer", "Response", "SessionSecurity"]

REQUESTED_CREDITS = 512
"""Credits asked for with every request until that many are there: 32 MiB in flight, more than a fast network holds."""

_RELATED_TREE_ID = 0xFFFFFFFF
_ALWAYS_SIGNED = frozenset({Command.TREE_CONNECT, Command.IOCTL, Command.LOGOFF})
"""Signed whenever there are keys: the first proves the login (3.2.4.2.4), the second carries VALIDATE_NEGOTIATE_INFO."""


class ClientConnection(ClientState):
    """One connection. Everything public but the methods is for reading only."""

    def __init__(self, offer: ClientOffer) -> None:
        super().__init__(offer)
        self._inbound = ClientInbound(self)

    @property
    def credits(self) -> int:
        """How many credits may be spent now."""
        return self.account.available

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
        self.preauth_hash = extend_hash(INITIAL_HASH, message.pieces())
        return message.message_id, frame_messages([message], None)

    def session_setup(self, body: bytes, session_id: int = 0) -> tuple[int, list[Buffer]]:
        """One leg of a login; `body` is a packed SessionSetupRequest, `session_id` what the first response said."""
        message = self._messages([Call(Command.SESSION_SETUP, body, session_id=session_id)])[0]
        sign_message(message, from_server=False)
        if session_id not in self.sessions:
            before = self.login_hashes.get(session_id, self.preauth_hash)
            self.login_requests[message.message_id] = extend_hash(before, message.pieces())
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
        ids = self.account.spend(call.credit_charge for call in calls)
        session_id = calls[0].session_id
        messages = []
        for call, message_id in zip(calls, ids, strict=True):
            session_id = session_id if call.related else call.session_id
            messages.append(self._message(call, message_id, self.sessions.get(session_id)))
            self.outstanding[message_id] = (call.command, session_id)
        return messages

    def _message(self, call: Call, message_id: int, security: SessionSecurity | None) -> OutgoingMessage:
        flags = (HeaderFlags.RELATED if call.related else 0) | (HeaderFlags.REPLAY if call.replay else 0)
        signer = None
        if security is not None and (security.signing_required or call.command in _ALWAYS_SIGNED):
            signer = security
            flags |= HeaderFlags.SIGNED
        wanted = max(0, REQUESTED_CREDITS - self.account.available)
        header = Header(
            command=call.command,
            credit_charge=0 if call.command == Command.NEGOTIATE else call.credit_charge,
            status=call.channel_sequence,
            credits=wanted + call.credit_charge,
            flags=flags,
            message_id=message_id,
            tree_id=_RELATED_TREE_ID if call.related else call.tree_id,
            session_id=ALL_ONES if call.related else call.session_id,
        )
        return OutgoingMessage(header.pack() + call.body, call.payload, message_id, signer)

    # -- the login --

    def establish(
        self, response: Response, session_key: bytes, *, encrypt_data: bool = False
    ) -> SessionSecurity:
        """Take up the session that `response`, a successful SESSION_SETUP, grants, with the authentication's whole key.

        Raises ProtocolError when the key is too short to prove anything, the response is not signed with it, or makes us a
        guest.
        """
        header = response.header
        if header.command != Command.SESSION_SETUP or header.status != Status.SUCCESS:
            raise ProtocolError("only a successful SESSION_SETUP establishes a session")
        if header.session_id in self.sessions:
            return self.sessions[header.session_id]
        flags = SessionSetupResponse.unpack(response.pdu).session_flags
        if flags & (SessionFlags.IS_GUEST | SessionFlags.IS_NULL):
            raise ProtocolError("the server lets us in as a guest only", Status.ACCESS_DENIED)
        if len(session_key) < KEY_BYTES:
            raise ProtocolError("a session key that anybody could guess", Status.INVALID_SIGNATURE)
        required = (self.offer.security_mode | self.server_security_mode) & SecurityMode.SIGNING_REQUIRED != 0
        security = make_security(
            header.session_id,
            session_key,
            dialect=self.dialect,
            cipher=self.cipher,
            signing_algorithm=self.signing_algorithm,
            preauth_hash=self.login_hashes.pop(header.session_id, b""),
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
        self.frames.limit = SESSION_FRAME_BYTES
        return security

    def forget_session(self, session_id: int) -> None:
        """The session logged off, or its login failed."""
        self.sessions.pop(session_id, None)
        self.login_hashes.pop(session_id, None)

    # -- bytes in --

    def get_buffer(self) -> memoryview:
        """Where the next bytes of the socket go; valid until `received`."""
        return self.frames.room()

    def received(self, count: int) -> list[Response]:
        """`count` bytes were put into `get_buffer()`: the responses that are now complete, verified and in order."""
        self.frames.received(count)
        return list(self._inbound.responses())

    def receive(self, data: Buffer) -> list[Response]:
        """Like `received`, for bytes that lie elsewhere: copies them."""
        responses: list[Response] = []
        rest = memoryview(data)
        while rest:
            room = self.frames.room()
            count = min(len(room), len(rest))
            room[:count] = rest[:count]
            responses += self.received(count)
            rest = rest[count:]
        return responses
