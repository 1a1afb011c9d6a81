"""Bytes into checked requests: unframe, decrypt, split, and verify in the order of MS-SMB2 3.3.5.2."""

from collections.abc import Iterator

from odxfs.errors import ProtocolError
from odxfs.ntstatus import Status
from odxfs.wire.compound import split_compound
from odxfs.wire.credits import CREDIT_BYTES
from odxfs.wire.exchange import Chain, Request
from odxfs.wire.header import CANCEL, NEGOTIATE, PROTOCOL_ID, SESSION_SETUP, Command, Header, HeaderFlags
from odxfs.wire.negotiate_smb1 import PROTOCOL_ID as SMB1_PROTOCOL_ID
from odxfs.wire.negotiate_smb1 import Smb1NegotiateRequest
from odxfs.wire.payload import payload_bytes
from odxfs.wire.security import SessionSecurity
from odxfs.wire.server_state import ServerState
from odxfs.wire.transform import TRANSFORM_PROTOCOL_ID, TransformHeader
from odxfs.wire.verification import verify

_NO_SESSION_NEEDED = frozenset({Command.NEGOTIATE, Command.SESSION_SETUP})
_NOT_COUNTED = frozenset({Command.SESSION_SETUP, Command.LOGOFF})


class ServerInbound:
    """The receiving direction of one connection."""

    def __init__(self, state: ServerState) -> None:
        self._state = state

    def chains(self) -> Iterator[Chain]:
        """The compounds that are complete, checked and in order. Raises ProtocolError when the connection must be closed."""
        for frame in self._state.frames.frames():
            protocol = bytes(frame[:4])
            if protocol == PROTOCOL_ID:
                chain = self._accept(frame, None)
            elif protocol == TRANSFORM_PROTOCOL_ID:
                chain = self._accept_sealed(frame)
            elif protocol == SMB1_PROTOCOL_ID:
                chain = self._accept_smb1(frame)
            else:
                raise ProtocolError(f"a message that begins with {protocol.hex()}")
            if chain.requests:
                yield chain

    def _accept_smb1(self, frame: memoryview) -> Chain:
        if self._state.dialect != 0:
            raise ProtocolError("SMB1 after NEGOTIATE")
        parsed = Smb1NegotiateRequest.unpack(frame)
        if not parsed.offers_wildcard:
            raise ProtocolError("an SMB1 client that does not speak SMB 2.1 or later", Status.NOT_SUPPORTED)
        self._state.window.take(0, 1)
        header = Header(command=NEGOTIATE, credits=1)
        return Chain([Request(header, frame, smb1_dialects=parsed.dialects)])

    def _accept_sealed(self, frame: memoryview) -> Chain:
        transform = TransformHeader.unpack(frame)
        security = self._state.sessions.get(transform.session_id)
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
        is_cancel = command == CANCEL
        if not is_cancel:
            self._state.window.take(header.message_id, header.credit_charge or 1)
        signed = sealed is None and header.flags & HeaderFlags.SIGNED != 0
        if sealed is None:
            security = self._state.sessions.get(header.session_id)
            refusal = self._check_security(header, pdu, security, signed)
        elif header.session_id == sealed.session_id:
            security, refusal = sealed, None
        else:
            raise ProtocolError("an encrypted message for another session", Status.USER_SESSION_DELETED)
        if is_cancel and (refusal is not None or security is None):
            return None
        if refusal is None and not is_cancel:
            refusal = _check_charge(header, pdu)
        if refusal is None and security is not None and command not in _NOT_COUNTED:
            self._state.traffic.count(signed=signed, encrypted=sealed is not None)
        return Request(header, pdu, signed, refusal, security)

    def _check_state(self, header: Header) -> None:
        if header.flags & HeaderFlags.SERVER_TO_REDIR:
            raise ProtocolError("a response where a request was due")
        negotiated = self._state.negotiated
        if negotiated == (header.command == NEGOTIATE):
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
        if security.encrypt_data and command != SESSION_SETUP:
            return Status.ACCESS_DENIED
        if security.signing_required and not signed:
            return Status.ACCESS_DENIED
        return None


def _check_charge(header: Header, pdu: memoryview) -> Status | None:
    """INVALID_PARAMETER when the CreditCharge does not cover the payload."""
    if payload_bytes(header.command, pdu) > CREDIT_BYTES * (header.credit_charge or 1):
        return Status.INVALID_PARAMETER
    return None
