"""The base of structures that are a row of fixed fields and nothing else.

A subclass is a frozen slotted dataclass that names its `LAYOUT`; pad bytes (`x`) in it are the reserved fields, which are
sent as zero and ignored. One field of the dataclass for one value of the layout, in order.
"""

from struct import Struct
from typing import Any, ClassVar, Self

from odxfs.ntstatus import Status
from odxfs.types import Buffer
from odxfs.wire.cursor import unpack_fixed


class FixedStructure:
    """Packs and unpacks by `LAYOUT`."""

    __slots__: ClassVar[tuple[str, ...]] = ()
    LAYOUT: ClassVar[Struct]
    SHORT: ClassVar[Status] = Status.INVALID_PARAMETER
    """The status that too few bytes are answered with; MS-FSA wants BUFFER_TOO_SMALL of some."""

    @classmethod
    def unpack(cls, data: Buffer) -> Self:
        """The structure at the start of `data`; ProtocolError when it is too short, longer is no harm."""
        values = unpack_fixed(cls.LAYOUT, data, cls.__name__, cls.SHORT)
        return cls(**dict(zip(cls.__slots__, values, strict=True)))

    def pack(self) -> bytes:
        """The structure's bytes; struct.error when a value does not fit, which is the caller's bug."""
        values: list[Any] = [getattr(self, name) for name in self.__slots__]
        return self.LAYOUT.pack(*values)
