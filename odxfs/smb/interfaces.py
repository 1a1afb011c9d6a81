"""The addresses of this machine that lead to a server, for clients that open further connections (MS-SMB2 3.3.5.15.11)."""

from __future__ import annotations

import fcntl
import socket
import struct
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

from odxfs.smb.limits import MAX_IPV4_ADDRESSES

UNKNOWN_LINK_SPEED = 10_000_000_000
"""Bits per second of a link that does not say: loopback and most virtual ones. Clients prefer the fastest links."""

_SIOCGIFCONF = 0x8912
_IFREQ = struct.Struct("16s4x4s16x")
"""On 64-bit Linux: the name, then a sockaddr_in of which only the address matters; 40 bytes."""

_IFCONF = struct.Struct("iP")
_IFA_UNSURE = 0x40 | 0x08
"""IFA_F_TENTATIVE and IFA_F_DADFAILED: the address may be another machine's."""

_DEAD = {"down", "lowerlayerdown", "notpresent"}
_SYSFS = Path("/sys/class/net")
_IF_INET6 = Path("/proc/net/if_inet6")


@dataclass(frozen=True, slots=True)
class Listening:
    """Where a socket listens; an IPv6 wildcard with `both_families` takes IPv4, too."""

    address: IPv4Address | IPv6Address
    port: int
    both_families: bool = False

    def takes(self, address: IPv4Address | IPv6Address) -> bool:
        """Whether a connection to `address` of this machine comes to this socket."""
        if not self.address.is_unspecified:
            return address == self.address
        return self.both_families or address.version == self.address.version


@dataclass(frozen=True, slots=True)
class LocalAddress:
    """An address of an interface that is up. `link_speed` is in bits per second."""

    address: IPv4Address | IPv6Address
    if_index: int
    link_speed: int


def listening_of(listening: socket.socket) -> list[Listening]:
    """Where a bound socket listens; nowhere if that is no IP address."""
    if listening.family not in (socket.AF_INET, socket.AF_INET6):
        return []
    host, port = listening.getsockname()[:2]
    both = (
        listening.family == socket.AF_INET6
        and listening.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 0
    )
    return [Listening(plain_address(host), port, both)]


def plain_address(host: str) -> IPv4Address | IPv6Address:
    """The address in a socket's name; IPv4 where it is an IPv4 address in IPv6's clothes. Raises ValueError for no address."""
    address = ip_address(host.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def reachable(
    sockets: Sequence[Listening],
    found: Sequence[LocalAddress],
    connected: IPv4Address | IPv6Address,
    port: int,
) -> list[LocalAddress]:
    """Of the machine's addresses those where a client finds the server, which it has connected to at `connected`:`port`.

    A client takes the port along. Loopback is of no use to clients elsewhere, and link-local addresses name no link.
    """
    same_port = [each for each in sockets if each.port == port]
    return [
        each
        for each in found
        if each.address == connected
        or (
            any(listening.takes(each.address) for listening in same_port)
            and not each.address.is_link_local
            and (connected.is_loopback or not each.address.is_loopback)
        )
    ]


def local_addresses() -> list[LocalAddress]:
    """All addresses of interfaces that are up. Asks the kernel, whose drivers may take milliseconds to answer."""
    found: list[LocalAddress] = []
    named: list[tuple[str, IPv4Address | IPv6Address]] = [*_ipv4_addresses(), *_ipv6_addresses()]
    for name, address in named:
        try:
            index = socket.if_nametoindex(name)
        except OSError:
            continue  # gone meanwhile
        if _read(name, "operstate") not in _DEAD:
            found.append(LocalAddress(address, index, _link_speed(name)))
    return found


def _ipv4_addresses() -> Iterator[tuple[str, IPv4Address]]:
    """Interface and address, of every address: SIOCGIFCONF (netdevice(7))."""
    room = array("B", bytes(MAX_IPV4_ADDRESSES * _IFREQ.size))
    place, count = room.buffer_info()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        answer = fcntl.ioctl(asked, _SIOCGIFCONF, _IFCONF.pack(count, place))
    written, _ = _IFCONF.unpack(answer)
    for name, packed in _IFREQ.iter_unpack(room[:written].tobytes()):
        label = name.partition(b"\0")[0].partition(b":")[0]
        yield label.decode(errors="replace"), IPv4Address(packed)


def _ipv6_addresses() -> Iterator[tuple[str, IPv6Address]]:
    """Interface and address, of every address that has been found to be nobody else's: if_inet6 of proc(5)."""
    try:
        lines = _IF_INET6.read_text().splitlines()
    except OSError:
        return  # no IPv6 here
    for line in lines:
        packed, _, _, _, flags, name = line.split()
        if not int(flags, 16) & _IFA_UNSURE:
            yield name, IPv6Address(bytes.fromhex(packed))


def _link_speed(name: str) -> int:
    """Of the interface, in bits per second. The kernel says megabits, -1 or an error."""
    try:
        megabits = int(_read(name, "speed"))
    except ValueError:
        return UNKNOWN_LINK_SPEED
    return megabits * 1_000_000 if megabits > 0 else UNKNOWN_LINK_SPEED


def _read(name: str, attribute: str) -> str:
    try:
        return (_SYSFS / name / attribute).read_text().strip()
    except OSError:
        return ""
