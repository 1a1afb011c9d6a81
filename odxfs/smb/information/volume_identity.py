"""The numbers by which a client recognises a volume: the same at every mount, different for every volume."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from odxfs.smb.opens import SmbOpen
    from odxfs.smb.request import RequestContext


def object_id(context: RequestContext, opened: SmbOpen) -> bytes:
    """16 bytes: the pool's UUID with the volume's number folded into its last four."""
    uuid = context.server.pool.uuid.bytes_le
    number = int.from_bytes(uuid[12:], "little") ^ opened.volume.id
    return uuid[:12] + (number & 0xFFFFFFFF).to_bytes(4, "little")


def serial_number(context: RequestContext, opened: SmbOpen) -> int:
    """The 32-bit serial number that follows from the object id."""
    return zlib.crc32(object_id(context, opened))
