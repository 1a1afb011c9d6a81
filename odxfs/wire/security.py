"""What a session's login leaves behind: the keys, ready for use (MS-SMB2 3.2.1.3, 3.3.1.8)."""

from dataclasses import dataclass, replace

from odxfs.wire.crypto.kdf import session_keys
from odxfs.wire.crypto.sealing import Sealer, Unsealer
from odxfs.wire.crypto.signing import Signer, make_signer
from odxfs.wire.negotiate_contexts import Cipher, SigningAlgorithm


@dataclass(slots=True, eq=False)
class SessionSecurity:
    """The keys and the policy of one established session, on either side of the wire.

    On the server each connection that the session is bound to has its own, with a signing key of its own; the other keys, and the
    counter of the nonces with them, are the session's.
    `signing_required`: an unsigned message is refused. `encrypt_data`: everything after the login is encrypted.
    `sealer` and `unsealer` are None when no cipher was agreed on. `preauth_hash` is empty below 3.1.1.
    """

    session_id: int
    signer: Signer
    sealer: Sealer | None
    unsealer: Unsealer | None
    application_key: bytes
    signing_required: bool
    encrypt_data: bool
    preauth_hash: bytes = b""


def bind_security(
    session: SessionSecurity,
    session_key: bytes,
    *,
    dialect: int,
    signing_algorithm: SigningAlgorithm,
    preauth_hash: bytes,
) -> SessionSecurity:
    """The keys of a further channel of `session`, whose own login has left `session_key` (MS-SMB2 3.3.5.5.3)."""
    keys = session_keys(dialect, Cipher.NONE, session_key, preauth_hash)
    return replace(session, signer=make_signer(signing_algorithm, keys.signing), preauth_hash=preauth_hash)


def make_security(
    session_id: int,
    session_key: bytes,
    *,
    dialect: int,
    cipher: Cipher,
    signing_algorithm: SigningAlgorithm,
    preauth_hash: bytes,
    server: bool,
    signing_required: bool,
    encrypt_data: bool,
) -> SessionSecurity:
    """Derive and prepare the keys of a session for the side that `server` names."""
    keys = session_keys(dialect, cipher, session_key, preauth_hash)
    seal_key, unseal_key = keys.client_to_server, keys.server_to_client
    if server:
        seal_key, unseal_key = unseal_key, seal_key
    return SessionSecurity(
        session_id=session_id,
        signer=make_signer(signing_algorithm, keys.signing),
        sealer=Sealer(cipher, seal_key) if cipher else None,
        unsealer=Unsealer(cipher, unseal_key) if cipher else None,
        application_key=keys.application,
        signing_required=signing_required,
        encrypt_data=encrypt_data and cipher != Cipher.NONE,
        preauth_hash=preauth_hash,
    )
