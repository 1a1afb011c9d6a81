"""The server's half of one SMB2 connection: bytes in, verified requests out, replies to bytes (MS-SMB2 3.3).

Sans-IO: whoever owns the socket receives into `get_buffer`, says `received`, and sends what `send` returns. A ProtocolError
from any method that takes the peer's bytes means that the connection must be closed without an answer; what deserves an
answer comes out as a request with a `refusal`.
"""

from collections.abc import Sequence

from odxfs.errors import ProtocolError
from odxfs.ntstatus import Status
from odxfs.types import Buffer
from odxfs.wire.crypto.preauth import INITIAL_HASH, extend_hash
from odxfs.wire.exchange import Chain, Reply, Request
from odxfs.wire.framing import SESSION_FRAME_BYTES
from odxfs.wire.fscc import filetime
from odxfs.wire.fscc.filetime import Filetime
from odxfs.wire.header import HEADER_BYTES
from odxfs.wire.negotiate import Dialect, NegotiateRequest, NegotiateResponse, SecurityMode
from odxfs.wire.negotiate_contexts import NegotiateContext
from odxfs.wire.negotiate_smb1 import DIALECT_WILDCARD
from odxfs.wire.negotiation import ServerOffer, negotiate
from odxfs.wire.security import SessionSecurity, bind_security, make_security
from odxfs.wire.server_inbound import ServerInbound
from odxfs.wire.server_outbound import ServerOutbound
from odxfs.wire.server_state import ServerState
from odxfs.wire.verification import verify

__all__ = ["Chain", "Reply", "Request", "ServerConnection", "ServerOffer", "SessionSecurity"]

_SECURITY_MODE_OFFSET = HEADER_BYTES + 3


class ServerConnection(ServerState):
    """One connection. Everything public but the methods is for reading only."""

    def __init__(self, offer: ServerOffer) -> None:
        super().__init__(offer)
        self._inbound = ServerInbound(self)
        self._outbound = ServerOutbound(self)

    @property
    def supports_multi_credit(self) -> bool:
        """Whether requests may carry more than 64 KiB: in every dialect that is served."""
        return self.negotiated

    # -- bytes in --

    def get_buffer(self) -> memoryview:
        """Where the next bytes of the socket go; valid until `received`."""
        return self.frames.room()

    def received(self, count: int) -> list[Chain]:
        """`count` bytes were put into `get_buffer()`: the compounds that are now complete, checked and in order."""
        self.frames.received(count)
        return list(self._inbound.chains())

    def receive(self, data: Buffer) -> list[Chain]:
        """Like `received`, for bytes that lie elsewhere: copies them."""
        chains: list[Chain] = []
        rest = memoryview(data)
        while rest:
            room = self.frames.room()
            count = min(len(room), len(rest))
            room[:count] = rest[:count]
            chains += self.received(count)
            rest = rest[count:]
        return chains

    # -- the login --

    def negotiate(
        self, request: Request, security_token: bytes, system_time: Filetime = filetime.NONE
    ) -> tuple[Status, NegotiateResponse | None]:
        """Answer a NEGOTIATE and settle the connection; the response is None unless the status is SUCCESS.

        Raises ProtocolError when the request is malformed, or the second one of two that came in one go.
        """
        if self.negotiated:
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
        preauth_hash = self._login_hash(request, session_id)
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
        self.frames.limit = SESSION_FRAME_BYTES
        return security

    def _login_hash(self, request: Request, session_id: int) -> bytes:
        """What the keys of a login depend on beside its own key, once `request` has ended it."""
        if self.dialect != Dialect.SMB_3_1_1:
            return b""
        return extend_hash(self.logins.pop(session_id, self.preauth_hash), (request.pdu,))

    def verify_binding(self, request: Request, session: SessionSecurity) -> bool:
        """Whether a SESSION_SETUP that binds this connection to `session` was signed by who has its key (3.3.5.5 step 4)."""
        if not request.signed or not verify(session, request.header, request.pdu, from_server=False):
            return False
        request.binding = session
        return True

    def bind_session(self, request: Request, session_key: bytes) -> SessionSecurity:
        """Take up the session that `request`, the last SESSION_SETUP of a verified binding, has logged in to a second time."""
        assert request.binding is not None, "only a verified binding succeeds"
        session_id = request.binding.session_id
        security = bind_security(
            request.binding,
            session_key,
            dialect=self.dialect,
            signing_algorithm=self.signing_algorithm,
            preauth_hash=self._login_hash(request, session_id),
        )
        self.sessions[session_id] = security
        self.frames.limit = SESSION_FRAME_BYTES
        return security

    def forget_session(self, session_id: int) -> None:
        """The session logged off, or its login failed. What was verified before stays answerable."""
        self.sessions.pop(session_id, None)
        self.logins.pop(session_id, None)

    # -- replies out --

    def send(self, chain: Chain, replies: Sequence[Reply]) -> list[Buffer]:
        """One frame with the answers to requests of `chain`: credits granted, signed or encrypted, ready for sendmsg."""
        return self._outbound.send(chain, replies)

    def interim(
        self, chain: Chain, request: Request, async_id: int, *, with_credits: bool = True
    ) -> list[Buffer]:
        """The STATUS_PENDING answer that makes `request` an asynchronous one; its credits come now or with the final one."""
        return self._outbound.interim(chain, request, async_id, with_credits=with_credits)

    def unsolicited(
        self, session_id: int, command: int, body: bytes, *, encrypt: bool = False
    ) -> list[Buffer]:
        """A message that answers nothing (OPLOCK_BREAK); `encrypt` also where the session itself is not encrypted."""
        return self._outbound.unsolicited(session_id, command, body, encrypt=encrypt)
