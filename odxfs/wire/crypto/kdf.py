"""The keys of a session (MS-SMB2 3.1.4.2: SP800-108 in counter mode with HMAC-SHA256, r = 32, L = 128 or 256)."""

import hmac
import struct
from dataclasses import dataclass

from odxfs.wire.negotiate import Dialect
from odxfs.wire.negotiate_contexts import Cipher

_COUNTER = struct.Struct(">I")
KEY_BYTES = 16


@dataclass(frozen=True, slots=True)
class SessionKeys:
    """The four keys of one session; "client to server" is what the client encrypts with and the server decrypts with."""

    signing: bytes
    client_to_server: bytes
    server_to_client: bytes
    application: bytes


def derive_key(key: bytes, label: bytes, context: bytes, length_bytes: int = KEY_BYTES) -> bytes:
    """SP800-108 KDF in counter mode; one round of HMAC-SHA256 covers the 16 or 32 bytes that SMB asks for."""
    fixed = _COUNTER.pack(1) + label + b"\0" + context + _COUNTER.pack(length_bytes * 8)
    return hmac.digest(key, fixed, "sha256")[:length_bytes]


def session_keys(dialect: int, cipher: Cipher, session_key: bytes, preauth_hash: bytes) -> SessionKeys:
    """The keys that `session_key` (the whole key of the authentication, any length) gives in `dialect`.

    Everything comes from its first 16 bytes, zero-padded; only AES-256 uses the whole key, and only for encryption.
    """
    short = session_key[:KEY_BYTES].ljust(KEY_BYTES, b"\0")
    if dialect < Dialect.SMB_3_0:
        return SessionKeys(short, b"", b"", short)
    wide = cipher in (Cipher.AES_256_CCM, Cipher.AES_256_GCM)
    cipher_key, cipher_bytes = (session_key, 32) if wide else (short, KEY_BYTES)
    if dialect < Dialect.SMB_3_1_1:
        return SessionKeys(
            signing=derive_key(short, b"SMB2AESCMAC\0", b"SmbSign\0"),
            client_to_server=derive_key(cipher_key, b"SMB2AESCCM\0", b"ServerIn \0", cipher_bytes),
            server_to_client=derive_key(cipher_key, b"SMB2AESCCM\0", b"ServerOut\0", cipher_bytes),
            application=derive_key(short, b"SMB2APP\0", b"SmbRpc\0"),
        )
    return SessionKeys(
        signing=derive_key(short, b"SMBSigningKey\0", preauth_hash),
        client_to_server=derive_key(cipher_key, b"SMBC2SCipherKey\0", preauth_hash, cipher_bytes),
        server_to_client=derive_key(cipher_key, b"SMBS2CCipherKey\0", preauth_hash, cipher_bytes),
        application=derive_key(short, b"SMBAppKey\0", preauth_hash),
    )
