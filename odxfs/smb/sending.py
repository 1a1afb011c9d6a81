"""Bytes out of a socket: one sendmsg where it goes, waiting where the peer reads slowly."""

from __future__ import annotations

import socket
from collections.abc import Sequence

import trio

from odxfs.types import Buffer

STALLED_SECONDS = 120.0
"""A peer that takes not one byte for this long is given up: its replies hold memory and its opens hold files."""

MAX_BUFFERS_PER_CALL = 512
"""Half of Linux' IOV_MAX (1024), the most that one sendmsg takes."""


class PeerStalled(Exception):
    """The peer does not read; the connection is to be dropped."""


class Sender:
    """Sends whole messages in the order in which `send` and `post` were called. One for each socket, which is non-blocking."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._lock = trio.Lock()
        self._posted: list[Buffer] = []
        self.sent_bytes = 0
        """What the kernel has taken since the beginning."""

    async def send(self, buffers: Sequence[Buffer]) -> None:
        """Send everything; no checkpoint when the kernel takes it at once. Raises OSError, PeerStalled."""
        try:
            self._lock.acquire_nowait()
        except trio.WouldBlock:
            self._posted += buffers  # what is posted meanwhile goes behind it
            buffers = ()
            await self._lock.acquire()
        try:
            rest = self._send_now([*self._take_posted(), *buffers] if self._posted else buffers)
            while rest or self._posted:
                if rest:
                    await self._writable()
                rest = self._send_now([*rest, *self._take_posted()] if self._posted else rest)
        finally:
            self._lock.release()

    def post(self, buffers: Sequence[Buffer]) -> bool:
        """Send a message without waiting; False when it is kept, and goes with what `send` is called for. Raises OSError."""
        self._posted += buffers
        if not self._lock.locked():
            self._posted = list(self._send_now(self._take_posted()))
        return not self._posted

    @property
    def keeps_posted(self) -> bool:
        """Whether something that was posted has not been sent."""
        return bool(self._posted)

    def _take_posted(self) -> list[Buffer]:
        posted, self._posted = self._posted, []
        return posted

    async def _writable(self) -> None:
        with trio.move_on_after(STALLED_SECONDS) as scope:
            await trio.lowlevel.wait_writable(self._socket)
        if scope.cancelled_caught:
            raise PeerStalled(f"the peer took nothing for {STALLED_SECONDS:.0f} seconds")

    def _send_now(self, buffers: Sequence[Buffer]) -> Sequence[Buffer]:
        """Send what fits into the socket's buffer; returns what is left."""
        while buffers:
            part = buffers[:MAX_BUFFERS_PER_CALL]
            try:
                sent = self._socket.sendmsg(part)
            except BlockingIOError:
                return buffers
            self.sent_bytes += sent
            buffers = _without(buffers, sent)
        return buffers


def _without(buffers: Sequence[Buffer], sent: int) -> Sequence[Buffer]:
    """`buffers` without their first `sent` bytes."""
    for index, buffer in enumerate(buffers):
        if sent < len(buffer):
            return [memoryview(buffer)[sent:], *buffers[index + 1 :]]
        sent -= len(buffer)
    return ()
