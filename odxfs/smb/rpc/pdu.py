"""The connection-oriented PDUs of DCE/RPC that a named pipe carries (C706 chapter 12, MS-RPCE 2.2.2).

Only what a server of a few cold interfaces needs: bind, alter context, request in; bind ack, bind nak, response and fault
out. Little-endian peers without RPC authentication, which a pipe inside an authenticated SMB session does not need.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum
from uuid import UUID

from odxfs.errors import ProtocolError


class PduType(IntEnum):
    """The PDU types a pipe sees (C706 12.6.3.1)."""

    REQUEST = 0
    RESPONSE = 2
    FAULT = 3
    BIND = 11
    BIND_ACK = 12
    BIND_NAK = 13
    ALTER_CONTEXT = 14
    ALTER_CONTEXT_RESPONSE = 15
    AUTH3 = 16
    CANCEL = 18
    ORPHANED = 19


class Fault(IntEnum):
    """Fault statuses (C706 appendix E, MS-RPCE 2.2.2.11)."""

    OPNUM_RANGE = 0x1C010002
    UNKNOWN_INTERFACE = 0x1C010003
    PROTOCOL_ERROR = 0x1C01000B
    BAD_STUB_DATA = 0x000006F7
    NO_MEMORY = 0x1C00001B
    CONTEXT_MISMATCH = 0x1C00001A
    CANNOT_PERFORM = 0x000006D8


class BindResult(IntEnum):
    """What becomes of one proposed presentation context (C706 12.6.3.1, p_cont_def_result_t)."""

    ACCEPTED = 0
    PROVIDER_REJECTION = 2


class RejectReason(IntEnum):
    """Why a presentation context is rejected (C706 12.6.3.1, p_provider_reason_t)."""

    NONE = 0
    ABSTRACT_SYNTAX = 1
    TRANSFER_SYNTAXES = 2


FIRST_FRAGMENT, LAST_FRAGMENT, OBJECT_PRESENT = 0x01, 0x02, 0x80
HEADER = struct.Struct("<BBBB4sHHI")
HEADER_BYTES = HEADER.size
LITTLE_ENDIAN = b"\x10\x00\x00\x00"
NDR = UUID("8a885d04-1ceb-11c9-9fe8-08002b104860")
NDR_VERSION = 2
MAX_CONTEXTS = 16
"""Presentation contexts of one bind; clients propose one to three."""

_BIND_HEAD = struct.Struct("<HHIBBH")
_CONTEXT_HEAD = struct.Struct("<HBB")
_SYNTAX = struct.Struct("<16sI")
_RESULT = struct.Struct("<HH16sI")
_REQUEST_HEAD = struct.Struct("<IHH")
_RESPONSE_HEAD = struct.Struct("<IHBB")
_FAULT_BODY = struct.Struct("<IHBBII")


@dataclass(frozen=True, slots=True)
class PduHeader:
    """The 16 bytes that open every PDU."""

    kind: int
    flags: int
    fragment_bytes: int
    authentication_bytes: int
    call_id: int


@dataclass(frozen=True, slots=True)
class Syntax:
    """An interface or a transfer syntax: its UUID and version (major in the low 16 bits)."""

    uuid: UUID
    version: int


@dataclass(frozen=True, slots=True)
class ProposedContext:
    """One presentation context of a bind: an interface and the encodings offered for it."""

    context_id: int
    interface: Syntax
    transfers: tuple[Syntax, ...]


@dataclass(frozen=True, slots=True)
class Bind:
    """A bind or alter-context PDU; fragment sizes in bytes."""

    max_transmit_bytes: int
    max_receive_bytes: int
    association_group: int
    contexts: tuple[ProposedContext, ...]


@dataclass(frozen=True, slots=True)
class RequestFragment:
    """One fragment of a call: its stub bytes and what they are for."""

    context_id: int
    opnum: int
    stub: bytes


def unpack_header(data: bytes) -> PduHeader:
    """The header of the PDU that `data` begins with; ProtocolError for other versions and byte orders."""
    if len(data) < HEADER_BYTES:
        raise ProtocolError("an RPC PDU is shorter than its header")
    major, minor, kind, flags, order, fragment_bytes, authentication_bytes, call_id = HEADER.unpack_from(data)
    if major != 5 or minor > 1 or order[0] != LITTLE_ENDIAN[0]:
        raise ProtocolError("an RPC PDU of another version or byte order")
    return PduHeader(kind, flags, fragment_bytes, authentication_bytes, call_id)


def unpack_bind(pdu: bytes) -> Bind:
    """A bind or alter context; ProtocolError where it is cut short or proposes too much."""
    try:
        transmit, receive, group, count, _, _ = _BIND_HEAD.unpack_from(pdu, HEADER_BYTES)
        if count > MAX_CONTEXTS:
            raise ProtocolError("an RPC bind proposes too many contexts")
        contexts, offset = [], HEADER_BYTES + _BIND_HEAD.size
        for _ in range(count):
            context, offset = _unpack_context(pdu, offset)
            contexts.append(context)
    except struct.error as error:
        raise ProtocolError("an RPC bind is cut short") from error
    return Bind(transmit, receive, group, tuple(contexts))


def _unpack_context(pdu: bytes, offset: int) -> tuple[ProposedContext, int]:
    context_id, transfer_count, _ = _CONTEXT_HEAD.unpack_from(pdu, offset)
    offset += _CONTEXT_HEAD.size
    if transfer_count > MAX_CONTEXTS:
        raise ProtocolError("an RPC bind proposes too many transfer syntaxes")
    interface = _unpack_syntax(pdu, offset)
    transfers = tuple(
        _unpack_syntax(pdu, offset + _SYNTAX.size * (index + 1)) for index in range(transfer_count)
    )
    return ProposedContext(context_id, interface, transfers), offset + _SYNTAX.size * (transfer_count + 1)


def _unpack_syntax(pdu: bytes, offset: int) -> Syntax:
    uuid, version = _SYNTAX.unpack_from(pdu, offset)
    return Syntax(UUID(bytes_le=uuid), version)


def unpack_request(pdu: bytes, flags: int) -> RequestFragment:
    """One request fragment; ProtocolError when it is cut short."""
    offset = HEADER_BYTES + _REQUEST_HEAD.size + (16 if flags & OBJECT_PRESENT else 0)
    if len(pdu) < offset:
        raise ProtocolError("an RPC request is cut short")
    _, context_id, opnum = _REQUEST_HEAD.unpack_from(pdu, HEADER_BYTES)
    return RequestFragment(context_id, opnum, bytes(pdu[offset:]))


def _pack(kind: PduType, flags: int, call_id: int, body: bytes) -> bytes:
    return HEADER.pack(5, 0, kind, flags, LITTLE_ENDIAN, HEADER_BYTES + len(body), 0, call_id) + body


_WHOLE = FIRST_FRAGMENT | LAST_FRAGMENT


def pack_bind_ack(
    call_id: int,
    kind: PduType,
    fragment_bytes: int,
    group: int,
    endpoint: str,
    results: list[tuple[BindResult, RejectReason]],
) -> bytes:
    """The answer to a bind (`kind` BIND_ACK) or an alter context (ALTER_CONTEXT_RESPONSE)."""
    address = endpoint.encode("ascii") + b"\0" if endpoint else b""
    body = struct.pack("<HHIH", fragment_bytes, fragment_bytes, group, len(address)) + address
    body += bytes(-len(body) % 4) + struct.pack("<BBH", len(results), 0, 0)
    for result, reason in results:
        accepted = result is BindResult.ACCEPTED
        uuid, version = (NDR.bytes_le, NDR_VERSION) if accepted else (bytes(16), 0)
        body += _RESULT.pack(result, reason, uuid, version)
    return _pack(kind, _WHOLE, call_id, body)


def pack_bind_nak(call_id: int, reason: int) -> bytes:
    """The refusal of a bind; `reason` 4 is a version, 8 an authentication type that is not known (MS-RPCE 2.2.2.5)."""
    return _pack(PduType.BIND_NAK, _WHOLE, call_id, struct.pack("<HBBB", reason, 1, 5, 0))


def pack_fault(call_id: int, context_id: int, status: int) -> bytes:
    """The fault that ends a call."""
    return _pack(PduType.FAULT, _WHOLE, call_id, _FAULT_BODY.pack(32, context_id, 0, 0, status, 0))


def pack_response(call_id: int, context_id: int, stub: bytes, fragment_bytes: int) -> list[bytes]:
    """The answer of a call as fragments of at most `fragment_bytes` each."""
    room = (fragment_bytes - HEADER_BYTES - _RESPONSE_HEAD.size) & ~7
    offsets = range(0, max(len(stub), 1), room)
    fragments = []
    for offset in offsets:
        flags = (FIRST_FRAGMENT if offset == 0 else 0) | (LAST_FRAGMENT if offset + room >= len(stub) else 0)
        head = _RESPONSE_HEAD.pack(len(stub) - offset, context_id, 0, 0)
        fragments.append(_pack(PduType.RESPONSE, flags, call_id, head + stub[offset : offset + room]))
    return fragments
