"""Whoever answers in the server's place without knowing the password gets nothing and is believed nothing."""

import random
from pathlib import Path

import pytest

from odxfs.client.authentication import Authentication
from odxfs.client.client import connect
from odxfs.client.errors import LogonFailed
from odxfs.peers import probe_peer
from odxfs.smb.auth import acceptor, spnego
from odxfs.smb.auth.acceptor import Acceptor, AuthStep, negotiate_token
from odxfs.smb.auth.spnego import NegState, NegTokenResp
from odxfs.smb.auth.users import User, UserStore
from tests.support.serving import PASSWORD, USER, serve

WRONG_PASSWORD = "that the impostor never heard of"
DONE_AT_ONCE = NegTokenResp(NegState.ACCEPT_COMPLETED, spnego.NTLMSSP_OID).pack()
MUTATIONS = 1500


def let_everybody_in(monkeypatch: pytest.MonkeyPatch, account: str, token: bytes) -> None:
    """Make servers of this process answer the first token with success; both sides' key would be the empty one."""

    def step(self: Acceptor, _: bytes) -> AuthStep:
        return AuthStep(token, True, self._users.find(account), b"")

    monkeypatch.setattr(acceptor.Acceptor, "step", step)


@pytest.mark.parametrize("encrypt", [False, True])
@pytest.mark.parametrize("token", [b"", DONE_AT_ONCE], ids=["no token", "accepted"])
async def test_a_logon_that_ends_before_its_proof_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, token: bytes, encrypt: bool
) -> None:
    let_everybody_in(monkeypatch, USER, token)
    async with serve(tmp_path) as served:
        with pytest.raises(LogonFailed):
            async with connect("127.0.0.1", served.port, USER, WRONG_PASSWORD, encrypt=encrypt):
                pass


async def test_an_impostor_is_no_peer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    let_everybody_in(monkeypatch, "m$", b"")
    async with serve(tmp_path) as served:
        UserStore(tmp_path).add("m$", "another password", 65534, 65534, peer=True)
        with pytest.raises(LogonFailed):
            await probe_peer("127.0.0.1", served.port, "m$", WRONG_PASSWORD)


@pytest.mark.parametrize(("user", "password"), [("al\udcffice", "secret"), ("alice", "sec\udcffret")])
async def test_a_name_and_a_password_that_are_not_utf_8(tmp_path: Path, user: str, password: str) -> None:
    async with serve(tmp_path) as served:
        with pytest.raises(LogonFailed, match="not UTF-8"):
            async with connect("127.0.0.1", served.port, user, password):
                pass


class _Nobody:
    def find(self, _: str) -> User | None:
        return None


def _mutated(data: bytes, chance: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        at, few = chance.randrange(len(changed) or 1), chance.randint(1, 4)
        changed[at : at + chance.choice((0, few))] = chance.randbytes(chance.choice((0, few)))
    return bytes(changed)


def _log_on(authentication: Authentication, chance: random.Random) -> None:
    """A whole exchange with a server whose tokens are damaged on the way, its challenge always."""
    greeting = negotiate_token()
    token = authentication.step(greeting if chance.random() < 0.7 else _mutated(greeting, chance))
    challenge = Acceptor(_Nobody()).step(token).token  # type: ignore[arg-type]
    authentication.step(_mutated(challenge, chance))
    authentication.step(_mutated(DONE_AT_ONCE, chance))
    authentication.session_key()


def test_tokens_that_are_damaged_end_the_logon_in_an_error_of_ours() -> None:
    chance, ends = random.Random(1), set[type]()
    for _ in range(MUTATIONS):
        authentication = Authentication("server:445", "server", USER, PASSWORD)
        try:
            _log_on(authentication, chance)
        except (LogonFailed, acceptor.LogonFailure) as error:
            ends.add(type(error.__cause__))
    assert {ValueError, KeyError} <= ends
