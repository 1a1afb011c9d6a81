"""What both directions of the server's half of a connection share (MS-SMB2 3.3.1.7)."""

from odxfs.wire.credits import SequenceWindow
from odxfs.wire.framing import LOGIN_FRAME_BYTES, FrameBuffer
from odxfs.wire.negotiate import Dialect
from odxfs.wire.negotiate_contexts import Cipher, SigningAlgorithm
from odxfs.wire.negotiation import ServerOffer
from odxfs.wire.security import SessionSecurity
from odxfs.wire.traffic import Traffic


class ServerState:
    """One connection's state; only the connection's own modules write it.

    `dialect` is 0 before NEGOTIATE and Dialect.WILDCARD after an SMB1 one. `sessions` are the established ones.
    `client_*` are the values of the client's NEGOTIATE, `server_*` those of the answer (FSCTL_VALIDATE_NEGOTIATE_INFO).
    `logins` holds the preauthentication hash of each session whose login is half done.
    """

    def __init__(self, offer: ServerOffer) -> None:
        self.offer = offer
        self.dialect = 0
        self.cipher = Cipher.NONE
        self.signing_algorithm = SigningAlgorithm.HMAC_SHA256
        self.client_guid = bytes(16)
        self.client_capabilities = 0
        self.client_security_mode = 0
        self.client_dialects: tuple[int, ...] = ()
        self.server_capabilities = 0
        self.server_security_mode = offer.security_mode
        self.preauth_hash = b""
        self.sessions: dict[int, SessionSecurity] = {}
        self.logins: dict[int, bytes] = {}
        self.traffic = Traffic()
        self.window = SequenceWindow()
        self.frames = FrameBuffer(LOGIN_FRAME_BYTES)

    @property
    def negotiated(self) -> bool:
        """Whether a dialect is settled."""
        return self.dialect not in (0, Dialect.WILDCARD)
