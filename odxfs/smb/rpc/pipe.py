"""One open of a named pipe: DCE/RPC bytes in, DCE/RPC bytes out, no I/O of its own.

SMB hands over what the client writes (WRITE, or FSCTL_PIPE_TRANSCEIVE) and takes what there is to read (READ, or the
same FSCTL). The pipe is in message mode: every fragment is a message, and a read that takes only part of one says so
(STATUS_BUFFER_OVERFLOW). What a client can make it hold is bounded by MAX_CALL_BYTES, and by one answer beyond MAX_WAITING_BYTES.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from uuid import UUID

from odxfs.errors import OdxfsError, ProtocolError
from odxfs.ntstatus import Status
from odxfs.smb.request import SmbError
from odxfs.smb.rpc import pdu
from odxfs.smb.rpc.pdu import BindResult, Fault, PduType, RejectReason
from odxfs.types import Buffer

MAX_FRAGMENT_BYTES = 4280
"""What Windows and Samba propose for a pipe; a longer fragment is a protocol error."""

MIN_FRAGMENT_BYTES = 1432
"""The fragment every peer must take (C706 12.6.3.1, MustRecvFragSize)."""

MAX_CALL_BYTES = 64 * 1024
"""The stub of one call: a thousand SIDs to look up. Most of the calls served here take a name or two."""

MAX_WAITING_BYTES = 64 * 1024
"""Answers that the client has not read, past which no call is answered: clients read each answer before the next call. One may
have any length, as a list of ten thousand shares has; what a client makes long itself, names of SIDs, is 300 KiB at most."""

MAX_UNREAD_ANSWERS = 16
"""Calls and binds answered before the client has read what there is: clients wait for each answer, and one write has room for
a hundred thousand calls."""

MAX_FRAGMENTS_PER_WRITE = 256
"""Fragments in one write: clients send one; the longest call in the shortest fragments that a peer may insist on has 47."""

_AUTHENTICATION_NOT_KNOWN = 8

logger = logging.getLogger(__name__)


class PipeError(SmbError):
    """The pipe cannot do what is asked; `status` is the SMB answer."""


class RpcFault(OdxfsError):
    """A call ends in a fault PDU with `code`."""

    def __init__(self, code: Fault) -> None:
        super().__init__(code.name)
        self.code = code


@dataclass(frozen=True, slots=True)
class Interface:
    """One RPC interface: its name on the pipe, its UUID and major version, and what answers a call.

    `call(opnum, stub)` returns the answer's stub bytes or raises RpcFault.
    """

    endpoint: str
    uuid: UUID
    major_version: int
    call: Callable[[int, bytes], bytes]


class Pipe:
    """The state of one open of a pipe. Not for concurrent use; it never waits."""

    __slots__ = (
        "_call",
        "_contexts",
        "_fragment_bytes",
        "_incoming",
        "_interface",
        "_stub",
        "_unread_answers",
        "_waiting",
        "_waiting_bytes",
    )

    def __init__(self, interface: Interface) -> None:
        self._interface = interface
        self._contexts: set[int] = set()
        self._fragment_bytes = MAX_FRAGMENT_BYTES
        self._incoming = bytearray()
        self._call: tuple[int, int, int] | None = None
        self._stub = bytearray()
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._unread_answers = 0

    @property
    def waiting_bytes(self) -> int:
        """How many bytes there are to read."""
        return self._waiting_bytes

    @property
    def messages(self) -> int:
        """How many messages there are to read, the partly read one included."""
        return len(self._waiting)

    def write(self, data: Buffer) -> None:
        """`take`, without letting anybody else run."""
        for _ in self.take(data):
            pass

    def take(self, data: Buffer) -> Iterator[None]:
        """Take what the client wrote; stops between two calls, so that others may run (each costs milliseconds).

        PipeError(INVALID_PIPE_STATE) when nobody reads, PIPE_BROKEN for what is not RPC. What was answered before an error stays
        there to be read; the rest of the write is forgotten.
        """
        self._check_read()
        self._incoming += data
        try:
            yield from self._take_fragments()
        except (ProtocolError, PipeError) as error:
            self._incoming.clear()
            if isinstance(error, PipeError):
                raise
            logger.info("pipe %s: %s", self._interface.endpoint, error)
            raise PipeError(Status.PIPE_BROKEN) from error

    def _take_fragments(self) -> Iterator[None]:
        """Take every whole fragment that has come."""
        taken = 0
        while (fragment := self._next_fragment()) is not None:
            taken += 1
            if taken > MAX_FRAGMENTS_PER_WRITE:
                raise ProtocolError("more RPC fragments in one write than a call can have")
            self._check_read()
            answers = self._unread_answers
            self._take(*fragment)
            if self._unread_answers != answers and self._incoming:
                yield

    def _check_read(self) -> None:
        if self._waiting_bytes > MAX_WAITING_BYTES or self._unread_answers >= MAX_UNREAD_ANSWERS:
            raise PipeError(Status.INVALID_PIPE_STATE)

    def read(self, length: int) -> tuple[bytes, bool]:
        """At most `length` bytes of the next message, and whether more of it is left.

        PipeError(PIPE_EMPTY) when there is none: everything is answered at the write, so waiting would be for ever.
        """
        if not self._waiting:
            raise PipeError(Status.PIPE_EMPTY)
        message = self._waiting.popleft()
        part, rest = message[:length], message[length:]
        if rest:
            self._waiting.appendleft(rest)
        self._waiting_bytes -= len(part)
        if not self._waiting:
            self._unread_answers = 0
        return part, bool(rest)

    def transceive(self, data: Buffer, length: int) -> tuple[bytes, bool]:
        """`take_alone` then read, without letting anybody else run."""
        for _ in self.take_alone(data):
            pass
        return self.read(length)

    def take_alone(self, data: Buffer) -> Iterator[None]:
        """`take` for who reads the answer himself (FSCTL_PIPE_TRANSCEIVE). PipeError(PIPE_BUSY) while answers are unread."""
        if self._waiting:
            raise PipeError(Status.PIPE_BUSY)
        yield from self.take(data)

    def _next_fragment(self) -> tuple[pdu.PduHeader, bytes] | None:
        if len(self._incoming) < pdu.HEADER_BYTES:
            return None
        header = pdu.unpack_header(bytes(self._incoming[: pdu.HEADER_BYTES]))
        if not pdu.HEADER_BYTES <= header.fragment_bytes <= MAX_FRAGMENT_BYTES * 2:
            raise ProtocolError("an RPC fragment of a length that was not agreed")
        if len(self._incoming) < header.fragment_bytes:
            return None
        fragment = bytes(self._incoming[: header.fragment_bytes])
        del self._incoming[: header.fragment_bytes]
        return header, fragment

    def _take(self, header: pdu.PduHeader, fragment: bytes) -> None:
        if header.kind in (PduType.BIND, PduType.ALTER_CONTEXT):
            self._answer([self._bind(header, fragment)])
        elif header.kind == PduType.REQUEST:
            self._request(header, fragment)
        elif header.kind in (PduType.CANCEL, PduType.ORPHANED):
            self._drop_call()
        else:
            raise ProtocolError("an RPC PDU that only a server sends, or RPC authentication")

    def _answer(self, fragments: list[bytes]) -> None:
        self._waiting += fragments
        self._waiting_bytes += sum(map(len, fragments))
        self._unread_answers += 1

    def _bind(self, header: pdu.PduHeader, fragment: bytes) -> bytes:
        if header.authentication_bytes:
            return pdu.pack_bind_nak(header.call_id, _AUTHENTICATION_NOT_KNOWN)
        bind = pdu.unpack_bind(fragment)
        first = header.kind == PduType.BIND
        if first:
            size = min(MAX_FRAGMENT_BYTES, bind.max_receive_bytes or MAX_FRAGMENT_BYTES)
            self._fragment_bytes = max(MIN_FRAGMENT_BYTES, size)
        results = [self._accept(context) for context in bind.contexts]
        kind = PduType.BIND_ACK if first else PduType.ALTER_CONTEXT_RESPONSE
        endpoint = f"\\PIPE\\{self._interface.endpoint}" if first else ""
        group = bind.association_group or 0x53F0
        return pdu.pack_bind_ack(header.call_id, kind, self._fragment_bytes, group, endpoint, results)

    def _accept(self, context: pdu.ProposedContext) -> tuple[BindResult, RejectReason]:
        interface = context.interface
        if (
            interface.uuid != self._interface.uuid
            or interface.version & 0xFFFF != self._interface.major_version
        ):
            return BindResult.PROVIDER_REJECTION, RejectReason.ABSTRACT_SYNTAX
        if pdu.Syntax(pdu.NDR, pdu.NDR_VERSION) not in context.transfers:
            return BindResult.PROVIDER_REJECTION, RejectReason.TRANSFER_SYNTAXES
        if len(self._contexts) >= pdu.MAX_CONTEXTS:
            raise ProtocolError("too many RPC contexts on one pipe")
        self._contexts.add(context.context_id)
        return BindResult.ACCEPTED, RejectReason.NONE

    def _request(self, header: pdu.PduHeader, fragment: bytes) -> None:
        part = pdu.unpack_request(fragment, header.flags)
        call = (header.call_id, part.context_id, part.opnum)
        if header.flags & pdu.FIRST_FRAGMENT:
            self._drop_call()
            self._call = call
        if call != self._call or header.authentication_bytes:
            self._drop_call()
            self._answer([pdu.pack_fault(header.call_id, part.context_id, Fault.PROTOCOL_ERROR)])
            return
        self._stub += part.stub
        if len(self._stub) > MAX_CALL_BYTES:
            self._drop_call()
            self._answer([pdu.pack_fault(header.call_id, part.context_id, Fault.NO_MEMORY)])
        elif header.flags & pdu.LAST_FRAGMENT:
            stub = bytes(self._stub)
            self._drop_call()
            self._execute(call, stub)

    def _drop_call(self) -> None:
        self._call = None
        self._stub.clear()

    def _execute(self, call: tuple[int, int, int], stub: bytes) -> None:
        call_id, context_id, opnum = call
        try:
            if context_id not in self._contexts:
                raise RpcFault(Fault.UNKNOWN_INTERFACE)
            answer = self._interface.call(opnum, stub)
        except RpcFault as fault:
            self._answer([pdu.pack_fault(call_id, context_id, fault.code)])
            return
        self._answer(pdu.pack_response(call_id, context_id, answer, self._fragment_bytes))
