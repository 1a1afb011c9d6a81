"""File information classes of a fixed size (MS-FSCC 2.4).

Sizes and positions are bytes, times raw FILETIMEs (filetime.py). `INFO_CLASS` is the number the class is asked for by.
"""

from dataclasses import dataclass
from struct import Struct
from typing import ClassVar, Self

from odxfs.types import Buffer
from odxfs.wire.cursor import unpack_fixed
from odxfs.wire.fscc.classes import FileInformationClass, ReparseTag
from odxfs.wire.fscc.filetime import Filetime
from odxfs.wire.structure import FixedStructure

_FILE_ID = Struct("<Q16s")


@dataclass(frozen=True, slots=True)
class FileBasicInformation(FixedStructure):
    """Times and attributes (2.4.7). In a SET_INFO the times 0, -1, -2 and the attributes 0 have meanings of their own."""

    INFO_CLASS: ClassVar[int] = FileInformationClass.BASIC
    LAYOUT: ClassVar[Struct] = Struct("<qqqqI4x")

    creation_time: Filetime
    last_access_time: Filetime
    last_write_time: Filetime
    change_time: Filetime
    file_attributes: int


@dataclass(frozen=True, slots=True)
class FileStandardInformation(FixedStructure):
    """Sizes, links and flags (2.4.47)."""

    INFO_CLASS: ClassVar[int] = FileInformationClass.STANDARD
    LAYOUT: ClassVar[Struct] = Struct("<qqI??2x")

    allocation_size: int
    end_of_file: int
    number_of_links: int
    delete_pending: bool
    directory: bool


@dataclass(frozen=True, slots=True)
class FileInternalInformation(FixedStructure):
    """The 64-bit file id (2.4.27): the inode number."""

    INFO_CLASS: ClassVar[int] = FileInformationClass.INTERNAL
    LAYOUT: ClassVar[Struct] = Struct("<Q")

    index_number: int


@dataclass(frozen=True, slots=True)
class FileEaInformation(FixedStructure):
    """Bytes of extended attributes (2.4.13)."""

    INFO_CLASS: ClassVar[int] = FileInformationClass.EA
    LAYOUT: ClassVar[Struct] = Struct("<I")

    ea_size: int


@dataclass(frozen=True, slots=True)
class FileAccessInformation(FixedStructure):
    """The access mask of the open (2.4.1)."""

    INFO_CLASS: ClassVar[int] = FileInformationClass.ACCESS
    LAYOUT: ClassVar[Struct] = Struct("<I")

    access_flags: int


@dataclass(frozen=True, slots=True)
class FilePositionInformation(FixedStructure):
    """The open's byte position (2.4.40); SMB2 keeps it and never uses it."""

    INFO_CLASS: ClassVar[int] = FileInformationClass.POSITION
    LAYOUT: ClassVar[Struct] = Struct("<q")

    current_byte_offset: int


@dataclass(frozen=True, slots=True)
class FileModeInformation(FixedStructure):
    """The create options that still act (2.4.31)."""

    INFO_CLASS: ClassVar[int] = FileInformationClass.MODE
    LAYOUT: ClassVar[Struct] = Struct("<I")

    mode: int


@dataclass(frozen=True, slots=True)
class FileAlignmentInformation(FixedStructure):
    """Alignment of buffers in memory (2.4.3), as a mask: 0 is one byte."""

    INFO_CLASS: ClassVar[int] = FileInformationClass.ALIGNMENT
    LAYOUT: ClassVar[Struct] = Struct("<I")

    alignment_requirement: int


@dataclass(frozen=True, slots=True)
class FileNetworkOpenInformation(FixedStructure):
    """What one query tells a redirector (2.4.34)."""

    INFO_CLASS: ClassVar[int] = FileInformationClass.NETWORK_OPEN
    LAYOUT: ClassVar[Struct] = Struct("<qqqqqqI4x")

    creation_time: Filetime
    last_access_time: Filetime
    last_write_time: Filetime
    change_time: Filetime
    allocation_size: int
    end_of_file: int
    file_attributes: int


@dataclass(frozen=True, slots=True)
class FileAttributeTagInformation(FixedStructure):
    """Attributes and reparse tag (2.4.6)."""

    INFO_CLASS: ClassVar[int] = FileInformationClass.ATTRIBUTE_TAG
    LAYOUT: ClassVar[Struct] = Struct("<II")

    file_attributes: int
    reparse_tag: int = ReparseTag.NONE


