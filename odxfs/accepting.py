"""Taking connections from a listening socket, which must outlast whatever becomes of one of them."""

import errno
import logging
import socket

import trio

ACCEPT_PAUSE_SECONDS = 0.1
"""How long accepting rests when the process is out of file descriptors or memory: trying at once would spin."""

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


async def accept(listening: socket.socket) -> socket.socket | None:
    """The next connection; None when it went away before it was taken or there is no room for it now. Raises OSError."""
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
