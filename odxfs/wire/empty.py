"""The body of a command that carries nothing: StructureSize 4 and two reserved bytes."""

from dataclasses import dataclass
from struct import Struct
from typing import Self

from odxfs.wire.cursor import unpack_body

_LAYOUT = Struct("<Hxx")
_BODY = _LAYOUT.pack(4)


@dataclass(frozen=True, slots=True)
class EmptyBody:
    """Base of such requests and responses."""

    @classmethod
    def unpack(cls, pdu: memoryview) -> Self:
        unpack_body(_LAYOUT, 4, pdu, cls.__name__)
        return cls()

    def pack(self) -> bytes:
        return _BODY
