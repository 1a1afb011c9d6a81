"""Typed create contexts (MS-SMB2 2.2.13.2, 2.2.14.2): what stands in the data of the (name, data) pairs of CREATE.

A request and a response may use one name for two structures; the classes say which. SecD holds a security descriptor
(fscc/security_descriptor.py), ExtA a list of extended attributes (fscc/ea.py).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from struct import Struct
from typing import ClassVar, Self

from odxfs.errors import ProtocolError
from odxfs.types import Buffer
from odxfs.wire.create import RawContext
from odxfs.wire.cursor import unpack_fixed
from odxfs.wire.file_id import FileId
from odxfs.wire.fscc.filetime import Filetime
from odxfs.wire.structure import FixedStructure

EA_BUFFER = b"ExtA"
SD_BUFFER = b"SecD"
DURABLE_HANDLE_REQUEST = b"DHnQ"
DURABLE_HANDLE_RECONNECT = b"DHnC"
ALLOCATION_SIZE = b"AlSi"
QUERY_MAXIMAL_ACCESS = b"MxAc"
TIMEWARP_TOKEN = b"TWrp"
QUERY_ON_DISK_ID = b"QFid"
REQUEST_LEASE = b"RqLs"
DURABLE_HANDLE_REQUEST_V2 = b"DH2Q"
DURABLE_HANDLE_RECONNECT_V2 = b"DH2C"
APP_INSTANCE_ID = bytes.fromhex("45bca66aefa7f74a9008fa462e144d74")
APP_INSTANCE_VERSION = bytes.fromhex("b982d0b73b56074fa07b524a8116a010")


def find_create_context(contexts: Iterable[RawContext], name: bytes) -> bytes | None:
    """The data of the first context called `name`, or None when there is none."""
    return next((data for known, data in contexts if known == name), None)


class LeaseState:
    """Lease states (2.2.13.2.8)."""

    NONE = 0x00
    READ_CACHING = 0x01
    HANDLE_CACHING = 0x02
    WRITE_CACHING = 0x04


class LeaseFlags:
    """Flags of a lease."""

    BREAK_IN_PROGRESS = 0x00000002
    PARENT_LEASE_KEY_SET = 0x00000004


class DurableHandleFlags:
    """Flags of a version 2 durable handle."""

    PERSISTENT = 0x00000002


@dataclass(frozen=True, slots=True)
class QueryMaximalAccessRequest:
    """MxAc of a request (2.2.13.2.5): answer only if the file changed after `timestamp`; None asks always."""

    NAME: ClassVar[bytes] = QUERY_MAXIMAL_ACCESS

    timestamp: Filetime | None = None

    @classmethod
    def unpack(cls, data: Buffer) -> Self:
        return cls(*unpack_fixed(_TIME, data, cls.__name__)) if len(data) else cls()

    def pack(self) -> bytes:
        return b"" if self.timestamp is None else _TIME.pack(self.timestamp)


@dataclass(frozen=True, slots=True)
class QueryMaximalAccessResponse(FixedStructure):
    """MxAc of a response (2.2.14.2.5): the access mask the user could have had."""

    NAME: ClassVar[bytes] = QUERY_MAXIMAL_ACCESS
    LAYOUT: ClassVar[Struct] = Struct("<II")

    query_status: int
    maximal_access: int


@dataclass(frozen=True, slots=True)
class QueryOnDiskIdResponse(FixedStructure):
    """QFid of a response (2.2.14.2.9): ids of file and volume. The request has no data."""

    NAME: ClassVar[bytes] = QUERY_ON_DISK_ID
    LAYOUT: ClassVar[Struct] = Struct("<QQ16x")

    disk_file_id: int
    volume_id: int


@dataclass(frozen=True, slots=True)
class AllocationSize(FixedStructure):
    """AlSi (2.2.13.2.6): bytes to allocate for a new file."""

    NAME: ClassVar[bytes] = ALLOCATION_SIZE
    LAYOUT: ClassVar[Struct] = Struct("<Q")

    allocation_size: int


@dataclass(frozen=True, slots=True)
class TimewarpToken(FixedStructure):
    """TWrp (2.2.13.2.7): open the file as it was at `timestamp`."""

    NAME: ClassVar[bytes] = TIMEWARP_TOKEN
    LAYOUT: ClassVar[Struct] = Struct("<q")

    timestamp: Filetime


@dataclass(frozen=True, slots=True)
class DurableHandleRequest(FixedStructure):
    """DHnQ of a request (2.2.13.2.3): 16 reserved bytes."""

    NAME: ClassVar[bytes] = DURABLE_HANDLE_REQUEST
    LAYOUT: ClassVar[Struct] = Struct("<16x")


@dataclass(frozen=True, slots=True)
class DurableHandleResponse(FixedStructure):
    """DHnQ of a response (2.2.14.2.3): 8 reserved bytes; its presence grants."""

    NAME: ClassVar[bytes] = DURABLE_HANDLE_REQUEST
    LAYOUT: ClassVar[Struct] = Struct("<8x")


@dataclass(frozen=True, slots=True)
class DurableHandleReconnect:
    """DHnC (2.2.13.2.4): the FileId to take up again."""

    NAME: ClassVar[bytes] = DURABLE_HANDLE_RECONNECT

    file_id: FileId

    @classmethod
    def unpack(cls, data: Buffer) -> Self:
        return cls(FileId(*unpack_fixed(_FILE_ID, data, cls.__name__)))

    def pack(self) -> bytes:
        return _FILE_ID.pack(*self.file_id)


@dataclass(frozen=True, slots=True)
class DurableHandleRequestV2(FixedStructure):
    """DH2Q of a request (2.2.13.2.11): `timeout` in milliseconds, `create_guid` 16 bytes."""

    NAME: ClassVar[bytes] = DURABLE_HANDLE_REQUEST_V2
    LAYOUT: ClassVar[Struct] = Struct("<II8x16s")

    timeout: int
    flags: int
    create_guid: bytes


@dataclass(frozen=True, slots=True)
class DurableHandleResponseV2(FixedStructure):
    """DH2Q of a response (2.2.14.2.12): the granted `timeout` in milliseconds."""

    NAME: ClassVar[bytes] = DURABLE_HANDLE_REQUEST_V2
    LAYOUT: ClassVar[Struct] = Struct("<II")

    timeout: int
    flags: int


@dataclass(frozen=True, slots=True)
class DurableHandleReconnectV2:
    """DH2C (2.2.13.2.12): the FileId to take up again and the guid it was made with."""

    NAME: ClassVar[bytes] = DURABLE_HANDLE_RECONNECT_V2

    file_id: FileId
    create_guid: bytes
    flags: int = 0

    @classmethod
    def unpack(cls, data: Buffer) -> Self:
        persistent, volatile, guid, flags = unpack_fixed(_RECONNECT_V2, data, cls.__name__)
        return cls(FileId(persistent, volatile), guid, flags)

    def pack(self) -> bytes:
        return _RECONNECT_V2.pack(*self.file_id, self.create_guid, self.flags)


@dataclass(frozen=True, slots=True)
class Lease(FixedStructure):
    """RqLs version 1, request and response (2.2.13.2.8, 2.2.14.2.10). `lease_key` is 16 bytes."""

    NAME: ClassVar[bytes] = REQUEST_LEASE
    LAYOUT: ClassVar[Struct] = Struct("<16sIIQ")

    lease_key: bytes
    lease_state: int
    lease_flags: int = 0
    lease_duration: int = 0


@dataclass(frozen=True, slots=True)
class LeaseV2(FixedStructure):
    """RqLs version 2, request and response (2.2.13.2.10, 2.2.14.2.11)."""

    NAME: ClassVar[bytes] = REQUEST_LEASE
    LAYOUT: ClassVar[Struct] = Struct("<16sIIQ16sHxx")

    lease_key: bytes
    lease_state: int
    lease_flags: int = 0
    lease_duration: int = 0
    parent_lease_key: bytes = bytes(16)
    epoch: int = 0


def unpack_lease(data: Buffer) -> Lease | LeaseV2:
    """RqLs of either version; the length tells them apart (2.2.13.2.8)."""
    if len(data) == Lease.LAYOUT.size:
        return Lease.unpack(data)
    if len(data) == LeaseV2.LAYOUT.size:
        return LeaseV2.unpack(data)
    raise ProtocolError(f"a lease context of {len(data)} bytes")


@dataclass(frozen=True, slots=True)
class AppInstanceId:
    """SMB2_CREATE_APP_INSTANCE_ID (2.2.13.2.13): the application whose older opens give way; 16 bytes."""

    NAME: ClassVar[bytes] = APP_INSTANCE_ID

    app_instance_id: bytes

    @classmethod
    def unpack(cls, data: Buffer) -> Self:
        size, instance = unpack_fixed(_APP_INSTANCE_ID, data, cls.__name__)
        if size != _APP_INSTANCE_ID.size:
            raise ProtocolError(f"AppInstanceId has StructureSize {size}")
        return cls(instance)

    def pack(self) -> bytes:
        return _APP_INSTANCE_ID.pack(_APP_INSTANCE_ID.size, self.app_instance_id)


@dataclass(frozen=True, slots=True)
class AppInstanceVersion:
    """SMB2_CREATE_APP_INSTANCE_VERSION (2.2.13.2.15): an older version does not displace a newer one."""

    NAME: ClassVar[bytes] = APP_INSTANCE_VERSION

    app_instance_version_high: int
    app_instance_version_low: int

    @classmethod
    def unpack(cls, data: Buffer) -> Self:
        size, high, low = unpack_fixed(_APP_INSTANCE_VERSION, data, cls.__name__)
        if size != _APP_INSTANCE_VERSION.size:
            raise ProtocolError(f"AppInstanceVersion has StructureSize {size}")
        return cls(high, low)

    def pack(self) -> bytes:
        return _APP_INSTANCE_VERSION.pack(
            _APP_INSTANCE_VERSION.size, self.app_instance_version_high, self.app_instance_version_low
        )


_TIME = Struct("<q")
_FILE_ID = Struct("<QQ")
_RECONNECT_V2 = Struct("<QQ16sI")
_APP_INSTANCE_ID = Struct("<Hxx16s")
_APP_INSTANCE_VERSION = Struct("<HxxxxxxQQ")
