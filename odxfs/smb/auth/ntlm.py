"""The server's side of NTLMv2 (MS-NLMP), over the peer's bytes as they came.

Everything that is verified is verified over raw bytes: clients encode the same fields in different ways, and a message
that is parsed and packed again is another message.
"""

import hmac
import secrets
import struct
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import IntFlag
from hashlib import md5

from odxfs.ntstatus import Status
from odxfs.smb.auth.errors import LogonFailure
from odxfs.smb.auth.rc4 import Rc4
from odxfs.smb.auth.upper_case import upper_cases
from odxfs.smb.auth.users import User

SIGNATURE = b"NTLMSSP\0"
MAX_MESSAGE_BYTES = 16 * 1024
"""No message of a client is longer than a few hundred bytes; names and target information are bounded by this."""

_SHOWN_CHARACTERS = 128
"""Of the name of a failed login, in the log: anybody can send thousands, and each may be escaped by six, as often as he likes."""

MAX_NEGOTIATE_BYTES = 1024
"""A negotiate message has 40 bytes and two short names; it is kept for the MIC until the login is done."""

_NEGOTIATE, _CHALLENGE, _AUTHENTICATE = 1, 2, 3
_FIELD = struct.Struct("<HHI")
_HEAD = struct.Struct("<8sI")
_AV_PAIR = struct.Struct("<HH")
_U32 = struct.Struct("<I")
_CHALLENGE_HEAD = struct.Struct("<8sIHHII8s8xHHI8s")
_NEGOTIATE_BYTES = 16
_AUTHENTICATE_BYTES = 64
_MIC_OFFSET, _MIC_BYTES = 72, 16
_PROOF_BYTES = 16
_SMALLEST_V2_BYTES = _PROOF_BYTES + 28
_NTLM_V1_BYTES = 24
_VERSION = bytes((10, 0)) + struct.pack("<H", 17763) + bytes((0, 0, 0, 15))
_EPOCH_TICKS = 116_444_736_000_000_000
_MIC_PRESENT = 0x2

_CLIENT_SIGN = b"session key to client-to-server signing key magic constant\0"
_SERVER_SIGN = b"session key to server-to-client signing key magic constant\0"
_CLIENT_SEAL = b"session key to client-to-server sealing key magic constant\0"
_SERVER_SEAL = b"session key to server-to-client sealing key magic constant\0"


class Flags(IntFlag):
    """NegotiateFlags (MS-NLMP 2.2.2.5), those that matter here."""

    UNICODE = 0x00000001
    REQUEST_TARGET = 0x00000004
    SIGN = 0x00000010
    SEAL = 0x00000020
    NTLM = 0x00000200
    ANONYMOUS = 0x00000800
    ALWAYS_SIGN = 0x00008000
    TARGET_TYPE_SERVER = 0x00020000
    EXTENDED_SESSIONSECURITY = 0x00080000
    TARGET_INFO = 0x00800000
    VERSION = 0x02000000
    KEY_128 = 0x20000000
    KEY_EXCHANGE = 0x40000000
    KEY_56 = 0x80000000


_OFFERED = (
    Flags.SIGN
    | Flags.SEAL
    | Flags.ALWAYS_SIGN
    | Flags.VERSION
    | Flags.KEY_128
    | Flags.KEY_EXCHANGE
    | Flags.KEY_56
)
"""What the server does when the client asks for it."""

_DEMANDED = Flags.UNICODE | Flags.EXTENDED_SESSIONSECURITY
"""What the client must ask for: without them there is no NTLMv2 worth the name."""


class AvId:
    """AvId of a target information entry (MS-NLMP 2.2.2.1)."""

    EOL = 0
    NB_COMPUTER_NAME = 1
    NB_DOMAIN_NAME = 2
    DNS_COMPUTER_NAME = 3
    DNS_DOMAIN_NAME = 4
    FLAGS = 6
    TIMESTAMP = 7


@dataclass(frozen=True, slots=True)
class NtlmLogin:
    """A login that was proven. `session_key` is ExportedSessionKey, 16 bytes; `security` makes and checks the mechListMIC."""

    user: User
    session_key: bytes
    security: "NtlmSecurity"


class NtlmSecurity:
    """GSS_GetMIC and GSS_VerifyMIC with the keys of a login (MS-NLMP 3.4.4.2); each direction signs from number 0 on."""

    def __init__(self, session_key: bytes, flags: int, *, server: bool = True) -> None:
        ours, theirs = (_SERVER_SIGN, _CLIENT_SIGN) if server else (_CLIENT_SIGN, _SERVER_SIGN)
        our_seal, their_seal = (_SERVER_SEAL, _CLIENT_SEAL) if server else (_CLIENT_SEAL, _SERVER_SEAL)
        sealing_key = _shorten(session_key, flags)
        wrap = flags & Flags.KEY_EXCHANGE != 0
        self._ours = _MicKey(_md5(session_key + ours), Rc4(_md5(sealing_key + our_seal)) if wrap else None)
        self._theirs = _MicKey(
            _md5(session_key + theirs), Rc4(_md5(sealing_key + their_seal)) if wrap else None
        )

    def sign(self, message: bytes) -> bytes:
        """The next MIC of this end."""
        return self._ours.next_mic(message)

    def verify(self, message: bytes, mic: bytes) -> bool:
        """Whether `mic` is the peer's next one for `message`."""
        return hmac.compare_digest(self._theirs.next_mic(message), mic)


