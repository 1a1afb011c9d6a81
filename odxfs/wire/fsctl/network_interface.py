"""FSCTL_QUERY_NETWORK_INTERFACE_INFO (MS-SMB2 2.2.32.5): the addresses a client may open further channels to."""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from struct import Struct
from typing import Self

from odxfs.errors import ProtocolError
from odxfs.types import Buffer
from odxfs.wire.cursor import pack_chain, unpack_chain, unpack_fixed

_ENTRY = Struct("<4xII4xQH126s")
_IPV4_FAMILY = 0x0002
_IPV6_FAMILY = 0x0017
_IPV4 = Struct(">H4s8x")
_IPV6 = Struct(">HI16sI")

MAX_INTERFACES = 256


class InterfaceCapability:
    """Capability bits."""

    RSS_CAPABLE = 0x00000001
    RDMA_CAPABLE = 0x00000002


@dataclass(frozen=True, slots=True)
class NetworkInterfaceInfo:
    """One address; `link_speed` is bits per second, `port` is 0 where the client shall take its own."""

    if_index: int
    address: IPv4Address | IPv6Address
    link_speed: int
    capability: int = 0
    port: int = 0

    @classmethod
    def unpack(cls, data: Buffer) -> Self:
        index, capability, speed, family, rest = unpack_fixed(_ENTRY, data, cls.__name__)
        if family == _IPV4_FAMILY:
            port, packed = _IPV4.unpack_from(rest)
            return cls(index, IPv4Address(packed), speed, capability, port)
        if family == _IPV6_FAMILY:
            port, _, packed, _ = _IPV6.unpack_from(rest)
            return cls(index, IPv6Address(packed), speed, capability, port)
        raise ProtocolError(f"an interface of address family {family:#x}")

    def pack(self) -> bytes:
        """One entry of 152 bytes, its next offset 0."""
        if isinstance(self.address, IPv4Address):
            family, socket_address = _IPV4_FAMILY, _IPV4.pack(self.port, self.address.packed)
        else:
            family, socket_address = _IPV6_FAMILY, _IPV6.pack(self.port, 0, self.address.packed, 0)
        return _ENTRY.pack(self.if_index, self.capability, self.link_speed, family, socket_address)


def unpack_interfaces(data: Buffer) -> tuple[NetworkInterfaceInfo, ...]:
    """The interfaces of an answer."""
    chain = unpack_chain(data, _ENTRY.size, MAX_INTERFACES, "interface")
    return tuple(NetworkInterfaceInfo.unpack(entry) for entry in chain)


def pack_interfaces(interfaces: Iterable[NetworkInterfaceInfo]) -> bytes:
    """The chain of `interfaces`."""
    return pack_chain([interface.pack() for interface in interfaces])
