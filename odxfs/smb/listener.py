"""The listening socket: who may connect, and how many."""

from __future__ import annotations

import logging
import socket
from collections import Counter
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING

import trio

from odxfs.accepting import accept
from odxfs.smb.connection import Connection
from odxfs.smb.limits import MAX_CONNECTIONS, MAX_UNAUTHENTICATED_CONNECTIONS

if TYPE_CHECKING:
    from odxfs.smb.server import SmbServer

BACKLOG = MAX_CONNECTIONS
"""Connections that the kernel has made and that wait to be accepted: past it clients try again after a second, at first."""

_KEEPALIVE_IDLE_SECONDS = 60
_KEEPALIVE_INTERVAL_SECONDS = 15
_UNCONFIRMED_MILLISECONDS = 120_000
"""How long a client may have vanished (RFC 5482): Linux goes by it with probes of a silent connection, and for what is under way.

Without it the kernel would send that again for a quarter of an hour, and no probes meanwhile. It ends a peer, too, that takes
nothing for as long, as `sending.STALLED_SECONDS` does.
"""

_NETWORK_BYTES = 8

logger = logging.getLogger(__name__)


async def serve_listener(server: SmbServer, listening: socket.socket) -> None:
    """Accept connections on a bound socket, which it closes, until cancelled."""
    try:
        async with trio.open_nursery() as nursery:
            while True:
                accepted = await accept(listening)
                if accepted is not None:
                    _admit(server, nursery, accepted)
    finally:
        trio.lowlevel.notify_closing(listening)
        listening.close()


async def bind(address: str, port: int) -> socket.socket:
    """A socket that listens on `address`:`port`; the caller owns it. Raises OSError when it cannot be bound."""
    found = await trio.socket.getaddrinfo(address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, kind, protocol, _, target = found[0]
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.setblocking(False)
        listening.bind(target)
        listening.listen(BACKLOG)
    except BaseException:
        listening.close()
        raise
    return listening


def _admit(server: SmbServer, nursery: trio.Nursery, accepted: socket.socket) -> None:
    """Serve a new connection; when there are too many of all or without a login, one of those makes room (`_least_entitled`)."""
    waiting = [each for each in server.connections if not (each.logged_in or each.is_ending)]
    is_full = len(server.connections) >= MAX_CONNECTIONS
    if is_full and not waiting:
        logger.info("a connection is refused: there are %d already", MAX_CONNECTIONS)
        accepted.close()
        return
    if is_full or len(waiting) >= MAX_UNAUTHENTICATED_CONNECTIONS:
        _least_entitled(waiting).abort("too many connections without a login")
    try:
        _configure(accepted)
        connection = Connection(server, accepted)
    except OSError as error:
        logger.info("a connection went away before it was served: %s", error)
        accepted.close()
        return
    nursery.start_soon(connection.run)


def _least_entitled(waiting: list[Connection]) -> Connection:
    """The longest-waiting one of the address that has most in the network that has most: so an address that floods the server
    drives out itself alone, and who has many addresses nobody but his neighbours.
    """
    addresses = [connection.peer_address[0] for connection in waiting]
    of_address, of_network = Counter(addresses), Counter(map(_network, addresses))

    def burden(connection: Connection) -> tuple[int, int, int]:
        address = connection.peer_address[0]
        return of_network[_network(address)], of_address[address], -connection.number

    return max(waiting, key=burden)


@lru_cache(4 * MAX_UNAUTHENTICATED_CONNECTIONS)
def _network(address: str) -> bytes:
    """What one host may have all addresses of: an IPv6 network of 64 bits (RFC 4291 2.5.1), of IPv4 the address itself."""
    try:
        found = ip_address(address)
    except ValueError:
        return address.encode()  # a local socket has none
    is_network = isinstance(found, IPv6Address) and found.ipv4_mapped is None
    return found.packed[:_NETWORK_BYTES] if is_network else found.packed


def _configure(accepted: socket.socket) -> None:
    if accepted.family not in (socket.AF_INET, socket.AF_INET6):
        return
    accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    accepted.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEPALIVE_IDLE_SECONDS)
    accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _KEEPALIVE_INTERVAL_SECONDS)
    accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNCONFIRMED_MILLISECONDS)
