"""The last step of every message, either way: pad, sign, encrypt, frame (MS-SMB2 3.1.4.1, 3.1.4.3, 3.2.4.1, 3.3.4.1)."""

from collections.abc import Sequence
from dataclasses import dataclass

from odxfs.errors import ProtocolError
from odxfs.types import Buffer
from odxfs.wire.compound import SIGNATURE_OFFSET
from odxfs.wire.framing import frame_prefix
from odxfs.wire.header import HEADER_BYTES, HeaderFlags
from odxfs.wire.security import SessionSecurity

_FLAGS_OFFSET = 16
_NEXT_COMMAND_OFFSET = 20


@dataclass(slots=True)
class OutgoingMessage:
    """One message on its way out. `head` is header and body in one; `signer` is who signs it, if anybody.

    A SIGNED flag in `head` and `signer` go together.
    """

    head: bytes
    payload: Buffer | None
    message_id: int
    signer: SessionSecurity | None = None
    cancel: bool = False
    padding: bytes = b""

    def pieces(self) -> list[Buffer]:
        """The message as it stands, without a copy of the payload."""
        if self.padding:
            return [self.head, self.payload or b"", self.padding]
        return [self.head] if self.payload is None else [self.head, self.payload]

    def clear_signed(self) -> None:
        """Not to be signed after all, because it is encrypted or an interim answer."""
        if self.signer is not None:
            self.signer = None
            flags = self.head[_FLAGS_OFFSET] & ~HeaderFlags.SIGNED
            self.head = self.head[:_FLAGS_OFFSET] + bytes((flags,)) + self.head[_FLAGS_OFFSET + 1 :]


def pad_compound(messages: Sequence[OutgoingMessage], *, pad_last: bool = False) -> None:
    """Set NextCommand in all but the last of `messages` and pad each of them to 8 bytes.

    `pad_last` pads the last one too, as a server should (MS-SMB2 3.3.4.1.3).
    """
    last = messages[-1]
    for message in messages if pad_last else messages[:-1]:
        size = len(message.head) + (0 if message.payload is None else len(message.payload))
        padding = bytes(-size % 8)
        if message is not last:
            next_command = (size + len(padding)).to_bytes(4, "little")
            message.head = (
                message.head[:_NEXT_COMMAND_OFFSET] + next_command + message.head[_NEXT_COMMAND_OFFSET + 4 :]
            )
        if message.payload is None:
            message.head += padding
        elif padding:
            message.payload = b"".join((message.payload, padding))


def sign_message(message: OutgoingMessage, from_server: bool) -> None:
    """Put the signature into `message`, whose Signature field is zero, if it has a signer."""
    if message.signer is None:
        return
    signature = message.signer.signer.sign(message.pieces(), message.message_id, from_server, message.cancel)
    message.head = message.head[:SIGNATURE_OFFSET] + signature + message.head[HEADER_BYTES:]


def frame_messages(messages: Sequence[OutgoingMessage], sealing: SessionSecurity | None) -> list[Buffer]:
    """The messages of one frame as buffers for one sendmsg, encrypted with the keys of `sealing` unless it is None."""
    pieces = [piece for message in messages for piece in message.pieces()]
    if sealing is not None:
        if sealing.sealer is None:
            raise ProtocolError("encryption was not negotiated")
        pieces = sealing.sealer.seal(pieces, sealing.session_id)
    pieces[0] = frame_prefix(sum(map(len, pieces))) + pieces[0]
    return pieces
