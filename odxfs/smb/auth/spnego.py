"""The tokens of SPNEGO (RFC 4178; MS-SPNG 2.2.1 for NegTokenInit2)."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from odxfs.smb.auth import der
from odxfs.smb.auth.errors import LogonFailure

SPNEGO_OID = bytes.fromhex("2b0601050502")
NTLMSSP_OID = bytes.fromhex("2b06010401823702020a")
MAX_MECHANISM_LIST_BYTES = 512
"""Windows' list of four has 50. It is kept until the login is done, and anybody may begin logins."""

_HINT = b"not_defined_in_RFC4178@please_ignore"


class NegState(IntEnum):
    """negState of a NegTokenResp."""

    ACCEPT_COMPLETED = 0
    ACCEPT_INCOMPLETE = 1
    REJECT = 2
    REQUEST_MIC = 3


@dataclass(frozen=True, slots=True)
class NegTokenInit:
    """The client's first token. `raw_mechanisms` is the list as it stands in the token: what the mechListMIC covers."""

    mechanisms: tuple[bytes, ...]
    raw_mechanisms: bytes
    mech_token: bytes = b""


@dataclass(frozen=True, slots=True)
class NegTokenResp:
    """Every later token; absent parts are empty, an absent state is None."""

    state: int | None = None
    supported_mechanism: bytes = b""
    response_token: bytes = b""
    mech_list_mic: bytes = b""

    def pack(self) -> bytes:
        """The token as bytes."""
        parts = b""
        if self.state is not None:
            parts += der.pack(der.context(0), der.pack(der.ENUMERATED, bytes((self.state,))))
        if self.supported_mechanism:
            parts += der.pack(der.context(1), der.pack(der.OBJECT_IDENTIFIER, self.supported_mechanism))
        if self.response_token:
            parts += der.pack(der.context(2), der.pack(der.OCTET_STRING, self.response_token))
        if self.mech_list_mic:
            parts += der.pack(der.context(3), der.pack(der.OCTET_STRING, self.mech_list_mic))
        return der.pack(der.context(1), der.pack(der.SEQUENCE, parts))


def pack_init(mech_token: bytes = b"", mechanisms: Sequence[bytes] = (NTLMSSP_OID,)) -> bytes:
    """A NegTokenInit2 that offers `mechanisms`, best first, with the hint that Windows sends in it."""
    listed = b"".join(der.pack(der.OBJECT_IDENTIFIER, each) for each in mechanisms)
    parts = der.pack(der.context(0), der.pack(der.SEQUENCE, listed))
    if mech_token:
        parts += der.pack(der.context(2), der.pack(der.OCTET_STRING, mech_token))
    hint = der.pack(der.context(0), der.pack(der.GENERAL_STRING, _HINT))
    parts += der.pack(der.context(3), der.pack(der.SEQUENCE, hint))
    inner = der.pack(der.context(0), der.pack(der.SEQUENCE, parts))
    return der.pack(der.APPLICATION_0, der.pack(der.OBJECT_IDENTIFIER, SPNEGO_OID) + inner)


def unpack_init(token: bytes) -> NegTokenInit:
    """Parse the client's first token; raises LogonFailure."""
    tag, oid, rest = der.unpack(der.expect(token, der.APPLICATION_0))
    if tag != der.OBJECT_IDENTIFIER or oid != SPNEGO_OID:
        raise LogonFailure("a token of another mechanism than SPNEGO")
    parts = dict(der.elements(der.expect(der.expect(rest, der.context(0)), der.SEQUENCE)))
    raw = parts.get(der.context(0), b"")
    if len(raw) > MAX_MECHANISM_LIST_BYTES:
        raise LogonFailure("a SPNEGO token with an endless list of mechanisms")
    listed = list(der.elements(der.expect(raw, der.SEQUENCE)))
    if not listed or any(tag != der.OBJECT_IDENTIFIER for tag, _ in listed):
        raise LogonFailure("a SPNEGO token with a senseless list of mechanisms")
    wrapped = parts.get(der.context(2))
    mech_token = der.expect(wrapped, der.OCTET_STRING) if wrapped else b""
    return NegTokenInit(tuple(content for _, content in listed), raw, mech_token)


def unpack_response(token: bytes) -> NegTokenResp:
    """Parse a later token; raises LogonFailure."""
    parts = dict(der.elements(der.expect(der.expect(token, der.context(1)), der.SEQUENCE)))
    state = None
    if der.context(0) in parts:
        content = der.expect(parts[der.context(0)], der.ENUMERATED)
        if len(content) != 1:
            raise LogonFailure("a negState that has not one byte")
        state = content[0]
    return NegTokenResp(
        state,
        _optional(parts, 1, der.OBJECT_IDENTIFIER),
        _optional(parts, 2, der.OCTET_STRING),
        _optional(parts, 3, der.OCTET_STRING),
    )


def _optional(parts: dict[int, bytes], number: int, tag: int) -> bytes:
    wrapped = parts.get(der.context(number))
    return der.expect(wrapped, tag) if wrapped is not None else b""
