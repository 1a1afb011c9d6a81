"""File system information classes (MS-FSCC 2.5). An allocation unit is a cluster: a block of the volume."""

from dataclasses import dataclass
from struct import Struct
from typing import ClassVar, Self

from odxfs.types import Buffer
from odxfs.wire.cursor import decode_counted_utf16, encode_utf16, unpack_fixed
from odxfs.wire.fscc.classes import FileSystemInformationClass
from odxfs.wire.fscc.filetime import Filetime
from odxfs.wire.structure import FixedStructure

_VOLUME = Struct("<qII?x")
_ATTRIBUTE = Struct("<IiI")
_LABEL = Struct("<I")


class FileSystemAttributes:
    """FileSystemAttributes bits (2.5.1)."""

    CASE_SENSITIVE_SEARCH = 0x00000001
    CASE_PRESERVED_NAMES = 0x00000002
    UNICODE_ON_DISK = 0x00000004
    PERSISTENT_ACLS = 0x00000008
    FILE_COMPRESSION = 0x00000010
    VOLUME_QUOTAS = 0x00000020
    SUPPORTS_SPARSE_FILES = 0x00000040
    SUPPORTS_REPARSE_POINTS = 0x00000080
    SUPPORTS_OBJECT_IDS = 0x00010000
    SUPPORTS_ENCRYPTION = 0x00020000
    NAMED_STREAMS = 0x00040000
    READ_ONLY_VOLUME = 0x00080000
    SUPPORTS_HARD_LINKS = 0x00400000
    SUPPORTS_EXTENDED_ATTRIBUTES = 0x00800000
    SUPPORTS_OPEN_BY_FILE_ID = 0x01000000
    SUPPORTS_USN_JOURNAL = 0x02000000
    SUPPORTS_INTEGRITY_STREAMS = 0x04000000
    SUPPORTS_BLOCK_REFCOUNTING = 0x08000000
    SUPPORTS_SPARSE_VDL = 0x10000000


class SectorSizeFlags:
    """Flags of FileFsSectorSizeInformation (2.5.7)."""

    ALIGNED_DEVICE = 0x00000001
    PARTITION_ALIGNED_ON_DEVICE = 0x00000002
    NO_SEEK_PENALTY = 0x00000004
    TRIM_ENABLED = 0x00000008


class DeviceType:
    """DeviceType of FileFsDeviceInformation (2.5.10)."""

    CD_ROM = 0x00000002
    DISK = 0x00000007
    NAMED_PIPE = 0x00000011


class DeviceCharacteristics:
    """Characteristics of FileFsDeviceInformation (2.5.10)."""

    READ_ONLY_DEVICE = 0x00000002
    REMOTE_DEVICE = 0x00000010
    DEVICE_IS_MOUNTED = 0x00000020


@dataclass(frozen=True, slots=True)
class FileFsVolumeInformation:
    """Name and serial number of the volume (2.5.9)."""

    INFO_CLASS: ClassVar[int] = FileSystemInformationClass.VOLUME

    volume_creation_time: Filetime
    volume_serial_number: int
    volume_label: str
    supports_objects: bool = False

    @classmethod
    def unpack(cls, data: Buffer) -> Self:
        created, serial, length, objects = unpack_fixed(_VOLUME, data, cls.__name__)
        return cls(created, serial, decode_counted_utf16(data, _VOLUME.size, length, "VolumeLabel"), objects)

    def pack(self) -> bytes:
        label = encode_utf16(self.volume_label)
        head = _VOLUME.pack(
            self.volume_creation_time, self.volume_serial_number, len(label), self.supports_objects
        )
        return head + label


@dataclass(frozen=True, slots=True)
class FileFsLabelInformation:
    """Set the volume's label (2.5.5)."""

    INFO_CLASS: ClassVar[int] = FileSystemInformationClass.LABEL

    volume_label: str

    @classmethod
    def unpack(cls, data: Buffer) -> Self:
        (length,) = unpack_fixed(_LABEL, data, cls.__name__)
        return cls(decode_counted_utf16(data, _LABEL.size, length, "VolumeLabel"))

    def pack(self) -> bytes:
        label = encode_utf16(self.volume_label)
        return _LABEL.pack(len(label)) + label


