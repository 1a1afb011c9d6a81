"""Compounds: several messages in one frame, each but the last padded to 8 bytes (MS-SMB2 3.2.4.1.4, 3.3.5.2.7)."""

from odxfs.errors import ProtocolError
from odxfs.wire.header import HEADER_BYTES, Header

MAX_COMPOUND_REQUESTS = 64
"""Messages in one compound: clients send three or four; a longer one only delays the others of its connection."""

SIGNATURE_OFFSET = 48
"""Where Signature lies in the header; it is the header's last field."""


def split_compound(message: memoryview) -> list[tuple[Header, memoryview]]:
    """The messages of one frame with their headers; ProtocolError when a NextCommand leads anywhere but to a next header."""
    parts = []
    for _ in range(MAX_COMPOUND_REQUESTS):
        header = Header.unpack(message)
        step = header.next_command
        if step == 0:
            parts.append((header, message))
            return parts
        if step % 8 or step < HEADER_BYTES or step > len(message) - HEADER_BYTES:
            raise ProtocolError(f"NextCommand {step} in a message of {len(message)} bytes")
        parts.append((header, message[:step]))
        message = message[step:]
    raise ProtocolError(f"a compound of more than {MAX_COMPOUND_REQUESTS} messages")
