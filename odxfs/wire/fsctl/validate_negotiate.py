"""FSCTL_VALIDATE_NEGOTIATE_INFO (MS-SMB2 2.2.31.4, 2.2.32.6): was NEGOTIATE tampered with, below 3.1.1."""

from dataclasses import dataclass
from struct import Struct
from typing import ClassVar, Self

from odxfs.errors import ProtocolError
from odxfs.types import Buffer
from odxfs.wire.cursor import take, unpack_fixed
from odxfs.wire.negotiate import MAX_DIALECTS
from odxfs.wire.structure import FixedStructure

_REQUEST = Struct("<I16sHH")


@dataclass(frozen=True, slots=True)
class ValidateNegotiateInfoRequest:
    """What the client sent in its NEGOTIATE; `guid` is 16 raw bytes."""

    capabilities: int
    guid: bytes
    security_mode: int
    dialects: tuple[int, ...]

    @classmethod
    def unpack(cls, data: Buffer) -> Self:
        capabilities, guid, mode, count = unpack_fixed(_REQUEST, data, cls.__name__)
        if count > MAX_DIALECTS:
            raise ProtocolError(f"{count} dialects")
        part = take(data, _REQUEST.size, 2 * count, _REQUEST.size, "Dialects")
        return cls(capabilities, guid, mode, Struct(f"<{count}H").unpack(part))

    def pack(self) -> bytes:
        count = len(self.dialects)
        head = _REQUEST.pack(self.capabilities, self.guid, self.security_mode, count)
        return head + Struct(f"<{count}H").pack(*self.dialects)


@dataclass(frozen=True, slots=True)
class ValidateNegotiateInfoResponse(FixedStructure):
    """What the server answered to it."""

    LAYOUT: ClassVar[Struct] = Struct("<I16sHH")

    capabilities: int
    guid: bytes
    security_mode: int
    dialect: int
