"""Negotiate contexts (MS-SMB2 2.2.3.1, 2.2.4.1): what the ends of a 3.1.1 connection offer and choose.

Request and response use the same structures; a response names one algorithm where a request offers several.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from struct import Struct
from typing import ClassVar, Self, TypeVar

from odxfs.errors import ProtocolError
from odxfs.types import Buffer
from odxfs.wire.cursor import aligned, decode_utf16, encode_utf16, pad, take, unpack_fixed

MAX_CONTEXTS = 32
"""More contexts than anybody sends (Windows: six); a bound on what an unauthenticated peer makes us parse."""

_HEAD = Struct("<HHI")
_COUNT = Struct("<H")
_PREAUTH = Struct("<HH")
_COMPRESSION = Struct("<HHI")
_RDMA = Struct("<HHI")
_TRANSPORT = Struct("<I")


class NegotiateContextType(IntEnum):
    """ContextType (MS-SMB2 2.2.3.1)."""

    PREAUTH_INTEGRITY_CAPABILITIES = 0x0001
    ENCRYPTION_CAPABILITIES = 0x0002
    COMPRESSION_CAPABILITIES = 0x0003
    NETNAME_NEGOTIATE_CONTEXT_ID = 0x0005
    TRANSPORT_CAPABILITIES = 0x0006
    RDMA_TRANSFORM_CAPABILITIES = 0x0007
    SIGNING_CAPABILITIES = 0x0008


class HashAlgorithm(IntEnum):
    """Preauthentication integrity hashes (MS-SMB2 2.2.3.1.1)."""

    SHA_512 = 0x0001


class Cipher(IntEnum):
    """Encryption algorithms (MS-SMB2 2.2.3.1.2)."""

    NONE = 0x0000
    AES_128_CCM = 0x0001
    AES_128_GCM = 0x0002
    AES_256_CCM = 0x0003
    AES_256_GCM = 0x0004


class SigningAlgorithm(IntEnum):
    """Signing algorithms (MS-SMB2 2.2.3.1.7)."""

    HMAC_SHA256 = 0x0000
    AES_CMAC = 0x0001
    AES_GMAC = 0x0002


class CompressionAlgorithm(IntEnum):
    """Compression algorithms (MS-SMB2 2.2.3.1.3)."""

    NONE = 0x0000
    LZNT1 = 0x0001
    LZ77 = 0x0002
    LZ77_HUFFMAN = 0x0003
    PATTERN_V1 = 0x0004
    LZ4 = 0x0005


def _unpack_ids(data: Buffer, offset: int, count: int, what: str) -> tuple[int, ...]:
    if count == 0:
        raise ProtocolError(f"{what} offers nothing")
    part = take(data, offset, 2 * count, offset, what)
    return Struct(f"<{count}H").unpack(part)


def _pack_ids(ids: Sequence[int]) -> bytes:
    return Struct(f"<{len(ids)}H").pack(*ids)


@dataclass(frozen=True, slots=True)
class PreauthIntegrityCapabilities:
    """SMB2_PREAUTH_INTEGRITY_CAPABILITIES (MS-SMB2 2.2.3.1.1)."""

    CONTEXT_TYPE: ClassVar[int] = NegotiateContextType.PREAUTH_INTEGRITY_CAPABILITIES

    hash_algorithms: tuple[int, ...]
    salt: bytes = b""

    @classmethod
    def unpack(cls, data: Buffer) -> Self:
        count, salt_length = unpack_fixed(_PREAUTH, data, cls.__name__)
        hashes = _unpack_ids(data, _PREAUTH.size, count, cls.__name__)
        end = _PREAUTH.size + 2 * count
        return cls(hashes, bytes(take(data, end, salt_length, end, "Salt")))

    def pack(self) -> bytes:
        return (
            _PREAUTH.pack(len(self.hash_algorithms), len(self.salt))
            + _pack_ids(self.hash_algorithms)
            + self.salt
        )


@dataclass(frozen=True, slots=True)
class EncryptionCapabilities:
    """SMB2_ENCRYPTION_CAPABILITIES (MS-SMB2 2.2.3.1.2), best first."""

    CONTEXT_TYPE: ClassVar[int] = NegotiateContextType.ENCRYPTION_CAPABILITIES

    ciphers: tuple[int, ...]

    @classmethod
    def unpack(cls, data: Buffer) -> Self:
        (count,) = unpack_fixed(_COUNT, data, cls.__name__)
        return cls(_unpack_ids(data, _COUNT.size, count, cls.__name__))

    def pack(self) -> bytes:
        return _COUNT.pack(len(self.ciphers)) + _pack_ids(self.ciphers)


@dataclass(frozen=True, slots=True)
class CompressionCapabilities:
    """SMB2_COMPRESSION_CAPABILITIES (MS-SMB2 2.2.3.1.3); flag 1 allows chained compression."""

    CONTEXT_TYPE: ClassVar[int] = NegotiateContextType.COMPRESSION_CAPABILITIES

    compression_algorithms: tuple[int, ...]
    flags: int = 0

    @classmethod
    def unpack(cls, data: Buffer) -> Self:
        count, _, flags = unpack_fixed(_COMPRESSION, data, cls.__name__)
        return cls(_unpack_ids(data, _COMPRESSION.size, count, cls.__name__), flags)

    def pack(self) -> bytes:
        count = len(self.compression_algorithms)
        return _COMPRESSION.pack(count, 0, self.flags) + _pack_ids(self.compression_algorithms)


@dataclass(frozen=True, slots=True)
class NetnameNegotiateContextId:
    """SMB2_NETNAME_NEGOTIATE_CONTEXT_ID (MS-SMB2 2.2.3.1.4): the server name the client typed. A hint, never trusted."""

    CONTEXT_TYPE: ClassVar[int] = NegotiateContextType.NETNAME_NEGOTIATE_CONTEXT_ID

    net_name: str

    @classmethod
    def unpack(cls, data: Buffer) -> Self:
        return cls(decode_utf16(data, "NetName"))

    def pack(self) -> bytes:
        return encode_utf16(self.net_name)


@dataclass(frozen=True, slots=True)
class TransportCapabilities:
    """SMB2_TRANSPORT_CAPABILITIES (MS-SMB2 2.2.3.1.5); flag 1 accepts the transport's own security."""

    CONTEXT_TYPE: ClassVar[int] = NegotiateContextType.TRANSPORT_CAPABILITIES

    flags: int

    @classmethod
    def unpack(cls, data: Buffer) -> Self:
        return cls(*unpack_fixed(_TRANSPORT, data, cls.__name__))

    def pack(self) -> bytes:
        return _TRANSPORT.pack(self.flags)


