"""The server's side of one login: SPNEGO around NTLMv2.  SKELETON, being filled in."""

from dataclasses import dataclass

from odxfs.smb.auth.users import User, UserStore


@dataclass(frozen=True, slots=True)
class AuthStep:
    """`token` goes into the SESSION_SETUP response; when `done`, `user` is who logged in and `session_key` its 16 bytes."""

    token: bytes
    done: bool
    user: User | None = None
    session_key: bytes = b""


class Acceptor:
    """One login attempt: Acceptor(users, server_name). Raises LogonFailure (odxfs.smb.auth.errors) only."""

    def __init__(self, users: UserStore, server_name: str = "ODXFS") -> None: ...
    def step(self, token: bytes) -> AuthStep: ...


def negotiate_token() -> bytes: ...   # the NegTokenInit2 of the NEGOTIATE response
