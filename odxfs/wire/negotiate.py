"""SMB2 NEGOTIATE (MS-SMB2 2.2.3, 2.2.4)."""

from dataclasses import dataclass
from enum import IntEnum
from struct import Struct
from typing import Self

from odxfs.errors import ProtocolError
from odxfs.wire.cursor import HEADER_BYTES, aligned, or_one_byte, pad, take, unpack_body
from odxfs.wire.fscc import filetime
from odxfs.wire.fscc.filetime import Filetime
from odxfs.wire.negotiate_contexts import NegotiateContext, pack_negotiate_contexts, unpack_negotiate_contexts

_REQUEST = Struct("<HHHxxI16sIHxx")
_RESPONSE = Struct("<HHHH16sIIIIQQHHI")
_REQUEST_END = HEADER_BYTES + _REQUEST.size
_RESPONSE_END = HEADER_BYTES + _RESPONSE.size

MAX_DIALECTS = 64
"""There are five; old clients list a few more."""


class Dialect(IntEnum):
    """Dialect revisions. WILDCARD answers an SMB1 negotiate that says "SMB 2.???" (MS-SMB2 3.3.5.3.1)."""

    NONE = 0x0000
    SMB_2_0_2 = 0x0202
    SMB_2_1 = 0x0210
    WILDCARD = 0x02FF
    SMB_3_0 = 0x0300
    SMB_3_0_2 = 0x0302
    SMB_3_1_1 = 0x0311


class SecurityMode:
    """SecurityMode bits."""

    SIGNING_ENABLED = 0x0001
    SIGNING_REQUIRED = 0x0002


class Capabilities:
    """Capability bits (MS-SMB2 2.2.3, 2.2.4)."""

    DFS = 0x00000001
    LEASING = 0x00000002
    LARGE_MTU = 0x00000004
    MULTI_CHANNEL = 0x00000008
    PERSISTENT_HANDLES = 0x00000010
    DIRECTORY_LEASING = 0x00000020
    ENCRYPTION = 0x00000040
    NOTIFICATIONS = 0x00000080


@dataclass(frozen=True, slots=True)
class NegotiateRequest:
    """What a client speaks. Contexts count only when 3.1.1 is among the dialects. `client_guid` is 16 raw bytes."""

    dialects: tuple[int, ...]
    security_mode: int = SecurityMode.SIGNING_ENABLED
    capabilities: int = 0
    client_guid: bytes = bytes(16)
    negotiate_contexts: tuple[NegotiateContext, ...] = ()

    @classmethod
    def unpack(cls, pdu: memoryview) -> Self:
        count, mode, capabilities, guid, offset, context_count = unpack_body(_REQUEST, 36, pdu, cls.__name__)
        if not 0 < count <= MAX_DIALECTS:
            raise ProtocolError(f"{count} dialects")
        dialects = Struct(f"<{count}H").unpack(take(pdu, _REQUEST_END, 2 * count, _REQUEST_END, "Dialects"))
        contexts: tuple[NegotiateContext, ...] = ()
        if Dialect.SMB_3_1_1 in dialects:
            contexts = unpack_negotiate_contexts(pdu, offset, context_count, _REQUEST_END + 2 * count)
        return cls(dialects, mode, capabilities, guid, contexts)

    def pack(self) -> bytes:
        dialects = Struct(f"<{len(self.dialects)}H").pack(*self.dialects)
        contexts = pack_negotiate_contexts(self.negotiate_contexts)
        offset = aligned(_REQUEST_END + len(dialects)) if contexts else 0
        head = _REQUEST.pack(
            36,
            len(self.dialects),
            self.security_mode,
            self.capabilities,
            self.client_guid,
            offset,
            len(self.negotiate_contexts),
        )
        # 64 + 36 bytes stand before the dialects, so padding is counted from the header
        return head + dialects + bytes(max(0, offset - _REQUEST_END - len(dialects))) + contexts


@dataclass(frozen=True, slots=True)
class NegotiateResponse:
    """What the server chose. `security_buffer` is its SPNEGO token (NegTokenInit2); the guid is 16 raw bytes."""

    dialect_revision: int
    server_guid: bytes
    max_transact_size: int
    max_read_size: int
    max_write_size: int
    system_time: Filetime
    security_mode: int = SecurityMode.SIGNING_ENABLED | SecurityMode.SIGNING_REQUIRED
    capabilities: int = 0
    server_start_time: Filetime = filetime.NONE
    security_buffer: bytes = b""
    negotiate_contexts: tuple[NegotiateContext, ...] = ()

    @classmethod
    def unpack(cls, pdu: memoryview) -> Self:
        (
            mode,
            dialect,
            context_count,
            guid,
            capabilities,
            transact,
            read,
            write,
            now,
            started,
            at,
            length,
            offset,
        ) = unpack_body(_RESPONSE, 65, pdu, cls.__name__)
        token = bytes(take(pdu, at, length, _RESPONSE_END, "SecurityBuffer"))
        contexts: tuple[NegotiateContext, ...] = ()
        if dialect == Dialect.SMB_3_1_1:
            contexts = unpack_negotiate_contexts(pdu, offset, context_count, _RESPONSE_END + length)
        return cls(dialect, guid, transact, read, write, now, mode, capabilities, started, token, contexts)

    def pack(self) -> bytes:
        contexts = pack_negotiate_contexts(self.negotiate_contexts)
        token = pad(self.security_buffer) if contexts else self.security_buffer
        head = _RESPONSE.pack(
            65,
            self.security_mode,
            self.dialect_revision,
            len(self.negotiate_contexts),
            self.server_guid,
            self.capabilities,
            self.max_transact_size,
            self.max_read_size,
            self.max_write_size,
            self.system_time,
            self.server_start_time,
            _RESPONSE_END,
            len(self.security_buffer),
            _RESPONSE_END + len(token) if contexts else 0,
        )
        return head + or_one_byte(token + contexts)
