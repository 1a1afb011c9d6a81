"""Message encryption (MS-SMB2 3.1.4.3): AES-CCM with an 11-byte nonce, AES-GCM with a 12-byte one.

Small messages go through one call of the one-shot AEAD. Large GCM ones are encrypted piece by piece into one buffer, so
that a payload of a mebibyte is read once and written once.
"""

from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher as CryptographyCipher
from cryptography.hazmat.primitives.ciphers import algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, AESGCM

from odxfs.buffers import uninitialised
from odxfs.errors import ProtocolError
from odxfs.ntstatus import Status
from odxfs.types import Buffer
from odxfs.wire.negotiate_contexts import Cipher
from odxfs.wire.transform import (
    ASSOCIATED_OFFSET,
    TRANSFORM_BYTES,
    TRANSFORM_PROTOCOL_ID,
    TransformHeader,
    pack_associated,
)

TAG_BYTES = 16
SMALL_BYTES = 64 * 1024
"""Up to here one call with a joined message is faster than an incremental one (4 us of set-up)."""

_CCM_NONCE_BYTES = 11
_GCM_NONCE_BYTES = 12
_LAST_NONCE = 2**64 - 1


def _is_gcm(cipher: Cipher) -> bool:
    return cipher in (Cipher.AES_128_GCM, Cipher.AES_256_GCM)


class Sealer:
    """Encrypts with one key. The nonce is a counter: of one key there must never be two sealers."""

    def __init__(self, cipher: Cipher, key: bytes) -> None:
        self._gcm = _is_gcm(cipher)
        self._algorithm = algorithms.AES(key)
        self._seal = AESGCM(key).encrypt if self._gcm else AESCCM(key, TAG_BYTES).encrypt
        self._nonce_bytes = _GCM_NONCE_BYTES if self._gcm else _CCM_NONCE_BYTES
        self._used = 0

    def seal(self, pieces: Sequence[Buffer], session_id: int) -> list[Buffer]:
        """The encrypted message as transform header and ciphertext, in that order."""
        if self._used >= _LAST_NONCE:
            raise ProtocolError("this session's encryption key is used up", Status.NETWORK_SESSION_EXPIRED)
        self._used += 1
        nonce = self._used.to_bytes(self._nonce_bytes, "little")
        size = sum(map(len, pieces))
        associated = pack_associated(nonce, size, session_id)
        if self._gcm and size > SMALL_BYTES:
            tag, ciphertext = self._seal_large(nonce, pieces, size, associated)
        else:
            whole = memoryview(self._seal(nonce, b"".join(pieces), associated))
            tag, ciphertext = bytes(whole[-TAG_BYTES:]), whole[:-TAG_BYTES]
        return [TRANSFORM_PROTOCOL_ID + tag + associated, ciphertext]

    def _seal_large(
        self, nonce: bytes, pieces: Sequence[Buffer], size: int, associated: bytes
    ) -> tuple[bytes, memoryview]:
        running = CryptographyCipher(self._algorithm, modes.GCM(nonce)).encryptor()
        running.authenticate_additional_data(associated)
        room = uninitialised(size)
        done = 0
        for piece in pieces:
            done += running.update_into(piece, room[done:])
        running.finalize()
        return running.tag, room


class Unsealer:
    """Decrypts with one key. The peer's nonces are its own affair: a repeated message is caught by its message id."""

    def __init__(self, cipher: Cipher, key: bytes) -> None:
        self._gcm = _is_gcm(cipher)
        self._algorithm = algorithms.AES(key)
        self._open = AESGCM(key).decrypt if self._gcm else AESCCM(key, TAG_BYTES).decrypt
        self._nonce_bytes = _GCM_NONCE_BYTES if self._gcm else _CCM_NONCE_BYTES

    def unseal(self, header: TransformHeader, frame: memoryview) -> memoryview:
        """The plain message of `frame`, whose parsed header is `header`; ProtocolError when it was tampered with."""
        nonce = header.nonce[: self._nonce_bytes]
        associated = frame[ASSOCIATED_OFFSET:TRANSFORM_BYTES]
        ciphertext = frame[TRANSFORM_BYTES:]
        try:
            if self._gcm and len(ciphertext) > SMALL_BYTES:
                return self._unseal_large(nonce, header.signature, ciphertext, associated)
            plain = self._open(nonce, b"".join((ciphertext, header.signature)), associated)
        except InvalidTag:
            raise ProtocolError("an encrypted message does not verify", Status.ACCESS_DENIED) from None
        return memoryview(plain)

    def _unseal_large(
        self, nonce: bytes, tag: bytes, ciphertext: memoryview, associated: memoryview
    ) -> memoryview:
        running = CryptographyCipher(self._algorithm, modes.GCM(nonce, tag)).decryptor()
        running.authenticate_additional_data(associated)
        room = uninitialised(len(ciphertext))
        running.update_into(ciphertext, room)
        running.finalize()
        return room
