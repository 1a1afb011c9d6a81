"""The key that a pool's tokens are authenticated with: DIR/token.key, 32 random bytes that nobody but the owner may read.

It is made when a pool is served for the first time, and kept: so a token of an earlier life of the server is known for what
it is. Who has the key can make tokens that look genuine, but none that is in the table of live tokens.
"""

import secrets
from pathlib import Path

from odxfs.errors import ExitCode, UserError
from odxfs.record_file import replace_durably

KEY_FILE = "token.key"
KEY_BYTES = 32


def load_token_key(directory: Path) -> bytes:
    """The pool's key, made and durable on return if there was none. Blocking. Raises UserError when it cannot be had.

    The caller owns the pool, so nobody makes it at the same time.
    """
    file = directory / KEY_FILE
    try:
        try:
            key = file.read_bytes()
        except FileNotFoundError:
            key = secrets.token_bytes(KEY_BYTES)
            replace_durably(file, key)
    except OSError as error:
        raise UserError(f"the key of tokens {file}: {error.strerror}", ExitCode.CONFIG) from error
    if len(key) != KEY_BYTES:
        raise UserError(
            f"{file} has {len(key)} bytes instead of {KEY_BYTES}: remove it, and a new one is made",
            ExitCode.CONFIG,
        )
    return key
