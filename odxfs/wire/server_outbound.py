"""Replies into bytes: grant credits, sign or encrypt, frame (MS-SMB2 3.3.4.1)."""

from collections.abc import Sequence

from odxfs.errors import ProtocolError
from odxfs.ntstatus import Status
from odxfs.types import Buffer
from odxfs.wire.crypto.preauth import extend_hash
from odxfs.wire.error import ErrorResponse
from odxfs.wire.exchange import Chain, Reply, Request
from odxfs.wire.header import (
    HEADER_BYTES,
    HEADER_STRUCT,
    NEGOTIATE,
    NO_SIGNATURE,
    PROTOCOL_ID,
    SESSION_SETUP,
    Header,
    HeaderFlags,
)
from odxfs.wire.negotiate import Dialect
from odxfs.wire.outgoing import OutgoingMessage, frame_messages, pad_compound, sign_message
from odxfs.wire.security import SessionSecurity
from odxfs.wire.server_state import ServerState

MAX_LOGINS = 64
"""Logins of one connection that may be half done at a time: each costs a hash of 64 bytes here and an acceptor above."""

ALL_ONES = 2**64 - 1
"""The message id of what answers nothing."""

_ECHOED_FLAGS = HeaderFlags.RELATED | HeaderFlags.PRIORITY_MASK
_PENDING_BODY = ErrorResponse().pack()


class ServerOutbound:
    """The sending direction of one connection."""

    def __init__(self, state: ServerState) -> None:
        self._state = state

    def send(self, chain: Chain, replies: Sequence[Reply]) -> list[Buffer]:
        """One frame with the answers to requests of `chain`: credits granted, signed or encrypted, ready for sendmsg."""
        messages = [self._message(reply) for reply in replies]
        if len(messages) > 1:
            pad_compound(messages, pad_last=True)
        sealing = chain.security if chain.encrypted else _sealing(replies)
        if sealing is None:
            for message in messages:
                if message.signer is not None:
                    sign_message(message, from_server=True)
        else:
            for message in messages:
                message.clear_signed()
        if replies[0].request.header.command <= SESSION_SETUP:
            self._extend_hashes(replies[0], messages[0])
        return frame_messages(messages, sealing)

    def _message(self, reply: Reply) -> OutgoingMessage:
        request = reply.request
        header = request.header
        session_id = header.session_id if reply.session_id is None else reply.session_id
        security = request.security
        is_login = header.command == SESSION_SETUP
        if is_login and security is None:
            security = self._login_security(reply, session_id)
        sign = security is not None and (
            request.signed
            or security.signing_required
            or (is_login and (security is request.binding or self._ends_login(reply)))
        )
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
            granted = self._state.window.grant((header.credits or 1) if self._state.sessions else 1)
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

    def _ends_login(self, reply: Reply) -> bool:
        """Whether the login that `reply` is of, a first or a repeated one, ends here: its client is to see that the server
        has the keys.
        """
        return reply.status == Status.SUCCESS and self._state.dialect >= Dialect.SMB_3_0

    def _login_security(self, reply: Reply, session_id: int) -> SessionSecurity | None:
        """Whose keys sign a leg of a login: its own once it has succeeded; until then, and in a refusal, those of the session
        that the connection is to be bound to, if the client has proven to have them.
        """
        return (
            self._state.sessions.get(session_id) if reply.status == Status.SUCCESS else reply.request.binding
        )

    def _extend_hashes(self, reply: Reply, message: OutgoingMessage) -> None:
        """Chain what the preauthentication hashes cover: NEGOTIATE, and every leg of a first login but its success."""
        request = reply.request
        if self._state.dialect != Dialect.SMB_3_1_1 or request.security is not None:
            return
        if request.header.command == NEGOTIATE:
            self._state.preauth_hash = extend_hash(self._state.preauth_hash, message.pieces())
        elif reply.status == Status.MORE_PROCESSING_REQUIRED and reply.session_id:
            if reply.session_id not in self._state.logins and len(self._state.logins) >= MAX_LOGINS:
                raise ProtocolError("too many logins are half done on one connection")
            before = extend_hash(
                self._state.logins.get(reply.session_id, self._state.preauth_hash), (request.pdu,)
            )
            self._state.logins[reply.session_id] = extend_hash(before, message.pieces())

    def interim(self, chain: Chain, request: Request, async_id: int, *, with_credits: bool) -> list[Buffer]:
        """The STATUS_PENDING answer that makes `request` an asynchronous one; grants its credits (3.3.4.2) if it shall.

        Not signed, because the final answer has the same message id and AES-GMAC must see an id once only.
        """
        was_granted, request.granted = request.granted, request.granted or not with_credits
        message = self._message(Reply(request, Status.PENDING, _PENDING_BODY, async_id=async_id))
        if not with_credits:
            request.granted = was_granted
        message.clear_signed()
        sealing = chain.security if chain.encrypted else None
        return frame_messages([message], sealing)

    def unsolicited(
        self, session_id: int, command: int, body: bytes, *, encrypt: bool = False
    ) -> list[Buffer]:
        """A message that answers nothing (OPLOCK_BREAK): message id all ones, not signed, encrypted if the session is.

        `encrypt` is for what concerns a share that wants encryption.
        """
        header = Header(command, flags=HeaderFlags.SERVER_TO_REDIR, message_id=ALL_ONES)
        security = self._state.sessions.get(session_id)
        seals = security is not None and security.sealer is not None and (encrypt or security.encrypt_data)
        sealing = security if seals else None
        return frame_messages([OutgoingMessage(header.pack() + body, None, ALL_ONES)], sealing)


def _sealing(replies: Sequence[Reply]) -> SessionSecurity | None:
    """Whose keys encrypt the answers to a plain request: those of a session that demands it (3.3.4.1.4).

    A login's own answer is never encrypted. A tree that demands it is no reason: it admits no plain request, and that of a
    TREE_CONNECT is the one that learns of the demand.
    """
    for reply in replies:
        security = reply.request.security
        if security is not None and security.encrypt_data and reply.request.header.command != SESSION_SETUP:
            return security
    return None
