"""FSCTL_SRV_COPYCHUNK and FSCTL_SRV_COPYCHUNK_WRITE (MS-SMB2 2.2.31.1, 2.2.32.1)."""

from dataclasses import dataclass
from struct import Struct
from typing import ClassVar, NamedTuple, Self

from odxfs.errors import ProtocolError
from odxfs.types import Buffer
from odxfs.wire.cursor import take, unpack_fixed
from odxfs.wire.structure import FixedStructure

_HEAD = Struct("<24sI4x")
_CHUNK = Struct("<QQI4x")

MAX_CHUNKS = 256
MAX_CHUNK_BYTES = 1024 * 1024
MAX_TOTAL_BYTES = 16 * 1024 * 1024
"""The limits of Windows (MS-SMB2 notes to 3.3.3), which clients take for granted."""


class SrvCopychunk(NamedTuple):
    """Copy `length` bytes from `source_offset` to `target_offset` (bytes)."""

    source_offset: int
    target_offset: int
    length: int


@dataclass(frozen=True, slots=True)
class SrvCopychunkCopy:
    """The request; `source_key` is the 24-byte resume key of the source's open.

    The caller answers a ProtocolError, like any limit it finds passed, with `LIMITS` (3.3.5.15.6.2).
    """

    source_key: bytes
    chunks: tuple[SrvCopychunk, ...]

    @classmethod
    def unpack(cls, data: Buffer) -> Self:
        key, count = unpack_fixed(_HEAD, data, cls.__name__)
        if count > MAX_CHUNKS:
            raise ProtocolError(f"{count} copy chunks")
        chunks = take(data, _HEAD.size, count * _CHUNK.size, _HEAD.size, "copy chunks")
        return cls(key, tuple(SrvCopychunk(*fields) for fields in _CHUNK.iter_unpack(chunks)))

    def pack(self) -> bytes:
        head = _HEAD.pack(self.source_key, len(self.chunks))
        return head + b"".join(_CHUNK.pack(*chunk) for chunk in self.chunks)


@dataclass(frozen=True, slots=True)
class SrvCopychunkResponse(FixedStructure):
    """How far the copy came; `chunk_bytes_written` is what was written of the chunk that failed."""

    LAYOUT: ClassVar[Struct] = Struct("<III")

    chunks_written: int
    chunk_bytes_written: int
    total_bytes_written: int


LIMITS = SrvCopychunkResponse(MAX_CHUNKS, MAX_CHUNK_BYTES, MAX_TOTAL_BYTES)
"""The body that goes with INVALID_PARAMETER, from which a client learns what it may ask for."""
