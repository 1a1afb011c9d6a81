"""File system information classes of QUERY_INFO (MS-SMB2 3.3.5.20.2, MS-FSA 2.1.5.13)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from odxfs.ntstatus import Status
from odxfs.pool_identity import pack_opening
from odxfs.smb.information.answer import Information, fixed
from odxfs.smb.information.volume_identity import object_id, serial_number
from odxfs.smb.request import SmbError
from odxfs.types import BLOCK_BYTES, SECTOR_BYTES
from odxfs.wire.fscc import file_system_information as info
from odxfs.wire.fscc.classes import FileSystemInformationClass as Class
from odxfs.wire.fscc.file_system_information import (
    DeviceCharacteristics,
    DeviceType,
    FileSystemAttributes,
    SectorSizeFlags,
)
from odxfs.wire.fscc.filetime import from_ns

if TYPE_CHECKING:
    from odxfs.smb.opens import SmbOpen
    from odxfs.smb.request import RequestContext

FILE_SYSTEM_NAME = "NTFS"
"""Programs look at this name to decide whether they may expect NTFS semantics; Hyper-V, for one, does."""

MAX_COMPONENT_CHARACTERS = 255
_ATTRIBUTES = (
    FileSystemAttributes.CASE_SENSITIVE_SEARCH
    | FileSystemAttributes.CASE_PRESERVED_NAMES
    | FileSystemAttributes.UNICODE_ON_DISK
    | FileSystemAttributes.PERSISTENT_ACLS
    | FileSystemAttributes.SUPPORTS_SPARSE_FILES
    | FileSystemAttributes.SUPPORTS_REPARSE_POINTS
    | FileSystemAttributes.SUPPORTS_OBJECT_IDS
    | FileSystemAttributes.NAMED_STREAMS
    | FileSystemAttributes.SUPPORTS_HARD_LINKS
    | FileSystemAttributes.SUPPORTS_EXTENDED_ATTRIBUTES
    | FileSystemAttributes.SUPPORTS_BLOCK_REFCOUNTING
)
"""Only what is there: no quotas of users, no compression. BLOCK_REFCOUNTING promises DUPLICATE_EXTENTS."""

_SECTORS_PER_BLOCK = BLOCK_BYTES // SECTOR_BYTES
_VOLUME_FIXED_BYTES = 24
_ATTRIBUTE_FIXED_BYTES = 16
_KNOWN_TO_FSCC = frozenset({9, 10, 12})


def query_filesystem(context: RequestContext, opened: SmbOpen, info_class: int) -> Information:
    """The class asked for. SmbError: INVALID_INFO_CLASS, NOT_SUPPORTED for classes that only local callers may ask."""
    query = _QUERIES.get(info_class)
    if query is None:
        raise SmbError(Status.NOT_SUPPORTED if info_class in _KNOWN_TO_FSCC else Status.INVALID_INFO_CLASS)
    return query(context, opened)


def _volume(context: RequestContext, opened: SmbOpen) -> Information:
    """The label is the share's name: what Explorer shows for the drive."""
    data = info.FileFsVolumeInformation(
        volume_creation_time=from_ns(opened.volume.created_ns),
        volume_serial_number=serial_number(context, opened),
        volume_label=opened.tree.share.name,
    ).pack()
    return Information(data, _VOLUME_FIXED_BYTES)


def _size(context: RequestContext, opened: SmbOpen) -> Information:
    space = opened.volume.statfs()
    return fixed(
        info.FileFsSizeInformation(space.blocks, space.free_blocks, _SECTORS_PER_BLOCK, SECTOR_BYTES).pack()
    )


def _full_size(context: RequestContext, opened: SmbOpen) -> Information:
    """What is available to the caller stops at the volume's quota; what is available at all does not (MS-FSCC 2.5.4)."""
    space = opened.volume.statfs()
    return fixed(
        info.FileFsFullSizeInformation(
            space.blocks, space.free_blocks, space.pool_free_blocks, _SECTORS_PER_BLOCK, SECTOR_BYTES
        ).pack()
    )


def _device(context: RequestContext, opened: SmbOpen) -> Information:
    characteristics = DeviceCharacteristics.DEVICE_IS_MOUNTED
    if opened.tree.share.read_only or opened.is_previous_version:
        characteristics |= DeviceCharacteristics.READ_ONLY_DEVICE
    return fixed(info.FileFsDeviceInformation(DeviceType.DISK, characteristics).pack())


def _attribute(context: RequestContext, opened: SmbOpen) -> Information:
    attributes = _ATTRIBUTES
    if not context.server.settings.offload.copychunk:
        attributes &= ~FileSystemAttributes.SUPPORTS_BLOCK_REFCOUNTING
    if opened.tree.share.read_only or opened.is_previous_version:
        attributes |= FileSystemAttributes.READ_ONLY_VOLUME
    data = info.FileFsAttributeInformation(attributes, MAX_COMPONENT_CHARACTERS, FILE_SYSTEM_NAME).pack()
    return Information(data, _ATTRIBUTE_FIXED_BYTES)


def _control(context: RequestContext, opened: SmbOpen) -> Information:
    """No quotas: no limits, no thresholds."""
    return fixed(info.FileFsControlInformation().pack())


def _object_id(context: RequestContext, opened: SmbOpen) -> Information:
    extended = pack_opening(context.server.pool.opening)
    return fixed(info.FileFsObjectIdInformation(object_id(context, opened), extended).pack())


def _sector_size(context: RequestContext, opened: SmbOpen) -> Information:
    """512-byte logical sectors on 4096-byte physical ones (512e), aligned, with TRIM."""
    flags = (
        SectorSizeFlags.ALIGNED_DEVICE
        | SectorSizeFlags.PARTITION_ALIGNED_ON_DEVICE
        | SectorSizeFlags.NO_SEEK_PENALTY
        | SectorSizeFlags.TRIM_ENABLED
    )
    data = info.FileFsSectorSizeInformation(SECTOR_BYTES, BLOCK_BYTES, BLOCK_BYTES, BLOCK_BYTES, flags)
    return fixed(data.pack())


_QUERIES: dict[int, Callable[[RequestContext, SmbOpen], Information]] = {
    Class.VOLUME: _volume,
    Class.SIZE: _size,
    Class.DEVICE: _device,
    Class.ATTRIBUTE: _attribute,
    Class.CONTROL: _control,
    Class.FULL_SIZE: _full_size,
    Class.OBJECT_ID: _object_id,
    Class.SECTOR_SIZE: _sector_size,
}
