"""What a server makes of a NEGOTIATE: dialect, cipher, signing algorithm, capabilities (MS-SMB2 3.3.5.3, 3.3.5.4)."""

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from odxfs.errors import ProtocolError
from odxfs.ntstatus import Status
from odxfs.wire.negotiate import Capabilities, Dialect, NegotiateRequest, SecurityMode
from odxfs.wire.negotiate_contexts import (
    Cipher,
    EncryptionCapabilities,
    HashAlgorithm,
    NegotiateContext,
    PreauthIntegrityCapabilities,
    SigningAlgorithm,
    SigningCapabilities,
    find_context,
)

SERVED_DIALECTS = (Dialect.SMB_2_1, Dialect.SMB_3_0, Dialect.SMB_3_0_2, Dialect.SMB_3_1_1)
"""2.0.2 is not served: it has no multi-credit requests, and no client of this century speaks nothing newer."""

PREFERRED_CIPHERS = (Cipher.AES_128_GCM, Cipher.AES_256_GCM, Cipher.AES_128_CCM, Cipher.AES_256_CCM)
"""Best first: GCM is several times faster than CCM, and 128 bits outlive a session."""

PREFERRED_SIGNING = (SigningAlgorithm.AES_GMAC, SigningAlgorithm.AES_CMAC, SigningAlgorithm.HMAC_SHA256)
"""Best first: GMAC is ten times faster than the others."""

SALT_BYTES = 32
MAX_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ServerOffer:
    """What one server is willing to speak; sizes are bytes, `server_guid` is 16 raw bytes."""

    server_guid: bytes
    min_dialect: int = Dialect.SMB_2_1
    max_dialect: int = Dialect.SMB_3_1_1
    signing_required: bool = True
    encryption: bool = True
    ciphers: tuple[Cipher, ...] = PREFERRED_CIPHERS
    signing_algorithms: tuple[SigningAlgorithm, ...] = PREFERRED_SIGNING
    max_transact_bytes: int = MAX_BYTES
    max_read_bytes: int = MAX_BYTES
    max_write_bytes: int = MAX_BYTES

    @property
    def security_mode(self) -> int:
        """SecurityMode of every NEGOTIATE response."""
        required = SecurityMode.SIGNING_REQUIRED if self.signing_required else 0
        return SecurityMode.SIGNING_ENABLED | required

    def choose_dialect(self, dialects: Iterable[int]) -> int:
        """The greatest dialect that both ends speak, 0 when there is none."""
        spoken = set(dialects)
        common = [
            each
            for each in SERVED_DIALECTS
            if each in spoken and self.min_dialect <= each <= self.max_dialect
        ]
        return max(common, default=0)


@dataclass(frozen=True, slots=True)
class Negotiated:
    """The outcome of one NEGOTIATE."""

    dialect: int
    cipher: Cipher
    signing_algorithm: SigningAlgorithm
    capabilities: int
    contexts: tuple[NegotiateContext, ...] = ()


def negotiate(offer: ServerOffer, request: NegotiateRequest) -> Negotiated | None:
    """What `offer` answers to `request`, None when no dialect is common.

    Raises ProtocolError with the status that an answer carries when the contexts of 3.1.1 are missing or senseless.
    """
    dialect = offer.choose_dialect(request.dialects)
    if dialect == 0:
        return None
    if dialect == Dialect.SMB_3_1_1:
        return _negotiate_contexts(offer, request)
    capabilities, cipher = _capabilities(dialect, request), Cipher.NONE
    signing = SigningAlgorithm.HMAC_SHA256
    if dialect >= Dialect.SMB_3_0:
        signing = SigningAlgorithm.AES_CMAC
        if offer.encryption and request.capabilities & Capabilities.ENCRYPTION:
            capabilities |= Capabilities.ENCRYPTION
            cipher = Cipher.AES_128_CCM
    return Negotiated(dialect, cipher, signing, capabilities)


def _negotiate_contexts(offer: ServerOffer, request: NegotiateRequest) -> Negotiated:
    contexts = request.negotiate_contexts
    _refuse_doubles(contexts)
    preauth = find_context(contexts, PreauthIntegrityCapabilities)
    if preauth is None:
        raise ProtocolError("3.1.1 without SMB2_PREAUTH_INTEGRITY_CAPABILITIES")
    if HashAlgorithm.SHA_512 not in preauth.hash_algorithms:
        raise ProtocolError("no common preauthentication hash", Status.SMB_NO_PREAUTH_INTEGRITY_HASH_OVERLAP)
    answer: list[NegotiateContext] = [
        PreauthIntegrityCapabilities((HashAlgorithm.SHA_512,), secrets.token_bytes(SALT_BYTES))
    ]
    cipher, signing = Cipher.NONE, SigningAlgorithm.AES_CMAC
    encryption = find_context(contexts, EncryptionCapabilities)
    if encryption is not None and offer.encryption:
        cipher = Cipher(_first_common(offer.ciphers, encryption.ciphers, Cipher.NONE))
        answer.append(EncryptionCapabilities((cipher,)))
    wanted = find_context(contexts, SigningCapabilities)
    if wanted is not None:
        common = _first_common(offer.signing_algorithms, wanted.signing_algorithms, -1)
        if common >= 0:
            signing = SigningAlgorithm(common)
            answer.append(SigningCapabilities((signing,)))
    return Negotiated(
        Dialect.SMB_3_1_1, cipher, signing, _capabilities(Dialect.SMB_3_1_1, request), tuple(answer)
    )


def _capabilities(dialect: int, request: NegotiateRequest) -> int:
    """What every connection of the dialect has, and what the client asks for in addition; ENCRYPTION aside (3.3.5.4)."""
    capabilities = Capabilities.LARGE_MTU | Capabilities.LEASING
    if dialect >= Dialect.SMB_3_0:
        capabilities |= request.capabilities & (
            Capabilities.MULTI_CHANNEL | Capabilities.PERSISTENT_HANDLES | Capabilities.DIRECTORY_LEASING
        )
    return capabilities


def _refuse_doubles(contexts: Sequence[NegotiateContext]) -> None:
    for kind in (PreauthIntegrityCapabilities, EncryptionCapabilities, SigningCapabilities):
        if sum(isinstance(context, kind) for context in contexts) > 1:
            raise ProtocolError(f"two negotiate contexts of kind {kind.__name__}")


def _first_common(mine: Sequence[int], theirs: Sequence[int], default: int) -> int:
    return next((each for each in mine if each in theirs), default)
