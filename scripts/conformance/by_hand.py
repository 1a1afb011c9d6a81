"""Copies that the clients' libraries have no call for, packed by hand: offload tokens, COPYCHUNK, DUPLICATE_EXTENTS.

`Control` is a client's own way to send an FSCTL on an open file: code, input, room for the output; it returns the output.
"""

import struct
from collections.abc import Callable

from cells import require

Control = Callable[[int, bytes, int], bytes]

SRV_REQUEST_RESUME_KEY = 0x00140078
SRV_COPYCHUNK_WRITE = 0x001480F2
DUPLICATE_EXTENTS_TO_FILE = 0x00098344
OFFLOAD_READ = 0x00094264
OFFLOAD_WRITE = 0x00098268
CHUNK_BYTES = 1024 * 1024
_READ_IN, _READ_OUT = struct.Struct("<IIIIQQ"), struct.Struct("<IIQ512s")
_WRITE_IN, _WRITE_OUT = struct.Struct("<IIQQQ512s"), struct.Struct("<IIQ")
_CHUNKS, _CHUNK, _COPIED = struct.Struct("<24sII"), struct.Struct("<QQII"), struct.Struct("<III")
_DUPLICATE = struct.Struct("<16sQQQ")


def copy_by_token(source: Control, destination: Control, length: int) -> None:
    """FSCTL_OFFLOAD_READ and _WRITE of `length` bytes (MS-FSCC 2.3.41, 2.3.77); the destination is that long already."""
    read = source(OFFLOAD_READ, _READ_IN.pack(_READ_IN.size, 0, 0, 0, 0, length), _READ_OUT.size)
    _, _, transferred, token = _READ_OUT.unpack(read)
    require(transferred == length, "the token stands for less than was asked")
    call = _WRITE_IN.pack(_WRITE_IN.size, 0, 0, length, 0, token)
    written = _WRITE_OUT.unpack(destination(OFFLOAD_WRITE, call, _WRITE_OUT.size))[2]
    require(written == length, "the token was not written whole")


def copy_by_chunks(source: Control, destination: Control, length: int) -> None:
    """FSCTL_SRV_COPYCHUNK_WRITE of `length` bytes in chunks of 1 MiB (MS-SMB2 2.2.31.1)."""
    key = source(SRV_REQUEST_RESUME_KEY, b"", 32)[:24]
    starts = range(0, length, CHUNK_BYTES)
    chunks = b"".join(_CHUNK.pack(at, at, min(CHUNK_BYTES, length - at), 0) for at in starts)
    answer = destination(SRV_COPYCHUNK_WRITE, _CHUNKS.pack(key, len(starts), 0) + chunks, _COPIED.size)
    require(_COPIED.unpack(answer) == (len(starts), 0, length), "not every chunk was copied")


def clone(destination: Control, source_id: bytes, length: int) -> None:
    """FSCTL_DUPLICATE_EXTENTS_TO_FILE of `length` bytes, whole blocks, from the open `source_id` (MS-FSCC 2.3.7)."""
    destination(DUPLICATE_EXTENTS_TO_FILE, _DUPLICATE.pack(source_id, 0, 0, length), 0)