@dataclass(frozen=True, slots=True)
class FileFsSizeInformation(FixedStructure):
    """Space in allocation units (2.5.8)."""

    INFO_CLASS: ClassVar[int] = FileSystemInformationClass.SIZE
    LAYOUT: ClassVar[Struct] = Struct("<qqII")

    total_allocation_units: int
    available_allocation_units: int
    sectors_per_allocation_unit: int
    bytes_per_sector: int


@dataclass(frozen=True, slots=True)
class FileFsFullSizeInformation(FixedStructure):
    """Space in allocation units, for the caller and in truth (2.5.4)."""

    INFO_CLASS: ClassVar[int] = FileSystemInformationClass.FULL_SIZE
    LAYOUT: ClassVar[Struct] = Struct("<qqqII")

    total_allocation_units: int
    caller_available_allocation_units: int
    actual_available_allocation_units: int
    sectors_per_allocation_unit: int
    bytes_per_sector: int


@dataclass(frozen=True, slots=True)
class FileFsDeviceInformation(FixedStructure):
    """Kind of device (2.5.10)."""

    INFO_CLASS: ClassVar[int] = FileSystemInformationClass.DEVICE
    LAYOUT: ClassVar[Struct] = Struct("<II")

    device_type: int
    characteristics: int


@dataclass(frozen=True, slots=True)
class FileFsAttributeInformation:
    """What the file system can do, the longest name in characters, and what it calls itself (2.5.1)."""

    INFO_CLASS: ClassVar[int] = FileSystemInformationClass.ATTRIBUTE

    file_system_attributes: int
    maximum_component_name_length: int
    file_system_name: str

    @classmethod
    def unpack(cls, data: Buffer) -> Self:
        attributes, component, length = unpack_fixed(_ATTRIBUTE, data, cls.__name__)
        return cls(
            attributes, component, decode_counted_utf16(data, _ATTRIBUTE.size, length, "FileSystemName")
        )

    def pack(self) -> bytes:
        name = encode_utf16(self.file_system_name)
        return (
            _ATTRIBUTE.pack(self.file_system_attributes, self.maximum_component_name_length, len(name)) + name
        )


@dataclass(frozen=True, slots=True)
class FileFsControlInformation(FixedStructure):
    """Quota settings (2.5.2); all ones is no limit. Thresholds and limits are bytes."""

    INFO_CLASS: ClassVar[int] = FileSystemInformationClass.CONTROL
    LAYOUT: ClassVar[Struct] = Struct("<qqqQQI4x")

    free_space_start_filtering: int = 0
    free_space_threshold: int = 0
    free_space_stop_filtering: int = 0
    default_quota_threshold: int = 2**64 - 1
    default_quota_limit: int = 2**64 - 1
    file_system_control_flags: int = 0


@dataclass(frozen=True, slots=True)
class FileFsObjectIdInformation(FixedStructure):
    """Object id of the volume (2.5.6): 16 bytes, and 48 of extended information."""

    INFO_CLASS: ClassVar[int] = FileSystemInformationClass.OBJECT_ID
    LAYOUT: ClassVar[Struct] = Struct("<16s48s")

    object_id: bytes
    extended_info: bytes = bytes(48)


@dataclass(frozen=True, slots=True)
class FileFsSectorSizeInformation(FixedStructure):
    """Sector sizes and alignment in bytes (2.5.7); an unknown alignment offset is 0xFFFFFFFF."""

    INFO_CLASS: ClassVar[int] = FileSystemInformationClass.SECTOR_SIZE
    LAYOUT: ClassVar[Struct] = Struct("<7I")

    logical_bytes_per_sector: int
    physical_bytes_per_sector_for_atomicity: int
    physical_bytes_per_sector_for_performance: int
    file_system_effective_physical_bytes_per_sector_for_atomicity: int
    flags: int = SectorSizeFlags.ALIGNED_DEVICE | SectorSizeFlags.PARTITION_ALIGNED_ON_DEVICE
    byte_offset_for_sector_alignment: int = 0
    byte_offset_for_partition_alignment: int = 0
