"""The listening socket: who may connect, and how many."""

from __future__ import annotations

import errno
import logging
import socket
from typing import TYPE_CHECKING

import trio

from odxfs.smb.connection import Connection
from odxfs.smb.limits import MAX_CONNECTIONS, MAX_UNAUTHENTICATED_CONNECTIONS

if TYPE_CHECKING:
    from odxfs.smb.server import SmbServer

BACKLOG = 128
ACCEPT_PAUSE_SECONDS = 0.1
"""How long accepting rests when the process is out of file descriptors or memory: trying at once would spin."""

_KEEPALIVE_IDLE_SECONDS = 60
_KEEPALIVE_INTERVAL_SECONDS = 15
_KEEPALIVE_PROBES = 4
_OUT_OF_RESOURCES = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_OF_ONE_CONNECTION = {
    errno.ENETDOWN,
    errno.EPROTO,
    errno.ENOPROTOOPT,
    errno.EHOSTDOWN,
    errno.ENONET,
    errno.EHOSTUNREACH,
    errno.EOPNOTSUPP,
    errno.ENETUNREACH,
    errno.EPERM,
    errno.ETIMEDOUT,
}
"""What accept(2) passes on from a connection that has failed already, and what a firewall makes of one."""

logger = logging.getLogger(__name__)


async def serve_listener(server: SmbServer, listening: socket.socket) -> None:
    """Accept connections on a bound socket, which it closes, until cancelled."""
    try:
        async with trio.open_nursery() as nursery:
            while True:
                accepted = await _accept(listening)
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


async def _accept(listening: socket.socket) -> socket.socket | None:
    """The next connection; None when it went away before it was taken or there is no room for it now."""
    await trio.lowlevel.wait_readable(listening)
    try:
        accepted, _ = listening.accept()
    except (BlockingIOError, ConnectionError):
        return None
    except OSError as error:
        if error.errno in _OF_ONE_CONNECTION:
            return None
        if error.errno not in _OUT_OF_RESOURCES:
            raise
        logger.warning("cannot accept a connection: %s", error)
        await trio.sleep(ACCEPT_PAUSE_SECONDS)
        return None
    accepted.setblocking(False)
    return accepted


def _admit(server: SmbServer, nursery: trio.Nursery, accepted: socket.socket) -> None:
    """Serve a new connection; the longest-waiting one without a login makes room when there are too many of those."""
    if len(server.connections) >= MAX_CONNECTIONS:
        logger.info("a connection is refused: there are %d already", MAX_CONNECTIONS)
        accepted.close()
        return
    waiting = [connection for connection in server.connections if not connection.logged_in]
    if len(waiting) >= MAX_UNAUTHENTICATED_CONNECTIONS:
        min(waiting, key=lambda connection: connection.number).abort("too many connections without a login")
    try:
        _configure(accepted)
        connection = Connection(server, accepted)
    except OSError as error:
        logger.info("a connection went away before it was served: %s", error)
        accepted.close()
        return
    nursery.start_soon(connection.run)


def _configure(accepted: socket.socket) -> None:
    if accepted.family not in (socket.AF_INET, socket.AF_INET6):
        return
    accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    accepted.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEPALIVE_IDLE_SECONDS)
    accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _KEEPALIVE_INTERVAL_SECONDS)
    accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _KEEPALIVE_PROBES)