@dataclass(frozen=True, slots=True)
class FileCompressionInformation(FixedStructure):
    """How far the file is compressed (2.4.9)."""

    INFO_CLASS: ClassVar[int] = FileInformationClass.COMPRESSION
    LAYOUT: ClassVar[Struct] = Struct("<qHBBB3x")

    compressed_file_size: int
    compression_format: int = 0
    compression_unit_shift: int = 0
    chunk_shift: int = 0
    cluster_shift: int = 0


@dataclass(frozen=True, slots=True)
class FileStandardLinkInformation(FixedStructure):
    """Link counts (2.4.48)."""

    INFO_CLASS: ClassVar[int] = FileInformationClass.STANDARD_LINK
    LAYOUT: ClassVar[Struct] = Struct("<II??2x")

    number_of_accessible_links: int
    total_number_of_links: int
    delete_pending: bool
    directory: bool


@dataclass(frozen=True, slots=True)
class FileIdInformation:
    """Volume and 128-bit file id (2.4.26)."""

    INFO_CLASS: ClassVar[int] = FileInformationClass.ID

    volume_serial_number: int
    file_id: int

    @classmethod
    def unpack(cls, data: Buffer) -> Self:
        serial, file_id = unpack_fixed(_FILE_ID, data, cls.__name__)
        return cls(serial, int.from_bytes(file_id, "little"))

    def pack(self) -> bytes:
        return _FILE_ID.pack(self.volume_serial_number, self.file_id.to_bytes(16, "little"))


@dataclass(frozen=True, slots=True)
class FileEndOfFileInformation(FixedStructure):
    """Set the size in bytes (2.4.14)."""

    INFO_CLASS: ClassVar[int] = FileInformationClass.END_OF_FILE
    LAYOUT: ClassVar[Struct] = Struct("<q")

    end_of_file: int


@dataclass(frozen=True, slots=True)
class FileAllocationInformation(FixedStructure):
    """Set the allocated bytes (2.4.4); less than the size truncates."""

    INFO_CLASS: ClassVar[int] = FileInformationClass.ALLOCATION
    LAYOUT: ClassVar[Struct] = Struct("<q")

    allocation_size: int


@dataclass(frozen=True, slots=True)
class FileValidDataLengthInformation(FixedStructure):
    """Set the valid data length in bytes (2.4.50)."""

    INFO_CLASS: ClassVar[int] = FileInformationClass.VALID_DATA_LENGTH
    LAYOUT: ClassVar[Struct] = Struct("<q")

    valid_data_length: int


@dataclass(frozen=True, slots=True)
class FileDispositionInformation(FixedStructure):
    """Delete when the last open is closed, or take that back (2.4.11)."""

    INFO_CLASS: ClassVar[int] = FileInformationClass.DISPOSITION
    LAYOUT: ClassVar[Struct] = Struct("<?")

    delete_pending: bool


class DispositionFlags:
    """Flags of FileDispositionInformationEx (2.4.12)."""

    DO_NOT_DELETE = 0x00000000
    DELETE = 0x00000001
    POSIX_SEMANTICS = 0x00000002
    FORCE_IMAGE_SECTION_CHECK = 0x00000004
    ON_CLOSE = 0x00000008
    IGNORE_READONLY_ATTRIBUTE = 0x00000010


@dataclass(frozen=True, slots=True)
class FileDispositionInformationEx(FixedStructure):
    """Delete with flags (2.4.12)."""

    INFO_CLASS: ClassVar[int] = FileInformationClass.DISPOSITION_EX
    LAYOUT: ClassVar[Struct] = Struct("<I")

    flags: int


@dataclass(frozen=True, slots=True)
class FilePipeInformation(FixedStructure):
    """Read mode (0 byte stream, 1 message) and completion mode (0 queue, 1 complete) of a pipe (2.4.37)."""

    INFO_CLASS: ClassVar[int] = FileInformationClass.PIPE
    LAYOUT: ClassVar[Struct] = Struct("<II")

    read_mode: int
    completion_mode: int


@dataclass(frozen=True, slots=True)
class FilePipeLocalInformation(FixedStructure):
    """State of a pipe (2.4.38); quotas and available data are bytes."""

    INFO_CLASS: ClassVar[int] = FileInformationClass.PIPE_LOCAL
    LAYOUT: ClassVar[Struct] = Struct("<10I")

    named_pipe_type: int
    named_pipe_configuration: int
    maximum_instances: int
    current_instances: int
    inbound_quota: int
    read_data_available: int
    outbound_quota: int
    write_quota_available: int
    named_pipe_state: int
    named_pipe_end: int
