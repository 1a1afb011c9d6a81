"""The acceptor against clients that other people wrote: Samba's gensec, pyspnego, impacket."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import spnego
from impacket import ntlm as impacket_ntlm
from impacket.spnego import SPNEGO_NegTokenInit, SPNEGO_NegTokenResp, TypesMech

from odxfs.smb.auth.acceptor import Acceptor, AuthStep, negotiate_token
from odxfs.smb.auth.errors import LogonFailure
from odxfs.smb.auth.users import UserStore

PEER = Path(__file__).with_name("gensec_peer.py")
PASSWORD = "gr\u00fcn 12"


@pytest.fixture
def users(tmp_path: Path) -> UserStore:
    store = UserStore(tmp_path)
    store.add("alice", PASSWORD, 1000, 1000)
    return store


def samba_login(
    users: UserStore, mechanism: str, user: str, domain: str, password: str
) -> tuple[AuthStep, str]:
    """A whole login with Samba's client: the acceptor's last step, and the client's idea of the session key."""
    command = ["/usr/bin/python3", str(PEER), mechanism, user, domain, password]
    acceptor = Acceptor(users)
    step = None
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as peer:
        assert peer.stdin is not None
        assert peer.stdout is not None
        for line in peer.stdout:
            word = line.strip()
            if word.startswith("key"):
                assert step is not None
                return step, word.removeprefix("key ")
            if word:
                step = acceptor.step(bytes.fromhex(word))
                if step.token or not step.done:
                    peer.stdin.write(step.token.hex() + "\n")
                    peer.stdin.flush()
    raise AssertionError("Samba's client gave up")


@pytest.mark.parametrize("mechanism", ["spnego", "ntlmssp"])
@pytest.mark.parametrize(("user", "domain"), [("alice", "ODXFS"), ("ALICE", "SOMEWHERE"), ("Alice", "")])
def test_samba_logs_in_whatever_domain_and_case_it_says(
    users: UserStore, mechanism: str, user: str, domain: str
) -> None:
    step, key = samba_login(users, mechanism, user, domain, PASSWORD)
    assert step.done
    assert step.user is not None
    assert (step.user.name, step.user.uid) == ("alice", 1000)
    assert step.session_key.hex() == key


@pytest.mark.parametrize(("user", "password"), [("alice", "wrong"), ("nobody", PASSWORD)])
def test_samba_is_refused_with_a_wrong_name_or_password(users: UserStore, user: str, password: str) -> None:
    with pytest.raises(LogonFailure):
        samba_login(users, "spnego", user, "ODXFS", password)


def spnego_login(users: UserStore, protocol: str, first: bytes | None = None) -> tuple[AuthStep, bytes]:
    client = spnego.client("OTHER\\alice", PASSWORD, hostname="odxfs", service="cifs", protocol=protocol)
    acceptor = Acceptor(users)
    token = client.step(first)
    while True:
        assert token is not None
        step = acceptor.step(token)
        if step.token:
            token = client.step(step.token)
        if step.done:
            assert client.complete
            return step, client.session_key


@pytest.mark.parametrize("protocol", ["ntlm", "negotiate"])
def test_pyspnego_logs_in_and_accepts_our_mech_list_mic(users: UserStore, protocol: str) -> None:
    step, key = spnego_login(users, protocol)
    assert step.user is not None
    assert step.session_key == key


def test_pyspnego_begins_from_the_hint_of_negotiate(users: UserStore) -> None:
    step, key = spnego_login(users, "negotiate", negotiate_token())
    assert step.session_key == key


def impacket_login(
    users: UserStore, wrap: Callable[[bytes, bool], bytes], unwrap: Callable[[bytes], bytes]
) -> None:
    acceptor = Acceptor(users)
    first = impacket_ntlm.getNTLMSSPType1("", "", True, use_ntlmv2=True)
    challenge = acceptor.step(wrap(first.getData(), True))
    third, key = impacket_ntlm.getNTLMSSPType3(
        first, unwrap(challenge.token), "alice", PASSWORD, "ODXFS", use_ntlmv2=True
    )
    step = acceptor.step(wrap(third.getData(), False))
    assert step.done
    assert step.session_key == key


def test_impacket_logs_in_with_bare_ntlm(users: UserStore) -> None:
    impacket_login(users, lambda token, _first: token, lambda token: token)


def test_impacket_logs_in_inside_spnego(users: UserStore) -> None:
    def wrap(token: bytes, first: bool) -> bytes:
        if first:
            init = SPNEGO_NegTokenInit()
            init["MechTypes"] = [TypesMech["NTLMSSP - Microsoft NTLM Security Support Provider"]]
            init["MechToken"] = token
            return bytes(init.getData())
        response = SPNEGO_NegTokenResp()
        response["ResponseToken"] = token
        return bytes(response.getData())

    impacket_login(users, wrap, lambda token: bytes(SPNEGO_NegTokenResp(token)["ResponseToken"]))


def test_impacket_is_refused_with_ntlm_version_1(users: UserStore) -> None:
    acceptor = Acceptor(users)
    first = impacket_ntlm.getNTLMSSPType1("", "", True, use_ntlmv2=False)
    challenge = acceptor.step(first.getData())
    third, _ = impacket_ntlm.getNTLMSSPType3(
        first, challenge.token, "alice", "pass", "ODXFS", use_ntlmv2=False
    )
    with pytest.raises(LogonFailure, match="NTLMv1"):
        acceptor.step(third.getData())
