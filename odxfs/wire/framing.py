"""Direct TCP transport: a zero byte and a 24-bit big-endian length in front of each message (MS-SMB2 2.1).

Bytes are received straight into the buffer that the messages are handed out of: `FrameBuffer.room` is given to
recv_into, `FrameBuffer.frames` cuts what came. A message is a memoryview that is never overwritten while anybody holds
it; a message that does not fit what is left gets a buffer of its own size, so at most one buffer's rest is ever copied
and a large write arrives in place. The memory of a large one is the kernel's until bytes come: a prefix alone costs little.
"""

import struct
from collections.abc import Iterator, Sequence

from odxfs.buffers import uninitialised
from odxfs.errors import ProtocolError
from odxfs.types import Buffer

PREFIX_BYTES = 4
LOGIN_FRAME_BYTES = 64 * 1024
"""The largest message before a login: the greatest security token is 64 KiB less a little, and nothing else is needed."""

SESSION_FRAME_BYTES = 8 * 1024 * 1024 + 128 * 1024
"""The largest message after a login: an 8 MiB write with its headers, and room for small requests compounded with it."""

CHUNK_BYTES = 256 * 1024
"""A receive buffer for ordinary messages: some hundred small requests a call, free again when its last message is let go."""

LOGIN_CHUNK_BYTES = 8 * 1024
"""The first receive buffer, since a connection that has not logged in should cost little: a NEGOTIATE has 300 bytes."""

MINIMUM_ROOM_BYTES = 2 * 1024

_PREFIX = struct.Struct(">I")


class FrameBuffer:
    """The receive side of one connection. `limit` is the largest message that is accepted, in bytes."""

    __slots__ = ("_end", "_start", "_view", "limit")

    def __init__(self, limit: int = LOGIN_FRAME_BYTES) -> None:
        self.limit = limit
        self._view = memoryview(bytearray(LOGIN_CHUNK_BYTES))
        self._start = 0
        self._end = 0

    def room(self) -> memoryview:
        """Where the next bytes of the connection go; valid until the next call of any method."""
        return self._view[self._end :]

    def received(self, count: int) -> None:
        """`count` bytes were put into what room() gave."""
        self._end += count

    def frames(self) -> Iterator[memoryview]:
        """The complete messages that have come, without their prefix; raises ProtocolError at a prefix out of bounds."""
        while self._end - self._start >= PREFIX_BYTES:
            size = _PREFIX.unpack_from(self._view, self._start)[0]
            if size == 0 or size > self.limit:
                raise ProtocolError(f"a frame of {size} bytes where 1 to {self.limit} are allowed")
            first = self._start + PREFIX_BYTES
            if self._end - first < size:
                self._make_room(PREFIX_BYTES + size)
                return
            self._start = first + size
            yield self._view[first : first + size]
        self._make_room(PREFIX_BYTES)

    def _make_room(self, wanted: int) -> None:
        """See to it that `wanted` bytes from the start of the incomplete message, and some room anyway, are there."""
        capacity = len(self._view)
        size_known = wanted > PREFIX_BYTES
        if self._start + wanted <= capacity and (size_known or capacity - self._end >= MINIMUM_ROOM_BYTES):
            return
        ordinary = CHUNK_BYTES if self.limit > LOGIN_FRAME_BYTES else LOGIN_CHUNK_BYTES
        fresh = uninitialised(max(ordinary, wanted + MINIMUM_ROOM_BYTES))
        rest = self._end - self._start
        fresh[:rest] = self._view[self._start : self._end]
        self._view, self._start, self._end = fresh, 0, rest


def frame_prefix(size: int) -> bytes:
    """The four bytes in front of a message of `size` bytes."""
    return _PREFIX.pack(size)


def total_bytes(pieces: Sequence[Buffer]) -> int:
    """The length of a message in pieces."""
    return sum(map(len, pieces))
