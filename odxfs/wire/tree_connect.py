"""SMB2 TREE_CONNECT (MS-SMB2 2.2.9, 2.2.10)."""

from dataclasses import dataclass
from enum import IntEnum
from struct import Struct
from typing import Self

from odxfs.wire.cursor import HEADER_BYTES, decode_utf16, encode_utf16, or_one_byte, take, unpack_body

_REQUEST = Struct("<HHHH")
_RESPONSE = Struct("<HBxIII")
_REQUEST_END = HEADER_BYTES + _REQUEST.size


class TreeConnectFlags:
    """Flags of a request in dialect 3.1.1."""

    CLUSTER_RECONNECT = 0x0001
    REDIRECT_TO_OWNER = 0x0002
    EXTENSION_PRESENT = 0x0004


class ShareType(IntEnum):
    """ShareType."""

    DISK = 0x01
    PIPE = 0x02
    PRINT = 0x03


class ShareFlags:
    """ShareFlags of a response."""

    MANUAL_CACHING = 0x00000000
    AUTO_CACHING = 0x00000010
    VDO_CACHING = 0x00000020
    NO_CACHING = 0x00000030
    DFS = 0x00000001
    DFS_ROOT = 0x00000002
    RESTRICT_EXCLUSIVE_OPENS = 0x00000100
    FORCE_SHARED_DELETE = 0x00000200
    ALLOW_NAMESPACE_CACHING = 0x00000400
    ACCESS_BASED_DIRECTORY_ENUM = 0x00000800
    FORCE_LEVELII_OPLOCK = 0x00001000
    ENABLE_HASH_V1 = 0x00002000
    ENABLE_HASH_V2 = 0x00004000
    ENCRYPT_DATA = 0x00008000
    IDENTITY_REMOTING = 0x00040000
    COMPRESS_DATA = 0x00100000


class ShareCapabilities:
    """Capabilities of a response."""

    DFS = 0x00000008
    CONTINUOUS_AVAILABILITY = 0x00000010
    SCALEOUT = 0x00000020
    CLUSTER = 0x00000040
    ASYMMETRIC = 0x00000080
    REDIRECT_TO_OWNER = 0x00000100


@dataclass(frozen=True, slots=True)
class TreeConnectRequest:
    r"""Connect to `path`, which reads \\server\share.

    The extension of 3.1.1 (2.2.9.1) stands before the path, which its offset already counts in; its contexts, which only
    concern remoted identities, are not read.
    """

    path: str
    flags: int = 0

    @classmethod
    def unpack(cls, pdu: memoryview) -> Self:
        flags, offset, length = unpack_body(_REQUEST, 9, pdu, cls.__name__)
        return cls(decode_utf16(take(pdu, offset, length, _REQUEST_END, "PathName"), "PathName"), flags)

    def pack(self) -> bytes:
        path = encode_utf16(self.path)
        return _REQUEST.pack(9, self.flags, _REQUEST_END, len(path)) + or_one_byte(path)


@dataclass(frozen=True, slots=True)
class TreeConnectResponse:
    """What the share is and what the user may at most do there (an access mask)."""

    share_type: int
    maximal_access: int
    share_flags: int = 0
    capabilities: int = 0

    @classmethod
    def unpack(cls, pdu: memoryview) -> Self:
        share_type, flags, capabilities, access = unpack_body(_RESPONSE, 16, pdu, cls.__name__)
        return cls(share_type, access, flags, capabilities)

    def pack(self) -> bytes:
        return _RESPONSE.pack(16, self.share_type, self.share_flags, self.capabilities, self.maximal_access)