class _MicKey:
    def __init__(self, signing_key: bytes, cipher: Rc4 | None) -> None:
        self._signing_key = signing_key
        self._cipher = cipher
        self._number = 0

    def next_mic(self, message: bytes) -> bytes:
        number = _U32.pack(self._number)
        checksum = hmac.digest(self._signing_key, number + message, "md5")[:8]
        if self._cipher is not None:
            checksum = self._cipher.apply(checksum)
        self._number += 1
        return _U32.pack(1) + checksum + number


class NtlmAcceptor:
    """One attempt: `challenge` of the client's NEGOTIATE_MESSAGE, then `authenticate` of its AUTHENTICATE_MESSAGE, once each.

    `find_user` looks an account up by name. Both calls raise LogonFailure. `account` is the name that the client has claimed.
    """

    def __init__(self, find_user: Callable[[str], User | None], server_name: str) -> None:
        self._find_user = find_user
        self._server_name = server_name
        self._server_challenge = secrets.token_bytes(8)
        self._negotiate_message = b""
        self._challenge_message = b""
        self.account = ""

    @property
    def challenged(self) -> bool:
        """Whether the challenge was handed out."""
        return bool(self._challenge_message)

    def challenge(self, message: bytes) -> bytes:
        """The CHALLENGE_MESSAGE that answers a NEGOTIATE_MESSAGE (MS-NLMP 3.2.5.1.1)."""
        _check_head(message, _NEGOTIATE, _NEGOTIATE_BYTES, MAX_NEGOTIATE_BYTES)
        if self.challenged:
            raise LogonFailure("a second NTLM negotiate message in one login")
        asked = _U32.unpack_from(message, 12)[0]
        if asked & _DEMANDED != _DEMANDED:
            raise LogonFailure(f"the client asks for less than NTLMv2 with Unicode (flags {asked:#010x})")
        flags = asked & _OFFERED | _DEMANDED | Flags.NTLM | Flags.REQUEST_TARGET | Flags.TARGET_INFO
        flags |= Flags.TARGET_TYPE_SERVER
        self._negotiate_message = message
        self._challenge_message = self._pack_challenge(flags)
        return self._challenge_message

    def _pack_challenge(self, flags: int) -> bytes:
        name = self._server_name.upper().encode("utf-16-le")
        dns_name = self._server_name.lower().encode("utf-16-le")
        ticks = time.time_ns() // 100 + _EPOCH_TICKS
        pairs = (
            (AvId.NB_DOMAIN_NAME, name),
            (AvId.NB_COMPUTER_NAME, name),
            (AvId.DNS_DOMAIN_NAME, dns_name),
            (AvId.DNS_COMPUTER_NAME, dns_name),
            (AvId.TIMESTAMP, struct.pack("<Q", ticks)),
            (AvId.EOL, b""),
        )
        information = b"".join(_AV_PAIR.pack(identifier, len(value)) + value for identifier, value in pairs)
        start = _CHALLENGE_HEAD.size
        head = _CHALLENGE_HEAD.pack(
            SIGNATURE,
            _CHALLENGE,
            len(name),
            len(name),
            start,
            flags,
            self._server_challenge,
            len(information),
            len(information),
            start + len(name),
            _VERSION,
        )
        return head + name + information

    def authenticate(self, message: bytes) -> NtlmLogin:
        """Verify an AUTHENTICATE_MESSAGE (MS-NLMP 3.2.5.1.2): the NTLMv2 proof, the session key, the MIC."""
        if not self.challenged or not self._server_challenge:
            raise LogonFailure("an NTLM authenticate message without a challenge")
        challenge, self._server_challenge = self._server_challenge, b""
        _check_head(message, _AUTHENTICATE, _AUTHENTICATE_BYTES, MAX_MESSAGE_BYTES)
        nt_response, domain, name = (_field(message, offset) for offset in (20, 28, 36))
        wrapped_key, flags = _field(message, 52), _U32.unpack_from(message, 60)[0]
        self._refuse_weak(nt_response, name, flags)
        av_flags = _av_flags(nt_response[_SMALLEST_V2_BYTES:])
        user_name, domain_name = _decode(name), _decode(domain)
        self.account = user_name
        user = self._find_user(user_name) or self._find_user(user_name.partition("@")[0])
        secret = user.nt_hash if user is not None else secrets.token_bytes(16)
        keys = response_keys(secret, user_name, domain_name)
        proof = nt_response[:_PROOF_BYTES]
        key = _proven_key(keys, challenge + nt_response[_PROOF_BYTES:], proof)
        if user is None or key is None:
            shown = user_name[:_SHOWN_CHARACTERS]
            raise LogonFailure(f"{'wrong password of' if user else 'no such user as'} {shown!r}")
        session_key = hmac.digest(key, proof, "md5")
        if flags & Flags.KEY_EXCHANGE:
            if len(wrapped_key) != 16:
                raise LogonFailure("an EncryptedRandomSessionKey that has not 16 bytes")
            session_key = Rc4(session_key).apply(wrapped_key)
        if av_flags & _MIC_PRESENT:
            self._verify_mic(message, session_key)
        return NtlmLogin(user, session_key, NtlmSecurity(session_key, flags))

    @staticmethod
    def _refuse_weak(nt_response: bytes, name: bytes, flags: int) -> None:
        if flags & Flags.ANONYMOUS or not name or not nt_response:
            raise LogonFailure("an anonymous login")
        if flags & _DEMANDED != _DEMANDED:
            raise LogonFailure("the client took back Unicode or extended session security")
        if len(nt_response) <= _NTLM_V1_BYTES:
            raise LogonFailure("an NTLMv1 response")
        if (
            len(nt_response) < _SMALLEST_V2_BYTES
            or nt_response[_PROOF_BYTES : _PROOF_BYTES + 2] != b"\x01\x01"
        ):
            raise LogonFailure("an NTLMv2 response that is malformed")

    def _verify_mic(self, message: bytes, session_key: bytes) -> None:
        """The MIC covers all three messages; the proven part of the response has said that it is there."""
        if len(message) < _MIC_OFFSET + _MIC_BYTES:
            raise LogonFailure("an NTLM MIC was announced but is not there")
        end = _MIC_OFFSET + _MIC_BYTES
        covered = message[:_MIC_OFFSET] + bytes(_MIC_BYTES) + message[end:]
        expected = hmac.digest(
            session_key, self._negotiate_message + self._challenge_message + covered, "md5"
        )
        if not hmac.compare_digest(expected, message[_MIC_OFFSET:end]):
            raise LogonFailure("the NTLM MIC does not verify: the messages were changed on the way")


