"""Kerberos, for a server that has a keytab: who holds a ticket for it, and for how long (RFC 4121, MS-KILE).

The work is libgssapi's, which the package gssapi binds; pyspnego, which wraps the same package, cannot be told which keytab an
acceptor uses. A ticket is checked on the server's thread: some hundred microseconds of computing, and one append to MIT's
replay cache, a local file that is written without fsync. Nobody else is asked: the key distribution centre never is.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from odxfs.errors import ExitCode, UserError
from odxfs.smb.auth.errors import LogonFailure

KERBEROS_OID = bytes.fromhex("2a864886f712010202")
WINDOWS_KERBEROS_OID = bytes.fromhex("2a864882f712010202")
"""Kerberos as Windows 2000 misspelt it; Windows still names this first, and means the same."""

KERBEROS_OIDS = (WINDOWS_KERBEROS_OID, KERBEROS_OID)

_MECHANISM = "1.2.840.113554.1.2.2"
_SESSION_KEY = "1.2.840.113554.1.2.2.5.5"
"""GSS_C_INQ_SSPI_SESSION_KEY: the key that both ends have in the end, subkeys considered."""


@dataclass(frozen=True, slots=True)
class KerberosLogin:
    """`account` is the principal without its realm, which is the server's own. `seconds` is how long the ticket is good for."""

    account: str
    seconds: float
    session_key: bytes = field(repr=False)


class KerberosAcceptor:
    """One login. Bytes of a peer raise LogonFailure and nothing else."""

    def __init__(self, keytab: Path) -> None:
        self._gssapi = _import_gssapi()
        self._keytab = keytab
        self._context: Any = None

    def step(self, token: bytes) -> tuple[bytes, KerberosLogin | None]:
        """The answer to the peer's token, and the login once it is complete."""
        errors = self._gssapi.exceptions.GSSError
        try:
            if self._context is None:
                self._context = self._begin()
            answer = self._context.step(token) or b""
            return answer, self._login() if self._context.complete else None
        except (errors, UnicodeDecodeError) as error:  # a principal need not be UTF-8
            raise LogonFailure(f"Kerberos: {error}") from error

    def _begin(self) -> Any:  # noqa: ANN401 - the package is not there everywhere
        mechanism = self._gssapi.OID.from_int_seq(_MECHANISM)
        credentials = self._gssapi.Credentials(
            usage="accept", mechs=[mechanism], store={"keytab": os.fspath(self._keytab)}
        )
        return self._gssapi.SecurityContext(creds=credentials, usage="accept")

    def _login(self) -> KerberosLogin:
        context = self._context
        account = _local_account(str(context.initiator_name), str(context.target_name))
        oid = self._gssapi.OID.from_int_seq(_SESSION_KEY)
        keys = self._gssapi.raw.inquire_sec_context_by_oid(context, oid)
        if not keys or len(keys[0]) < 16:
            raise LogonFailure("a ticket with a key of fewer than 16 bytes")
        return KerberosLogin(account, float(context.lifetime), bytes(keys[0]))


def _local_account(client: str, server: str) -> str:
    """`alice@REALM` is the local user alice if REALM is the server's: those whom another realm calls alice are others."""
    name, _, realm = client.rpartition("@")
    if realm != server.rpartition("@")[2]:
        raise LogonFailure(f"{client!r} is of another realm than this server")
    if not name or "/" in name or "\\" in name or "@" in name:
        raise LogonFailure(f"{client!r} is not a user's principal")
    return name


def check_keytab(keytab: Path) -> None:
    """Raises UserError when Kerberos cannot be served with this keytab."""
    try:
        with keytab.open("rb") as file:
            head = file.read(2)
    except OSError as error:
        raise UserError(f"the keytab {keytab} cannot be read: {error.strerror}", ExitCode.CONFIG) from error
    if head != b"\x05\x02":
        raise UserError(f"{keytab} is not a keytab", ExitCode.CONFIG)
    _import_gssapi()


def _import_gssapi() -> Any:  # noqa: ANN401
    try:
        import gssapi
        import gssapi.raw
    except (ImportError, OSError) as error:
        raise UserError(
            "a keytab needs the Python package gssapi: see 'odxfs help kerberos'",
            ExitCode.CONFIG,
        ) from error
    return gssapi