@dataclass(frozen=True, slots=True)
class RdmaTransformCapabilities:
    """SMB2_RDMA_TRANSFORM_CAPABILITIES (MS-SMB2 2.2.3.1.6)."""

    CONTEXT_TYPE: ClassVar[int] = NegotiateContextType.RDMA_TRANSFORM_CAPABILITIES

    rdma_transform_ids: tuple[int, ...]

    @classmethod
    def unpack(cls, data: Buffer) -> Self:
        count, _, _ = unpack_fixed(_RDMA, data, cls.__name__)
        return cls(_unpack_ids(data, _RDMA.size, count, cls.__name__))

    def pack(self) -> bytes:
        return _RDMA.pack(len(self.rdma_transform_ids), 0, 0) + _pack_ids(self.rdma_transform_ids)


@dataclass(frozen=True, slots=True)
class SigningCapabilities:
    """SMB2_SIGNING_CAPABILITIES (MS-SMB2 2.2.3.1.7), best first."""

    CONTEXT_TYPE: ClassVar[int] = NegotiateContextType.SIGNING_CAPABILITIES

    signing_algorithms: tuple[int, ...]

    @classmethod
    def unpack(cls, data: Buffer) -> Self:
        (count,) = unpack_fixed(_COUNT, data, cls.__name__)
        return cls(_unpack_ids(data, _COUNT.size, count, cls.__name__))

    def pack(self) -> bytes:
        return _COUNT.pack(len(self.signing_algorithms)) + _pack_ids(self.signing_algorithms)


@dataclass(frozen=True, slots=True)
class UnknownContext:
    """A context of a type this package has no structure for; it must be ignored (MS-SMB2 3.3.5.4)."""

    context_type: int
    data: bytes

    @property
    def CONTEXT_TYPE(self) -> int:  # noqa: N802 - the same name as the constant of the known contexts
        return self.context_type

    def pack(self) -> bytes:
        return self.data


NegotiateContext = (
    PreauthIntegrityCapabilities
    | EncryptionCapabilities
    | CompressionCapabilities
    | NetnameNegotiateContextId
    | TransportCapabilities
    | RdmaTransformCapabilities
    | SigningCapabilities
    | UnknownContext
)

_PARSERS: dict[int, Callable[[Buffer], NegotiateContext]] = {
    known.CONTEXT_TYPE: known.unpack
    for known in (
        PreauthIntegrityCapabilities,
        EncryptionCapabilities,
        CompressionCapabilities,
        NetnameNegotiateContextId,
        TransportCapabilities,
        RdmaTransformCapabilities,
        SigningCapabilities,
    )
}

Known = TypeVar("Known", bound=NegotiateContext)


def find_context(contexts: Iterable[NegotiateContext], kind: type[Known]) -> Known | None:
    """The first context of class `kind`. A peer that sends one kind twice is the caller's to refuse."""
    return next((context for context in contexts if isinstance(context, kind)), None)


def unpack_negotiate_contexts(
    pdu: Buffer, offset: int, count: int, floor: int
) -> tuple[NegotiateContext, ...]:
    """`count` contexts of `pdu` from `offset` on, which must be aligned to 8 and not before `floor`."""
    if count > MAX_CONTEXTS or (count and (offset % 8 or offset < floor)):
        raise ProtocolError(f"{count} negotiate contexts at {offset}")
    contexts = []
    for _ in range(count):
        context_type, length, _ = unpack_fixed(_HEAD, memoryview(pdu)[offset:], "negotiate context")
        data = take(pdu, offset + _HEAD.size, length, offset, "negotiate context")
        parse = _PARSERS.get(context_type)
        contexts.append(parse(data) if parse else UnknownContext(context_type, bytes(data)))
        offset = aligned(offset + _HEAD.size + length)
    return tuple(contexts)


def pack_negotiate_contexts(contexts: Sequence[NegotiateContext]) -> bytes:
    """The list as it stands at an offset aligned to 8; the last one is not padded."""
    parts = b""
    for context in contexts:
        data = context.pack()
        parts = pad(parts) + _HEAD.pack(context.CONTEXT_TYPE, len(data), 0) + data
    return parts
