"""FSCTL_OFFLOAD_READ and FSCTL_OFFLOAD_WRITE (MS-FSCC 2.3.41 to 2.3.44).

Offsets and lengths are bytes. `size` is the structure's own Size field and is not judged here: MS-FSA checks the alignment
of the offsets before it, and the order shows in the status. A short buffer is BUFFER_TOO_SMALL. A token is 512 opaque
bytes; what is in them is its maker's.
"""

from dataclasses import dataclass
from struct import Struct
from typing import ClassVar

from odxfs.ntstatus import Status
from odxfs.wire.structure import FixedStructure

TOKEN_BYTES = 512

READ_INPUT_BYTES = 32
READ_OUTPUT_BYTES = 528
WRITE_INPUT_BYTES = 544
WRITE_OUTPUT_BYTES = 16

ALL_ZERO_BEYOND_CURRENT_RANGE = 0x00000001
"""Flag of OffloadReadOutput: everything from the end of the token's range to the end of the file is zero."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OffloadReadInput(FixedStructure):
    """FSCTL_OFFLOAD_READ_INPUT: a token for `copy_length` bytes, please; the time to live is milliseconds, 0 the default."""

    LAYOUT: ClassVar[Struct] = Struct("<III4xQQ")
    SHORT: ClassVar[Status] = Status.BUFFER_TOO_SMALL

    size: int = READ_INPUT_BYTES
    flags: int = 0
    token_time_to_live: int = 0
    file_offset: int
    copy_length: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OffloadReadOutput(FixedStructure):
    """FSCTL_OFFLOAD_READ_OUTPUT: `token` stands for the first `transfer_length` bytes of what was asked for."""

    LAYOUT: ClassVar[Struct] = Struct("<IIQ512s")
    SHORT: ClassVar[Status] = Status.BUFFER_TOO_SMALL

    size: int = READ_OUTPUT_BYTES
    flags: int = 0
    transfer_length: int
    token: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class OffloadWriteInput(FixedStructure):
    """FSCTL_OFFLOAD_WRITE_INPUT: `copy_length` bytes of the token's data from `transfer_offset` on, to `file_offset`."""

    LAYOUT: ClassVar[Struct] = Struct("<IIQQQ512s")
    SHORT: ClassVar[Status] = Status.BUFFER_TOO_SMALL

    size: int = WRITE_INPUT_BYTES
    flags: int = 0
    file_offset: int
    copy_length: int
    transfer_offset: int = 0
    token: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class OffloadWriteOutput(FixedStructure):
    """FSCTL_OFFLOAD_WRITE_OUTPUT: `length_written` bytes are in place, perhaps fewer than asked."""

    LAYOUT: ClassVar[Struct] = Struct("<IIQ")
    SHORT: ClassVar[Status] = Status.BUFFER_TOO_SMALL

    size: int = WRITE_OUTPUT_BYTES
    flags: int = 0
    length_written: int
