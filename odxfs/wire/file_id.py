"""SMB2_FILEID (MS-SMB2 2.2.14.1): what a client calls an open."""

from typing import NamedTuple


class FileId(NamedTuple):
    """The two halves of a FileId, each an unsigned 64-bit number.

    `persistent` survives a durable reconnect, `volatile` belongs to the connection.
    """

    persistent: int
    volatile: int


ANY = FileId(2**64 - 1, 2**64 - 1)
"""All bits set: no open at all (some FSCTLs), or the open of the command before in a related compound."""
