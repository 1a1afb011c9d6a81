"""What both directions of the client's half of a connection share (MS-SMB2 3.2.1.2)."""

from odxfs.wire.client_exchange import ClientOffer
from odxfs.wire.credits import CreditAccount
from odxfs.wire.crypto.preauth import INITIAL_HASH
from odxfs.wire.framing import LOGIN_FRAME_BYTES, FrameBuffer
from odxfs.wire.negotiate import Capabilities
from odxfs.wire.negotiate_contexts import Cipher, SigningAlgorithm
from odxfs.wire.security import SessionSecurity


class ClientState:
    """One connection's state; only the connection's own modules write it.

    `dialect` is 0 before the server has chosen. `max_*_bytes` and `server_*` are the server's; `security_token` is its first
    SPNEGO token. `outstanding` maps the message id of what waits for a response to its command and session.
    `login_requests` (by message id) and `login_hashes` (by session id) are the preauthentication hashes of logins.
    """

    def __init__(self, offer: ClientOffer) -> None:
        self.offer = offer
        self.dialect = 0
        self.cipher = Cipher.NONE
        self.signing_algorithm = SigningAlgorithm.HMAC_SHA256
        self.capabilities = Capabilities.LARGE_MTU | Capabilities.ENCRYPTION
        self.server_capabilities = 0
        self.server_security_mode = 0
        self.server_guid = bytes(16)
        self.security_token = b""
        self.max_transact_bytes = 0
        self.max_read_bytes = 0
        self.max_write_bytes = 0
        self.preauth_hash = INITIAL_HASH
        self.sessions: dict[int, SessionSecurity] = {}
        self.login_requests: dict[int, bytes] = {}
        self.login_hashes: dict[int, bytes] = {}
        self.account = CreditAccount()
        self.outstanding: dict[int, tuple[int, int]] = {}
        self.frames = FrameBuffer(LOGIN_FRAME_BYTES)
