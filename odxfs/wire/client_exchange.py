"""What a client and its half of the connection hand each other: calls out, responses in."""

from dataclasses import dataclass

from odxfs.types import Buffer
from odxfs.wire.header import Header
from odxfs.wire.negotiate import SecurityMode
from odxfs.wire.negotiation import PREFERRED_CIPHERS, PREFERRED_SIGNING, SERVED_DIALECTS

ALL_ONES = 2**64 - 1
"""The message id of what answers no request, and the session id of a related request."""


@dataclass(slots=True, eq=False)
class Response:
    """One verified response; `pdu` starts at the SMB2 header and is never overwritten while it is held.

    `interim`: STATUS_PENDING, the real response follows under the same message id. The successful response of a login is
    not verified before `ClientConnection.establish`. `unsolicited`: it answers nothing (OPLOCK_BREAK).
    """

    header: Header
    pdu: memoryview
    interim: bool = False
    encrypted: bool = False

    @property
    def unsolicited(self) -> bool:
        return self.header.message_id == ALL_ONES


@dataclass(slots=True)
class Call:
    """One request of a compound. A `related` one takes session and tree from the one before it.

    `channel_sequence` counts the channels that were lost before it, `replay` says that it was sent before (MS-SMB2 3.2.4.1.1).
    """

    command: int
    body: bytes
    payload: Buffer | None = None
    tree_id: int = 0
    session_id: int = 0
    credit_charge: int = 1
    related: bool = False
    encrypt: bool = False
    channel_sequence: int = 0
    replay: bool = False


@dataclass(frozen=True, slots=True)
class ClientOffer:
    """What a client is willing to speak, best first; `client_guid` is 16 raw bytes."""

    client_guid: bytes
    dialects: tuple[int, ...] = SERVED_DIALECTS
    ciphers: tuple[int, ...] = PREFERRED_CIPHERS
    signing_algorithms: tuple[int, ...] = PREFERRED_SIGNING
    signing_required: bool = True

    @property
    def security_mode(self) -> int:
        """SecurityMode of NEGOTIATE and SESSION_SETUP."""
        required = SecurityMode.SIGNING_REQUIRED if self.signing_required else 0
        return SecurityMode.SIGNING_ENABLED | required
