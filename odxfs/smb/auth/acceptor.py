"""The server's side of one login: Kerberos or NTLMv2 inside SPNEGO, or bare NTLMv2 (MS-SMB2 3.3.5.5.3, RFC 4178)."""

from dataclasses import dataclass, field
from math import inf
from pathlib import Path

from odxfs.errors import UserError
from odxfs.smb.auth import spnego
from odxfs.smb.auth.errors import LogonFailure
from odxfs.smb.auth.kerberos import KERBEROS_OIDS, KerberosAcceptor
from odxfs.smb.auth.ntlm import SIGNATURE, NtlmAcceptor, NtlmLogin
from odxfs.smb.auth.spnego import NTLMSSP_OID, NegState, NegTokenResp
from odxfs.smb.auth.users import User, UserStore


@dataclass(frozen=True, slots=True)
class AuthStep:
    """`token` goes into the SESSION_SETUP response; once `done`, `user` is who logged in, for `seconds`, with `session_key`.

    The key has 16 bytes, with Kerberos also 32.
    """

    token: bytes
    done: bool
    user: User | None = None
    session_key: bytes = field(default=b"", repr=False)
    seconds: float = inf


class Acceptor:
    """One login attempt, good for one challenge. `server_name` is what the client is told to have reached.

    With a `keytab`, clients that prefer Kerberos get it; without one they are asked for NTLM.
    """

    def __init__(self, users: UserStore, server_name: str = "ODXFS", keytab: Path | None = None) -> None:
        self._users = users
        self._keytab = keytab
        self._kerberos: KerberosAcceptor | None = None
        self._ntlm = NtlmAcceptor(self._find, server_name)
        self._bare = False
        self._mechanisms = b""
        self._mic_required = False

    def step(self, token: bytes) -> AuthStep:
        """Take the client's next token. Raises LogonFailure, after which the attempt is over, and nothing else."""
        try:
            return self._dispatch(token)
        except LogonFailure as failure:
            # Whatever fails once the name is known must look the same, or the right password could be told from others.
            failure.account = self._ntlm.account
            raise

    def _dispatch(self, token: bytes) -> AuthStep:
        if token.startswith(SIGNATURE):
            return self._step_bare(token)
        if self._bare:
            raise LogonFailure("a login that began as bare NTLM and went on as something else")
        if not self._mechanisms:
            return self._begin(spnego.unpack_init(token))
        return self._go_on(spnego.unpack_response(token))

    def _find(self, name: str) -> User | None:
        try:
            return self._users.find(name)
        except UserError as error:
            raise LogonFailure(str(error)) from error

    def _step_bare(self, token: bytes) -> AuthStep:
        if self._mechanisms:
            raise LogonFailure("a login that began as SPNEGO and went on as bare NTLM")
        self._bare = True
        if not self._ntlm.challenged:
            return AuthStep(self._ntlm.challenge(token), done=False)
        login = self._ntlm.authenticate(token)
        return AuthStep(b"", True, login.user, login.session_key)

    def _begin(self, token: spnego.NegTokenInit) -> AuthStep:
        if self._keytab is not None and token.mechanisms[0] in KERBEROS_OIDS and token.mech_token:
            self._mechanisms = token.raw_mechanisms
            self._kerberos = _kerberos_acceptor(self._keytab)
            return self._step_kerberos(self._kerberos, token.mech_token, token.mechanisms[0])
        if NTLMSSP_OID not in token.mechanisms:
            raise LogonFailure("the client offers no mechanism that is served (NTLMSSP is)")
        self._mechanisms = token.raw_mechanisms
        if token.mechanisms[0] != NTLMSSP_OID:
            # The optimistic token is another mechanism's. That NTLMSSP was not the client's first choice must be proven
            # to be the client's own list (RFC 4178 section 5), hence request-mic.
            self._mic_required = True
            return AuthStep(NegTokenResp(NegState.REQUEST_MIC, NTLMSSP_OID).pack(), done=False)
        if not token.mech_token:
            return AuthStep(NegTokenResp(NegState.ACCEPT_INCOMPLETE, NTLMSSP_OID).pack(), done=False)
        return self._challenge(token.mech_token, NTLMSSP_OID)

    def _go_on(self, token: NegTokenResp) -> AuthStep:
        if token.state == NegState.REJECT:
            raise LogonFailure("the client gave up")
        if self._kerberos is not None:
            return self._step_kerberos(self._kerberos, token.response_token)
        if not self._ntlm.challenged:
            return self._challenge(token.response_token, b"")
        return self._finish(self._ntlm.authenticate(token.response_token), token.mech_list_mic)

    def _step_kerberos(self, kerberos: KerberosAcceptor, token: bytes, mechanism: bytes = b"") -> AuthStep:
        """A first choice that is taken up needs no mechListMIC (RFC 4178 section 5)."""
        answer, login = kerberos.step(token)
        if login is None:
            return AuthStep(NegTokenResp(NegState.ACCEPT_INCOMPLETE, mechanism, answer).pack(), done=False)
        user = self._find(login.account)
        if user is None:
            raise LogonFailure(f"a ticket of {login.account!r}, who is no user here")
        reply = NegTokenResp(NegState.ACCEPT_COMPLETED, mechanism, answer).pack()
        return AuthStep(reply, True, user, login.session_key, login.seconds)

    def _challenge(self, negotiate_message: bytes, mechanism: bytes) -> AuthStep:
        challenge = self._ntlm.challenge(negotiate_message)
        return AuthStep(NegTokenResp(NegState.ACCEPT_INCOMPLETE, mechanism, challenge).pack(), done=False)

    def _finish(self, login: NtlmLogin, mic: bytes) -> AuthStep:
        ours = b""
        if mic:
            if not login.security.verify(self._mechanisms, mic):
                raise LogonFailure("the mechListMIC does not verify: the list was changed on the way")
            ours = login.security.sign(self._mechanisms)
        elif self._mic_required:
            raise LogonFailure("the mechListMIC is missing")
        token = NegTokenResp(NegState.ACCEPT_COMPLETED, b"", b"", ours).pack()
        return AuthStep(token, True, login.user, login.session_key)


def _kerberos_acceptor(keytab: Path) -> KerberosAcceptor:
    try:
        return KerberosAcceptor(keytab)
    except UserError as error:
        raise LogonFailure(str(error)) from error


def negotiate_token(*, kerberos: bool = False) -> bytes:
    """The security buffer of a NEGOTIATE response: what is served."""
    return spnego.pack_init(mechanisms=(*KERBEROS_OIDS, NTLMSSP_OID) if kerberos else (NTLMSSP_OID,))
