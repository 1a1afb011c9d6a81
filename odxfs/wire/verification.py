"""Checking a message's signature (MS-SMB2 3.1.5.1)."""

from hmac import compare_digest

from odxfs.wire.compound import SIGNATURE_OFFSET
from odxfs.wire.header import HEADER_BYTES, NO_SIGNATURE, Command, Header
from odxfs.wire.security import SessionSecurity


def verify(security: SessionSecurity, header: Header, pdu: memoryview, *, from_server: bool) -> bool:
    """Whether the signature of the message in `pdu` is right.

    `pdu` must be writable, as what comes out of a receive buffer is: its signature is zeroed for the while, because that is
    cheaper than a copy of the message.
    """
    pdu[SIGNATURE_OFFSET:HEADER_BYTES] = NO_SIGNATURE
    expected = security.signer.sign((pdu,), header.message_id, from_server, header.command == Command.CANCEL)
    pdu[SIGNATURE_OFFSET:HEADER_BYTES] = header.signature
    return compare_digest(expected, header.signature)
