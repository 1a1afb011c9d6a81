"""STORAGE_OFFLOAD_TOKEN: the 512 bytes that stand for data (MS-FSCC 2.1.11).

The header is big-endian, as the specification demands of it and of nothing else in SMB. What follows is ours: version, the
issuing pool, the token's random id, the length of the data, the life of the server that issued it, and at the very end a MAC
over everything before it. A client treats all of it as opaque; a token that differs in a single bit from what was issued is not
one of ours. The key outlives the server, so that a token of an earlier life is told from one that was never issued.
"""

import hashlib
import hmac
import secrets
import struct
from dataclasses import dataclass
from typing import NewType
from uuid import UUID

from odxfs.errors import OffloadRefused, Refusal
from odxfs.types import Buffer

TOKEN_BYTES = 512

TokenId = NewType("TokenId", bytes)
"""128 random bits."""

TokenLife = NewType("TokenLife", bytes)
"""128 random bits for each run of a server: tokens live in memory, so none outlives the life it was issued in."""

LABEL_CHARACTERS = 12

ZERO_TOKEN_TYPE = 0xFFFF0001
"""STORAGE_OFFLOAD_TOKEN_TYPE_ZERO_DATA."""

ODXFS_TOKEN_TYPE = 0x0DF50001
"""Our vendor type: not 0, and outside the range from 0xFFFF0001 on that MS-FSCC reserves."""

_VERSION = 2
_MAC_BYTES = 32
_ID_BYTES = TOKEN_BYTES - 8
_HEADER = struct.Struct(">IHH")
_BODY = struct.Struct(">HHI16s16sQ16s")
_PADDING = bytes(TOKEN_BYTES - _HEADER.size - _BODY.size - _MAC_BYTES)

ZERO_TOKEN = _HEADER.pack(ZERO_TOKEN_TYPE, 0, 0) + bytes(_ID_BYTES)
"""The well-known token for zeros: written, it frees space; a hole reads as it."""


@dataclass(frozen=True, slots=True)
class TokenContent:
    """What a genuine token says: the issuing pool, its id, how many bytes it stands for, and in which life it was issued."""

    pool: UUID
    id: TokenId
    length: int
    life: TokenLife


def new_token_id() -> TokenId:
    """A fresh 128-bit id."""
    return TokenId(secrets.token_bytes(16))


def new_life() -> TokenLife:
    """A fresh 128-bit life."""
    return TokenLife(secrets.token_bytes(16))


def label_of_id(identifier: TokenId) -> str:
    """What people call a token: enough to find it, too little to redeem it."""
    return identifier.hex()[:LABEL_CHARACTERS]


def label_of(token: Buffer) -> str:
    """The label that a token claims, genuine or not; "zero" for the zero token, "" for what is none of ours."""
    if is_zero_token(token):
        return "zero"
    if issuer_of(token) is None:
        return ""
    return label_of_id(TokenId(_BODY.unpack_from(token, _HEADER.size)[4]))


def is_zero_token(token: Buffer) -> bool:
    """Whether `token` is the zero token: its type alone decides, as every known implementation has it."""
    return len(token) >= _HEADER.size and _HEADER.unpack_from(token)[0] == ZERO_TOKEN_TYPE


def issuer_of(token: Buffer) -> UUID | None:
    """The pool that a token of ours names as its issuer, which only that pool can verify; None for other vendors' tokens."""
    if len(token) != TOKEN_BYTES or _HEADER.unpack_from(token)[0] != ODXFS_TOKEN_TYPE:
        return None
    return UUID(bytes=_BODY.unpack_from(token, _HEADER.size)[3])


def seal(content: TokenContent, key: bytes) -> bytes:
    """The 512 bytes of `content`, authenticated with `key`."""
    head = _HEADER.pack(ODXFS_TOKEN_TYPE, 0, _ID_BYTES)
    body = _BODY.pack(_VERSION, 0, 0, content.pool.bytes, content.id, content.length, content.life)
    message = head + body + _PADDING
    return message + _mac(key, message)


def unseal(token: Buffer, key: bytes) -> TokenContent:
    """What `token` says, if it was sealed with `key`.

    Raises OffloadRefused: UNKNOWN_TOKEN for another vendor's token, FORGED_TOKEN for anything altered or truncated.
    """
    if len(token) != TOKEN_BYTES:
        raise OffloadRefused(Refusal.FORGED_TOKEN)
    raw = bytes(token)
    if _HEADER.unpack_from(raw)[0] != ODXFS_TOKEN_TYPE:
        raise OffloadRefused(Refusal.UNKNOWN_TOKEN)
    message, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
    if not hmac.compare_digest(mac, _mac(key, message)):
        raise OffloadRefused(Refusal.FORGED_TOKEN)
    version, _, _, pool, identifier, length, life = _BODY.unpack_from(message, _HEADER.size)
    if version != _VERSION:
        raise OffloadRefused(Refusal.UNKNOWN_TOKEN)
    return TokenContent(UUID(bytes=pool), TokenId(identifier), length, TokenLife(life))


def _mac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, hashlib.sha256)
