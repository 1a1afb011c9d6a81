"""Signatures against RFC 4493, RFC 4231 and the GCM specification, in one piece and in several."""

import hashlib
import hmac

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from odxfs.errors import ProtocolError
from odxfs.wire.crypto import sealing, signing
from odxfs.wire.crypto.sealing import Sealer, Unsealer
from odxfs.wire.crypto.signing import make_signer
from odxfs.wire.negotiate_contexts import Cipher, SigningAlgorithm
from odxfs.wire.transform import TransformHeader

RFC_4493_KEY = bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c")
RFC_4493_MESSAGE = bytes.fromhex(
    "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
    "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"
)
KEY = bytes(range(16))
CIPHERS = [each for each in Cipher if each]


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (0, "bb1d6929e95937287fa37d129b756746"),
        (16, "070a16b46b4d4144f79bdd9dd04a287c"),
        (40, "dfa66747de9ae63030ca32611497c827"),
        (64, "51f0bebf7e3b9d92fc49741779363cfe"),
    ],
)
def test_aes_cmac_is_rfc_4493(size: int, expected: str) -> None:
    signer = make_signer(SigningAlgorithm.AES_CMAC, RFC_4493_KEY)
    assert signer.sign((RFC_4493_MESSAGE[:size],), 0, True, False).hex() == expected


def test_hmac_sha256_is_rfc_4231_cut_to_16_bytes() -> None:
    signer = make_signer(SigningAlgorithm.HMAC_SHA256, b"Jefe")
    assert (
        signer.sign((b"what do ya want ", b"for nothing?"), 0, True, False).hex()
        == "5bdcc146bf60754e6a042426089575c7"
    )


def test_aes_gmac_is_the_tag_of_gcm_without_plaintext() -> None:
    """Test case 1 of the GCM specification: all-zero key and nonce, nothing else."""
    signer = make_signer(SigningAlgorithm.AES_GMAC, bytes(16))
    assert signer.sign((b"",), 0, False, False).hex() == "58e2fccefa7e3061367f1d57a4e7455a"


@pytest.mark.parametrize(
    ("from_server", "cancel", "role"),
    [(False, False, 0), (True, False, 1), (False, True, 2), (True, True, 3)],
)
def test_the_gmac_nonce_is_message_id_role_and_cancel(from_server: bool, cancel: bool, role: int) -> None:
    signer = make_signer(SigningAlgorithm.AES_GMAC, KEY)
    nonce = (0x1122334455667788).to_bytes(8, "little") + bytes((role, 0, 0, 0))
    expected = AESGCM(KEY).encrypt(nonce, b"", b"a message")
    assert signer.sign((b"a message",), 0x1122334455667788, from_server, cancel) == expected


@pytest.mark.parametrize("algorithm", list(SigningAlgorithm))
@pytest.mark.parametrize("size", [100, signing.JOIN_BYTES - 80, signing.JOIN_BYTES + 1, 1_000_001])
def test_a_message_in_pieces_has_the_signature_of_the_whole(algorithm: SigningAlgorithm, size: int) -> None:
    signer = make_signer(algorithm, KEY)
    head, payload = bytes(range(80)), memoryview(hashlib.shake_128(b"payload").digest(size))
    whole = signer.sign((head + payload,), 7, True, False)
    assert signer.sign((head, payload), 7, True, False) == whole
    assert signer.sign((head, payload[:33], payload[33:]), 7, True, False) == whole


def test_hmac_matches_the_standard_library() -> None:
    signer = make_signer(SigningAlgorithm.HMAC_SHA256, KEY)
    assert signer.sign((b"abc",), 1, False, False) == hmac.digest(KEY, b"abc", "sha256")[:16]


@pytest.mark.parametrize("cipher", CIPHERS)
@pytest.mark.parametrize("size", [1, 100, sealing.SMALL_BYTES - 1, sealing.SMALL_BYTES + 1, 1_000_001])
def test_what_is_sealed_is_unsealed_on_the_other_end(cipher: Cipher, size: int) -> None:
    key = bytes(32 if cipher in (Cipher.AES_256_CCM, Cipher.AES_256_GCM) else 16)
    payload = hashlib.shake_128(b"payload").digest(size)
    frame = memoryview(b"".join(Sealer(cipher, key).seal([b"head", payload], 9)))
    header = TransformHeader.unpack(frame)
    assert bytes(Unsealer(cipher, key).unseal(header, frame)) == b"head" + payload
    changed = bytearray(frame)
    changed[-1] ^= 1
    with pytest.raises(ProtocolError):
        Unsealer(cipher, key).unseal(header, memoryview(changed))


def test_large_and_small_messages_are_the_same_gcm() -> None:
    """The incremental path for large messages gives what the one-shot one would."""
    payload = bytes(sealing.SMALL_BYTES + 100)
    frame = b"".join(Sealer(Cipher.AES_128_GCM, KEY).seal([payload], 9))
    tag, nonce, associated, ciphertext = frame[4:20], frame[20:32], frame[20:52], frame[52:]
    assert AESGCM(KEY).decrypt(nonce, ciphertext + tag, associated) == payload


def test_a_sealer_whose_nonces_are_used_up_refuses() -> None:
    sealer = Sealer(Cipher.AES_128_GCM, KEY)
    sealer._used = 2**64 - 1
    with pytest.raises(ProtocolError):
        sealer.seal([b"one too many"], 1)


@given(st.binary(max_size=120))
def test_any_transform_header_raises_protocol_error_and_nothing_else(data: bytes) -> None:
    frame = memoryview(b"\xfdSMB" + data)
    try:
        header = TransformHeader.unpack(frame)
        Unsealer(Cipher.AES_128_CCM, KEY).unseal(header, frame)
    except ProtocolError:
        return
    raise AssertionError("a random message verified")
