"""Bytes into verified responses: unframe, decrypt, split, verify, and take up what the server chose (MS-SMB2 3.2.5)."""

from collections.abc import Iterator, Sequence

from odxfs.errors import ProtocolError
from odxfs.ntstatus import Status, status_name
from odxfs.wire.client_exchange import Response
from odxfs.wire.client_state import ClientState
from odxfs.wire.compound import split_compound
from odxfs.wire.crypto.preauth import extend_hash
from odxfs.wire.header import PROTOCOL_ID, Command, Header, HeaderFlags
from odxfs.wire.negotiate import Capabilities, Dialect, NegotiateResponse
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
from odxfs.wire.security import SessionSecurity
from odxfs.wire.transform import TRANSFORM_PROTOCOL_ID, TransformHeader
from odxfs.wire.verification import verify

_UNSIGNED_REFUSALS = frozenset({Status.USER_SESSION_DELETED, Status.NETWORK_SESSION_EXPIRED})
"""What a server that no longer has the session's keys says; a forger gains no more by it than by cutting the wire."""

LEAST_MAX_BYTES = 65536
"""A server that moves less in one request is left (MS-SMB2 3.2.5.2)."""


class ClientInbound:
    """The receiving direction of one connection."""

    def __init__(self, state: ClientState) -> None:
        self._state = state

    def responses(self) -> Iterator[Response]:
        """The responses that are complete, verified and in order. Raises ProtocolError when the connection must be closed."""
        for frame in self._state.frames.frames():
            yield from self._accept_frame(frame)

    def _accept_frame(self, frame: memoryview) -> Iterator[Response]:
        protocol = bytes(frame[:4])
        sealed = None
        if protocol == TRANSFORM_PROTOCOL_ID:
            transform = TransformHeader.unpack(frame)
            sealed = self._state.sessions.get(transform.session_id)
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
        command, session_id = self._state.outstanding.get(header.message_id, (None, 0))
        if command != header.command:
            raise ProtocolError(f"a response to message {header.message_id}, which waits for none")
        response.interim = header.status == Status.PENDING and header.is_async
        if sealed is None:
            self._check_plain(header, pdu, self._state.sessions.get(session_id), response.interim)
        elif session_id not in (sealed.session_id, 0):
            raise ProtocolError("an encrypted response of another session")
        self._state.account.available += header.credits
        if not response.interim:
            del self._state.outstanding[header.message_id]
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
            self._state.preauth_hash = extend_hash(self._state.preauth_hash, (response.pdu,))
        elif header.command == Command.SESSION_SETUP:
            hashed = self._state.login_requests.pop(header.message_id, None)
            if hashed is None or self._state.dialect != Dialect.SMB_3_1_1:
                return
            if header.status == Status.MORE_PROCESSING_REQUIRED:
                hashed = extend_hash(hashed, (response.pdu,))
            self._state.login_hashes[header.session_id] = hashed

    def _settle(self, response: NegotiateResponse) -> None:
        """Check the server's choice against the offer and keep it (MS-SMB2 3.2.5.2)."""
        if response.dialect_revision not in self._state.offer.dialects:
            raise ProtocolError(
                f"the server chose dialect {response.dialect_revision:#06x}, which was not offered"
            )
        sizes = (response.max_transact_size, response.max_read_size, response.max_write_size)
        if min(sizes) < LEAST_MAX_BYTES:
            raise ProtocolError(f"the server takes no more than {min(sizes)} bytes in a message")
        self._state.dialect = response.dialect_revision
        self._state.server_capabilities = response.capabilities
        self._state.server_security_mode = response.security_mode
        self._state.server_guid = response.server_guid
        self._state.security_token = response.security_buffer
        self._state.max_transact_bytes = response.max_transact_size
        self._state.max_read_bytes = response.max_read_size
        self._state.max_write_bytes = response.max_write_size
        if self._state.dialect == Dialect.SMB_3_1_1:
            self._settle_contexts(response.negotiate_contexts)
        elif self._state.dialect >= Dialect.SMB_3_0:
            self._state.signing_algorithm = SigningAlgorithm.AES_CMAC
            if response.capabilities & Capabilities.ENCRYPTION:
                self._state.cipher = Cipher.AES_128_CCM

    def _settle_contexts(self, contexts: Sequence[NegotiateContext]) -> None:
        preauth = find_context(contexts, PreauthIntegrityCapabilities)
        if preauth is None or preauth.hash_algorithms != (HashAlgorithm.SHA_512,):
            raise ProtocolError("the server chose no preauthentication hash that was offered")
        self._state.signing_algorithm = SigningAlgorithm.AES_CMAC
        encryption = find_context(contexts, EncryptionCapabilities)
        if encryption is not None and encryption.ciphers != (Cipher.NONE,):
            self._state.cipher = Cipher(_only_choice(encryption.ciphers, self._state.offer.ciphers, "cipher"))
        signing = find_context(contexts, SigningCapabilities)
        if signing is not None:
            chosen = _only_choice(
                signing.signing_algorithms, self._state.offer.signing_algorithms, "signing algorithm"
            )
            self._state.signing_algorithm = SigningAlgorithm(chosen)


def _only_choice(chosen: Sequence[int], offered: Sequence[int], what: str) -> int:
    if len(chosen) != 1 or chosen[0] not in offered:
        raise ProtocolError(f"the server chose a {what} that was not offered")
    return chosen[0]
