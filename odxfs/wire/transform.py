"""The SMB2 TRANSFORM_HEADER, in front of every encrypted message (MS-SMB2 2.2.41)."""

import struct
from dataclasses import dataclass

from odxfs.errors import ProtocolError
from odxfs.ntstatus import Status

TRANSFORM_PROTOCOL_ID = b"\xfdSMB"
TRANSFORM_BYTES = 52
ASSOCIATED_OFFSET = 20
"""What the tag covers besides the message starts here, at Nonce, and runs to the end of the header."""

ENCRYPTED = 0x0001
_FIELDS = struct.Struct("<16s16sIHHQ")
_ASSOCIATED = struct.Struct("<16sIHHQ")


@dataclass(frozen=True, slots=True)
class TransformHeader:
    """`signature` is the tag; `nonce` is the whole 16-byte field, of which CCM uses 11 bytes and GCM 12."""

    signature: bytes
    nonce: bytes
    original_message_size: int
    session_id: int

    @classmethod
    def unpack(cls, frame: memoryview) -> "TransformHeader":
        """Read the header of a whole frame; raises ProtocolError when a field is not what the section allows."""
        if len(frame) <= TRANSFORM_BYTES:
            raise ProtocolError("an encrypted message without content", Status.ACCESS_DENIED)
        signature, nonce, size, _reserved, flags, session_id = _FIELDS.unpack_from(frame, 4)
        if flags != ENCRYPTED:
            raise ProtocolError(f"the transform header's Flags are {flags:#06x}", Status.ACCESS_DENIED)
        if size != len(frame) - TRANSFORM_BYTES:
            raise ProtocolError("OriginalMessageSize is not the size of the message", Status.ACCESS_DENIED)
        return cls(signature, nonce, size, session_id)


def pack_associated(nonce: bytes, size: int, session_id: int) -> bytes:
    """The header's last 32 bytes, which the tag covers; `nonce` may be shorter than its field."""
    return _ASSOCIATED.pack(nonce, size, 0, ENCRYPTED, session_id)
