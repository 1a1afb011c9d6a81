"""Message signatures (MS-SMB2 3.1.4.1).

A signature covers the message from its SMB2 header, with the Signature field zero, to its end (padding of a compound
included). A signer takes the message in pieces so that a payload needs no copy.
"""

import hashlib
import hmac
import struct
from collections.abc import Sequence
from typing import Protocol, cast

from cryptography.hazmat.primitives.ciphers import Cipher as CryptographyCipher
from cryptography.hazmat.primitives.ciphers import algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.cmac import CMAC

from odxfs.types import Buffer
from odxfs.wire.negotiate_contexts import SigningAlgorithm

SIGNATURE_BYTES = 16
_GMAC_NONCE = struct.Struct("<QI")
_ROLE_SERVER = 1
_ROLE_CANCEL = 2

JOIN_BYTES = 128 * 1024
"""Up to here a message in pieces is joined for one call of AES-GMAC; above, the 3 us of an incremental one cost less."""


class Signer(Protocol):
    """A prepared signing key of one session."""

    def sign(self, pieces: Sequence[Buffer], message_id: int, from_server: bool, cancel: bool) -> bytes:
        """The 16 bytes of Signature for the message made of `pieces`, whose Signature field must be zero."""


class HmacSha256Signer:
    """SMB 2.x, and 3.1.1 when the client prefers it."""

    def __init__(self, key: bytes) -> None:
        self._base = hmac.new(key, digestmod=hashlib.sha256)

    def sign(self, pieces: Sequence[Buffer], message_id: int, from_server: bool, cancel: bool) -> bytes:
        """See Signer."""
        running = self._base.copy()
        for piece in pieces:
            running.update(piece)
        return running.digest()[:SIGNATURE_BYTES]


class AesCmacSigner:
    """SMB 3.x without SMB2_SIGNING_CAPABILITIES (RFC 4493)."""

    def __init__(self, key: bytes) -> None:
        self._base = CMAC(algorithms.AES128(key))

    def sign(self, pieces: Sequence[Buffer], message_id: int, from_server: bool, cancel: bool) -> bytes:
        """See Signer."""
        running = self._base.copy()
        for piece in pieces:
            running.update(cast(bytes, piece))  # any buffer will do; the annotation is narrower than the code
        return running.finalize()


class AesGmacSigner:
    """SMB 3.1.1. The nonce is the message id, the sender's role and whether it is a CANCEL, which shares its request's id."""

    def __init__(self, key: bytes) -> None:
        self._algorithm = algorithms.AES128(key)
        self._seal = AESGCM(key).encrypt

    def sign(self, pieces: Sequence[Buffer], message_id: int, from_server: bool, cancel: bool) -> bytes:
        """See Signer."""
        role = (_ROLE_SERVER if from_server else 0) | (_ROLE_CANCEL if cancel else 0)
        nonce = _GMAC_NONCE.pack(message_id, role)
        if len(pieces) == 1:
            return self._seal(nonce, b"", pieces[0])
        if sum(map(len, pieces)) <= JOIN_BYTES:
            return self._seal(nonce, b"", b"".join(pieces))
        return self._sign_large(nonce, pieces)

    def _sign_large(self, nonce: bytes, pieces: Sequence[Buffer]) -> bytes:
        running = CryptographyCipher(self._algorithm, modes.GCM(nonce)).encryptor()
        for piece in pieces:
            running.authenticate_additional_data(piece)
        running.finalize()
        return running.tag


def make_signer(algorithm: SigningAlgorithm, key: bytes) -> Signer:
    """The signer of one session."""
    if algorithm is SigningAlgorithm.AES_GMAC:
        return AesGmacSigner(key)
    if algorithm is SigningAlgorithm.AES_CMAC:
        return AesCmacSigner(key)
    return HmacSha256Signer(key)
