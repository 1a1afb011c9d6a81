"""The preauthentication integrity hash of SMB 3.1.1 (MS-SMB2 3.2.5.2, 3.3.5.4, 3.3.5.5).

Every NEGOTIATE and SESSION_SETUP message, exactly as it is on the wire without the transport's length, is chained into a
SHA-512 value; the keys of the session depend on it. The SESSION_SETUP response that succeeds is left out, because it is
already signed with those keys.
"""

import hashlib
from collections.abc import Iterable

from odxfs.types import Buffer

INITIAL_HASH = bytes(64)


def extend_hash(previous: bytes, message: Iterable[Buffer]) -> bytes:
    """The hash after `message`, given in pieces, follows what `previous` covers."""
    digest = hashlib.sha512(previous)
    for piece in message:
        digest.update(piece)
    return digest.digest()
