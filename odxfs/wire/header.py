"""The SMB2 packet header (MS-SMB2 2.2.1), sync and async form, and the command numbers."""

from dataclasses import dataclass
from enum import IntEnum
from struct import Struct
from typing import Self

from odxfs.errors import ProtocolError
from odxfs.types import Buffer
from odxfs.wire.cursor import HEADER_BYTES

__all__ = ["HEADER_BYTES", "HEADER_STRUCT", "NO_SIGNATURE", "PROTOCOL_ID", "Command", "Header", "HeaderFlags"]

PROTOCOL_ID = b"\xfeSMB"

HEADER_STRUCT = Struct("<4sHHIHHIIQIIQ16s")
"""ProtocolId, StructureSize, CreditCharge, Status, Command, Credits, Flags, NextCommand, MessageId, then Reserved and
TreeId (the low and the high half of AsyncId in an async header), SessionId, Signature."""

NO_SIGNATURE = bytes(16)

_RESERVED = 0
_LOW = 0xFFFFFFFF


class Command(IntEnum):
    """The commands of SMB2 (MS-SMB2 2.2.1.2)."""

    NEGOTIATE = 0x0000
    SESSION_SETUP = 0x0001
    LOGOFF = 0x0002
    TREE_CONNECT = 0x0003
    TREE_DISCONNECT = 0x0004
    CREATE = 0x0005
    CLOSE = 0x0006
    FLUSH = 0x0007
    READ = 0x0008
    WRITE = 0x0009
    LOCK = 0x000A
    IOCTL = 0x000B
    CANCEL = 0x000C
    ECHO = 0x000D
    QUERY_DIRECTORY = 0x000E
    CHANGE_NOTIFY = 0x000F
    QUERY_INFO = 0x0010
    SET_INFO = 0x0011
    OPLOCK_BREAK = 0x0012


NEGOTIATE = int(Command.NEGOTIATE)
SESSION_SETUP = int(Command.SESSION_SETUP)
TREE_CONNECT = int(Command.TREE_CONNECT)
CANCEL = int(Command.CANCEL)
"""What every message is compared with, as plain numbers: Python 3.11 looks a member of an enum up in 80 ns."""


class HeaderFlags:
    """The bits of Flags. Plain ints: they are tested for every message."""

    SERVER_TO_REDIR = 0x00000001
    ASYNC_COMMAND = 0x00000002
    RELATED_OPERATIONS = 0x00000004
    RELATED = RELATED_OPERATIONS
    SIGNED = 0x00000008
    PRIORITY_MASK = 0x00000070
    DFS_OPERATIONS = 0x10000000
    DFS = DFS_OPERATIONS
    REPLAY_OPERATION = 0x20000000
    REPLAY = REPLAY_OPERATION


@dataclass(slots=True)
class Header:
    """One SMB2 header.

    `status` is the NTSTATUS of a response; in a request of dialect 3.x its low half is the ChannelSequence. `credits` is
    CreditRequest in a request and CreditResponse in a response. `async_id` counts when ASYNC_COMMAND is set, `tree_id` when
    it is not. `next_command` is the distance in bytes to the next header of a compound, 0 in the last. `command` stays a
    plain number: an unknown one is the dispatcher's to refuse.
    """

    command: int
    credit_charge: int = 0
    status: int = 0
    credits: int = 0
    flags: int = 0
    next_command: int = 0
    message_id: int = 0
    async_id: int = 0
    tree_id: int = 0
    session_id: int = 0
    signature: bytes = NO_SIGNATURE

    @classmethod
    def unpack(cls, pdu: Buffer) -> Self:
        """The header at the start of `pdu`. NextCommand is not judged here: the splitter of compounds does."""
        if len(pdu) < HEADER_BYTES:
            raise ProtocolError(f"an SMB2 header is cut short at {len(pdu)} bytes")
        (
            protocol,
            size,
            charge,
            status,
            command,
            granted,
            flags,
            following,
            message_id,
            low,
            high,
            session_id,
            signature,
        ) = HEADER_STRUCT.unpack_from(pdu)
        if protocol != PROTOCOL_ID or size != HEADER_BYTES:
            raise ProtocolError("not an SMB2 header")
        if flags & HeaderFlags.ASYNC_COMMAND:
            async_id, tree_id = low | high << 32, 0
        else:
            async_id, tree_id = 0, high
        return cls(
            command,
            charge,
            status,
            granted,
            flags,
            following,
            message_id,
            async_id,
            tree_id,
            session_id,
            signature,
        )

    @property
    def channel_sequence(self) -> int:
        """ChannelSequence of a request (dialect 3.x)."""
        return self.status & 0xFFFF

    @property
    def is_async(self) -> bool:
        return bool(self.flags & HeaderFlags.ASYNC_COMMAND)

    def pack(self) -> bytes:
        """The 64 bytes of this header, its signature as it is."""
        if self.flags & HeaderFlags.ASYNC_COMMAND:
            low, high = self.async_id & _LOW, self.async_id >> 32
        else:
            low, high = _RESERVED, self.tree_id
        return HEADER_STRUCT.pack(
            PROTOCOL_ID,
            HEADER_BYTES,
            self.credit_charge,
            self.status,
            self.command,
            self.credits,
            self.flags,
            self.next_command,
            self.message_id,
            low,
            high,
            self.session_id,
            self.signature,
        )