def response_keys(secret: bytes, user_name: str, domain_name: str) -> list[bytes]:
    """NTOWFv2 (MS-NLMP 3.3.2), with user and domain as the client wrote them: one for each upper case that the name may have."""
    identities = [(upper + domain_name).encode("utf-16-le") for upper in upper_cases(user_name)]
    return [hmac.digest(secret, identity, "md5") for identity in identities]


def _proven_key(keys: Iterable[bytes], proven: bytes, proof: bytes) -> bytes | None:
    """The one that has made `proof`."""
    right = (key for key in keys if hmac.compare_digest(hmac.digest(key, proven, "md5"), proof))
    return next(right, None)


def _check_head(message: bytes, kind: int, least: int, most: int) -> None:
    if not least <= len(message) <= most:
        raise LogonFailure(f"an NTLM message of {len(message)} bytes")
    signature, found = _HEAD.unpack_from(message)
    if signature != SIGNATURE or found != kind:
        raise LogonFailure(f"an NTLM message of type {found} where {kind} was due")


def _field(message: bytes, offset: int) -> bytes:
    length, _allocated, start = _FIELD.unpack_from(message, offset)
    if length and (start < _AUTHENTICATE_BYTES or start + length > len(message)):
        raise LogonFailure("a field of an NTLM message lies outside it")
    return message[start : start + length]


def _decode(text: bytes) -> str:
    try:
        return text.decode("utf-16-le")
    except UnicodeDecodeError:
        raise LogonFailure("a name that is not UTF-16") from None


def _av_flags(pairs: bytes) -> int:
    """MsvAvFlags of the target information in an NTLMv2 response, 0 when there is none.

    Windows answers INVALID_PARAMETER to a list that is malformed, before it looks at the proof; so does this.
    """
    offset = 0
    while offset + _AV_PAIR.size <= len(pairs):
        identifier, length = _AV_PAIR.unpack_from(pairs, offset)
        offset += _AV_PAIR.size
        if identifier == AvId.EOL:
            return 0
        if offset + length > len(pairs):
            raise LogonFailure("target information that runs past its end", Status.INVALID_PARAMETER)
        if identifier == AvId.FLAGS:
            if length != _U32.size:
                raise LogonFailure("MsvAvFlags that has not 4 bytes", Status.INVALID_PARAMETER)
            value: int = _U32.unpack_from(pairs, offset)[0]
            return value
        offset += length
    return 0


def _shorten(key: bytes, flags: int) -> bytes:
    """The part of the session key that seals (MS-NLMP 3.4.5.3)."""
    if flags & Flags.KEY_128:
        return key
    return key[:7] if flags & Flags.KEY_56 else key[:5]


def _md5(data: bytes) -> bytes:
    return md5(data, usedforsecurity=False).digest()
