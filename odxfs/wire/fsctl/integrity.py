"""FSCTL_GET_INTEGRITY_INFORMATION and SET_INTEGRITY_INFORMATION (MS-FSCC 2.3.20, 2.3.73, 2.3.75)."""

from dataclasses import dataclass
from enum import IntEnum
from struct import Struct
from typing import ClassVar

from odxfs.wire.structure import FixedStructure


class ChecksumAlgorithm(IntEnum):
    """ChecksumAlgorithm."""

    NONE = 0x0000
    CRC32 = 0x0001
    CRC64 = 0x0002
    UNCHANGED = 0xFFFF


class IntegrityFlags:
    """Flags."""

    CHECKSUM_ENFORCEMENT_OFF = 0x00000001


@dataclass(frozen=True, slots=True)
class GetIntegrityInformationBuffer(FixedStructure):
    """The answer; chunk and cluster sizes are bytes."""

    LAYOUT: ClassVar[Struct] = Struct("<H2xIII")

    checksum_algorithm: int
    flags: int
    checksum_chunk_size_in_bytes: int
    cluster_size_in_bytes: int


@dataclass(frozen=True, slots=True)
class SetIntegrityInformationBuffer(FixedStructure):
    """The request."""

    LAYOUT: ClassVar[Struct] = Struct("<H2xI")

    checksum_algorithm: int
    flags: int = 0


@dataclass(frozen=True, slots=True)
class SetIntegrityInformationBufferEx(FixedStructure):
    """The request of the _EX form: switch integrity on or off, or keep its state."""

    LAYOUT: ClassVar[Struct] = Struct("<BB2xIB7x")

    enable_integrity: int
    keep_integrity_state_unchanged: int
    flags: int = 0
    version: int = 1
