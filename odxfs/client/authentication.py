"""The proof of both sides' knowledge of the password: pyspnego's Kerberos or NTLM inside SPNEGO (RFC 4178)."""

from collections.abc import Iterator
from contextlib import contextmanager

import spnego
from spnego.exceptions import SpnegoError

from odxfs.client.errors import LogonFailed
from odxfs.client.url import is_unicode
from odxfs.wire.crypto.kdf import KEY_BYTES


class Authentication:
    """One logon at a server, which messages call `address`. Everything raises LogonFailed and nothing else."""

    def __init__(self, address: str, host: str, user: str, password: str) -> None:
        self._address = address
        if not is_unicode(user + password):
            raise LogonFailed(f"{address}: the user's name or the password is not UTF-8")
        with self._explained("the logon cannot be made"):
            self._context = spnego.client(user, password, hostname=host, service="cifs", protocol="negotiate")

    def step(self, token: bytes) -> bytes:
        """Our next token after the server's `token`, empty when there is none; both may be."""
        with self._explained("the server's answer makes no sense"):
            if self._context.complete:
                return b""
            return self._context.step(token or None) or b""

    def session_key(self) -> bytes:
        """The key that only somebody who knows the password, too, can have.

        A server that ends the exchange early has proven nothing, and the context's key is then empty for everybody.
        """
        with self._explained("the server's answer makes no sense"):
            key = self._context.session_key if self._context.complete else b""
        if len(key) < KEY_BYTES:
            raise LogonFailed(f"{self._address}: the server has not proven that it knows the password")
        return key

    @contextmanager
    def _explained(self, complaint: str) -> Iterator[None]:
        """Around pyspnego, which lets malformed tokens raise almost anything."""
        try:
            yield
        except SpnegoError as error:
            raise LogonFailed(f"{self._address}: the logon cannot be made: {error}") from error
        except Exception as error:
            raise LogonFailed(f"{self._address}: {complaint}: {error}") from error
