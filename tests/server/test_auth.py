"""What the acceptor refuses, and that nothing but LogonFailure ever comes out of it."""

import hmac
import json
import struct
from pathlib import Path

import gssapi
import pytest
import spnego
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from odxfs.errors import ExitCode, UserError
from odxfs.record_file import locked_directory
from odxfs.smb.auth import der
from odxfs.smb.auth.acceptor import Acceptor, AuthStep
from odxfs.smb.auth.errors import LogonFailure
from odxfs.smb.auth.kerberos import KerberosAcceptor
from odxfs.smb.auth.md4 import md4
from odxfs.smb.auth.ntlm import MAX_NEGOTIATE_BYTES, NtlmSecurity, response_keys
from odxfs.smb.auth.rc4 import Rc4
from odxfs.smb.auth.spnego import (
    NTLMSSP_OID,
    SPNEGO_OID,
    NegState,
    NegTokenResp,
    pack_init,
    unpack_init,
    unpack_response,
)
from odxfs.smb.auth.users import UserStore, nt_hash
from tests.support.waiting import until

KERBEROS_OID = bytes.fromhex("2a864886f712010202")


@pytest.fixture(scope="module")
def users(tmp_path_factory: pytest.TempPathFactory) -> UserStore:
    store = UserStore(tmp_path_factory.mktemp("pool"))
    store.add("alice", "secret", 1000, 1000)
    return store


def ntlm_client(user: str = "alice", password: str = "secret") -> spnego.ContextProxy:
    return spnego.client(user, password, hostname="odxfs", service="cifs", protocol="ntlm")


def say(client: spnego.ContextProxy, heard: bytes | None = None) -> bytes:
    """The client's next token."""
    token = client.step(heard)
    assert token is not None
    return token


def token_init(mechanisms: list[bytes], mech_token: bytes) -> bytes:
    listed = der.pack(der.SEQUENCE, b"".join(der.pack(der.OBJECT_IDENTIFIER, each) for each in mechanisms))
    parts = der.pack(der.context(0), listed)
    parts += der.pack(der.context(2), der.pack(der.OCTET_STRING, mech_token))
    inner = der.pack(der.context(0), der.pack(der.SEQUENCE, parts))
    return der.pack(der.APPLICATION_0, der.pack(der.OBJECT_IDENTIFIER, SPNEGO_OID) + inner)


class KerberosFirst:
    """A client that would rather use Kerberos, and whose list is proven by a mechListMIC."""

    def __init__(self, acceptor: Acceptor) -> None:
        self.acceptor = acceptor
        self.client = ntlm_client()
        self.first = token_init([KERBEROS_OID, NTLMSSP_OID], b"a ticket that nobody reads")
        self.raw = unpack_init(self.first).raw_mechanisms

    def begin(self) -> AuthStep:
        return self.acceptor.step(self.first)

    def challenge(self) -> bytes:
        step = self.acceptor.step(NegTokenResp(response_token=say(self.client)).pack())
        return say(self.client, unpack_response(step.token).response_token)

    def mic(self) -> bytes:
        flags = 0x40000000 | 0x20000000 | 0x80000000
        return NtlmSecurity(self.client.session_key, flags, server=False).sign(self.raw)


def test_a_client_that_prefers_kerberos_is_led_to_ntlmssp_and_proves_its_list(users: UserStore) -> None:
    peer = KerberosFirst(Acceptor(users))
    answer = unpack_response(peer.begin().token)
    assert (answer.state, answer.supported_mechanism) == (NegState.REQUEST_MIC, NTLMSSP_OID)
    assert not answer.response_token
    step = peer.acceptor.step(NegTokenResp(response_token=peer.challenge(), mech_list_mic=peer.mic()).pack())
    assert step.done
    assert unpack_response(step.token).mech_list_mic
    assert step.session_key == peer.client.session_key


def test_a_list_that_was_changed_on_the_way_is_found_out(users: UserStore) -> None:
    peer = KerberosFirst(Acceptor(users))
    peer.begin()
    authenticate = peer.challenge()
    peer.raw += b"another"
    with pytest.raises(LogonFailure, match="mechListMIC"):
        peer.acceptor.step(NegTokenResp(response_token=authenticate, mech_list_mic=peer.mic()).pack())


def test_the_mic_cannot_be_left_out_where_it_was_asked_for(users: UserStore) -> None:
    peer = KerberosFirst(Acceptor(users))
    peer.begin()
    with pytest.raises(LogonFailure, match="mechListMIC"):
        peer.acceptor.step(NegTokenResp(response_token=peer.challenge()).pack())


def test_every_failure_after_the_name_tells_whose_it_is(users: UserStore) -> None:
    """A right password with a wrong list must be held up like a wrong password, or it could be told from one."""
    peer = KerberosFirst(Acceptor(users))
    peer.begin()
    with pytest.raises(LogonFailure, match="mechListMIC") as failed:
        peer.acceptor.step(NegTokenResp(response_token=peer.challenge()).pack())
    assert users.find(failed.value.account) is not None


def test_a_client_without_ntlmssp_is_refused(users: UserStore) -> None:
    with pytest.raises(LogonFailure):
        Acceptor(users).step(token_init([KERBEROS_OID], b"ticket"))


def test_a_login_keeps_and_looks_at_little_whatever_anybody_sends(users: UserStore) -> None:
    """Anybody may begin 64 logins on each of 128 connections: with 64 KiB in each that is half a gigabyte."""
    negotiate = say(ntlm_client())
    endless_list = token_init([NTLMSSP_OID, bytes(1000)], negotiate)
    many = token_init([NTLMSSP_OID, *[b"\x2a"] * der.MAX_ELEMENTS], negotiate)
    long_message = token_init([NTLMSSP_OID], negotiate.ljust(MAX_NEGOTIATE_BYTES + 1, b"\0"))
    for token in (endless_list, many, long_message):
        with pytest.raises(LogonFailure):
            Acceptor(users).step(token)
    assert list(der.elements(b"\x04\x00" * der.MAX_ELEMENTS)) == [(4, b"")] * der.MAX_ELEMENTS
    with pytest.raises(LogonFailure):
        list(der.elements(b"\x04\x00" * (der.MAX_ELEMENTS + 1)))


def test_a_name_without_end_does_not_fill_the_log(users: UserStore) -> None:
    for user in ("\ue000" * 5000, "alice@" + "x" * 5000):
        acceptor, client = Acceptor(users), ntlm_client(user, "wrong")
        challenge = acceptor.step(say(client)).token
        with pytest.raises(LogonFailure) as failed:
            acceptor.step(say(client, challenge))
        assert len(str(failed.value)) < 1000


def both_messages(users: UserStore) -> tuple[Acceptor, bytes, bytes]:
    """An acceptor that has sent its challenge, the challenge, and the client's right answer to it."""
    acceptor, client = Acceptor(users), ntlm_client()
    challenge = acceptor.step(say(client)).token
    return acceptor, challenge, say(client, challenge)


def test_any_changed_byte_of_the_authenticate_message_is_found_out(users: UserStore) -> None:
    """The MIC covers the whole message: no byte of it can be flipped, not even in the names that nobody uses."""
    _, _, sample = both_messages(users)
    for position in range(0, len(sample), 3):
        acceptor, _, message = both_messages(users)
        changed = bytearray(message)
        changed[position % len(message)] ^= 0x40
        with pytest.raises(LogonFailure):
            acceptor.step(bytes(changed))


def test_a_changed_challenge_or_negotiate_message_is_found_out_by_the_mic(users: UserStore) -> None:
    acceptor, client = Acceptor(users), ntlm_client()
    challenge = bytearray(acceptor.step(say(client)).token)
    challenge[40] ^= 1  # a byte of the Version field, which only the MIC protects
    with pytest.raises(LogonFailure, match="MIC"):
        acceptor.step(say(client, bytes(challenge)))


def test_a_challenge_is_random_and_answered_once(users: UserStore) -> None:
    challenges = {Acceptor(users).step(say(ntlm_client())).token[24:32] for _ in range(8)}
    assert len(challenges) == 8
    acceptor, _, message = both_messages(users)
    assert acceptor.step(message).done
    with pytest.raises(LogonFailure):
        acceptor.step(message)


def test_an_answer_does_not_fit_another_attempt(users: UserStore) -> None:
    _, _, message = both_messages(users)
    other, _, _ = both_messages(users)
    with pytest.raises(LogonFailure):
        other.step(message)


def test_the_authenticate_message_cannot_come_first(users: UserStore) -> None:
    _, _, message = both_messages(users)
    with pytest.raises(LogonFailure):
        Acceptor(users).step(message)


def authenticate_message(nt_response: bytes, user: bytes, flags: int, lm_response: bytes = b"") -> bytes:
    """An AUTHENTICATE_MESSAGE with nothing else in it."""
    start = 88
    lm_start = start + len(nt_response) + len(user)
    fields = struct.pack("<HHI", len(lm_response), len(lm_response), lm_start)
    fields += struct.pack("<HHI", len(nt_response), len(nt_response), start)
    fields += struct.pack("<HHI", 0, 0, start)
    fields += struct.pack("<HHI", len(user), len(user), start + len(nt_response))
    fields += struct.pack("<HHI", 0, 0, start) * 2
    return (
        b"NTLMSSP\0"
        + struct.pack("<I", 3)
        + fields
        + struct.pack("<I", flags)
        + bytes(24)
        + nt_response
        + user
        + lm_response
    )


FLAGS = 0x00080001
MIC_ANNOUNCED = struct.pack("<HHI", 6, 4, 2)
ALICE = "alice".encode("utf-16-le")


@pytest.mark.parametrize(
    ("nt_response", "user", "flags"),
    [
        (b"", b"", FLAGS | 0x800),
        (b"", ALICE, FLAGS),
        (bytes(24), ALICE, FLAGS),
        (bytes(60), ALICE, FLAGS),
        (bytes(16) + b"\x01\x01" + bytes(60), ALICE, 0),
        (bytes(16) + b"\x01\x01" + bytes(60), ALICE, FLAGS & ~0x1),
        (bytes(16) + b"\x01\x01" + bytes(60), ALICE, FLAGS & ~0x80000),
        (bytes(16) + b"\x01\x01" + bytes(60), ALICE, FLAGS),
        (bytes(16) + b"\x01\x01" + bytes(60), ALICE[:-1], FLAGS),
    ],
    ids=[
        "anonymous",
        "no response",
        "ntlm version 1",
        "not a version 2 blob",
        "weak flags",
        "not Unicode",
        "no extended session security",
        "wrong proof",
        "odd name",
    ],
)
def test_weak_anonymous_and_malformed_answers_are_refused(
    users: UserStore, nt_response: bytes, user: bytes, flags: int
) -> None:
    acceptor, _, _ = both_messages(users)
    with pytest.raises(LogonFailure):
        acceptor.step(authenticate_message(nt_response, user, flags))


@pytest.mark.parametrize("nt_response", [b"", bytes(24)])
def test_a_right_lm_response_opens_nothing(users: UserStore, nt_response: bytes) -> None:
    """LMv2 is as good a proof as NTLMv2 without a MIC, which is why it is not looked at."""
    negotiate = say(ntlm_client())
    acceptor = Acceptor(users)
    server_challenge = acceptor.step(negotiate).token[24:32]
    client_challenge = bytes(8)
    (key,) = response_keys(nt_hash("secret"), "alice", "")
    proof = hmac.digest(key, server_challenge + client_challenge, "md5")
    with pytest.raises(LogonFailure):
        acceptor.step(authenticate_message(nt_response, ALICE, FLAGS, proof + client_challenge))


@pytest.mark.parametrize(
    ("name", "upper"),
    [
        ("\u0131ş\u0131k", "\u0131Ş\u0131K"),
        ("\u0131ş\u0131k", "IŞIK"),
        ("ștefan", "ȘTEFAN"),
        ("ștefan", "șTEFAN"),
        ("weiß", "WEIß"),
        ("weiß", "WEISS"),
        ("юзер", "ЮЗЕР"),
        ("ꙁ", "Ꙁ"),
        ("ꙁ", "ꙁ"),
    ],
)
def test_a_name_is_proven_in_whatever_upper_case_its_client_knows(
    tmp_path: Path, name: str, upper: str
) -> None:
    """Windows, Samba, the Linux kernel, Java and Python make different things of letters beyond ASCII."""
    store = UserStore(tmp_path)
    store.add(name, "secret", 1000, 1000)
    for said, right in ((upper, True), (upper + "x", False)):
        acceptor = Acceptor(store)
        challenge = acceptor.step(say(ntlm_client())).token[24:32]
        key = hmac.digest(nt_hash("secret"), said.encode("utf-16-le"), "md5")
        blob = b"\x01\x01" + bytes(26) + bytes(8)
        message = authenticate_message(
            hmac.digest(key, challenge + blob, "md5") + blob, name.encode("utf-16-le"), FLAGS
        )
        if right:
            assert acceptor.step(message).user == store.find(name)
        else:
            with pytest.raises(LogonFailure, match="wrong password"):
                acceptor.step(message)


@pytest.mark.parametrize("mic", [bytes(16), b"\xff" * 16])
def test_a_mic_that_was_announced_must_be_right(users: UserStore, mic: bytes) -> None:
    """The announcement stands in what the password proves, so it cannot be taken back; what can be is the MIC itself."""
    acceptor, _, message = both_messages(users)
    assert MIC_ANNOUNCED in message
    changed = message[:72] + mic + message[88:]
    with pytest.raises(LogonFailure, match="MIC"):
        acceptor.step(changed)


def test_a_client_that_asks_for_less_than_extended_session_security_gets_no_challenge(
    users: UserStore,
) -> None:
    message = b"NTLMSSP\0" + struct.pack("<II", 1, 0x00000201) + bytes(16)
    with pytest.raises(LogonFailure):
        Acceptor(users).step(message)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.binary(max_size=200), min_size=1, max_size=3))
def test_any_bytes_raise_logon_failure_and_nothing_else(users: UserStore, tokens: list[bytes]) -> None:
    acceptor = Acceptor(users)
    for token in tokens:
        try:
            assert not acceptor.step(token).done
        except LogonFailure:
            return


SHARE_OF_LENGTH = st.floats(0, 1, exclude_max=True)
DAMAGE = st.tuples(
    st.lists(st.tuples(SHARE_OF_LENGTH, st.integers(0, 255)), max_size=3), st.none() | SHARE_OF_LENGTH
)
"""Bytes to change and where to cut, by their share of a length that random challenges make differ."""


@settings(max_examples=300, deadline=None)
@given(st.tuples(DAMAGE, DAMAGE))
def test_damaged_tokens_raise_logon_failure_and_nothing_else(
    users: UserStore, damages: tuple[tuple[list[tuple[float, int]], float | None], ...]
) -> None:
    client = ntlm_client()
    acceptor = Acceptor(users)
    tokens = [token_init([NTLMSSP_OID], say(client))]
    challenge = unpack_response(Acceptor(users).step(tokens[0]).token).response_token
    tokens.append(NegTokenResp(response_token=say(client, challenge)).pack())
    for token, (changes, cut) in zip(tokens, damages, strict=True):
        damaged = bytearray(token)
        for where, value in changes:
            damaged[int(where * len(damaged))] = value
        if cut is not None:
            del damaged[int(cut * len(damaged)) :]
        try:
            assert not acceptor.step(bytes(damaged)).done
        except LogonFailure:
            return


@pytest.fixture(scope="module")
def keytab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key of cifs/odxfs@REALM that no centre knows (MIT's keytab format, version 2)."""

    def counted(text: bytes) -> bytes:
        return struct.pack(">H", len(text)) + text

    names = b"".join(map(counted, (b"REALM", b"cifs", b"odxfs")))
    entry = struct.pack(">H", 2) + names + struct.pack(">IIBH", 1, 0, 1, 17) + counted(bytes(range(16)))
    path = tmp_path_factory.mktemp("keys") / "keytab"
    path.write_bytes(b"\x05\x02" + struct.pack(">i", len(entry)) + entry)
    return path


AP_REQUEST = (
    "6e5630 54a003020105a10302010ea20703050000000000a3353061 0330303030a003020105a1071b055245414c4d"
    "a2173015a003020101a10e300c1b04636966731b046f64786673a3073005a003020111a2"
)
"""As much of an AP-REQ (RFC 4120 5.5.1) as it takes to be looked into."""


@settings(max_examples=150, deadline=None)
@given(
    st.binary(max_size=100),
    st.lists(st.tuples(SHARE_OF_LENGTH, st.integers(0, 255)), max_size=3),
    st.booleans(),
)
def test_any_ticket_raises_logon_failure_and_nothing_else(
    users: UserStore, keytab: Path, rest: bytes, changes: list[tuple[float, int]], wrapped: bool
) -> None:
    ticket = bytearray(bytes.fromhex(AP_REQUEST) + rest)
    for where, value in changes:
        ticket[int(where * len(ticket))] = value
    body = b"\x01\x00" + bytes(ticket)
    inner = der.pack(der.OBJECT_IDENTIFIER, KERBEROS_OID) + body
    token = der.pack(der.APPLICATION_0, inner) if wrapped else bytes(ticket)
    with pytest.raises(LogonFailure, match="Kerberos"):
        Acceptor(users, keytab=keytab).step(token_init([KERBEROS_OID, NTLMSSP_OID], token))


def test_a_principal_that_is_not_utf_8_is_nobody_here(
    users: UserStore, keytab: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MIT's key distribution centre makes no such ticket; others may."""

    class Complete:
        initiator_name = gssapi.Name(b"al\xffce@REALM")
        target_name = gssapi.Name("cifs/odxfs@REALM")
        complete = True

        def step(self, token: bytes) -> bytes:
            return b""

    monkeypatch.setattr(KerberosAcceptor, "_begin", lambda _: Complete())
    with pytest.raises(LogonFailure, match="Kerberos"):
        Acceptor(users, keytab=keytab).step(token_init([KERBEROS_OID], b"ticket"))


def test_a_second_negotiate_message_is_refused(users: UserStore) -> None:
    acceptor = Acceptor(users)
    acceptor.step(token_init([NTLMSSP_OID], say(ntlm_client())))
    with pytest.raises(LogonFailure):
        acceptor.step(NegTokenResp(response_token=say(ntlm_client())).pack())


def test_the_offer_names_ntlmssp_alone() -> None:
    assert unpack_init(pack_init()).mechanisms == (NTLMSSP_OID,)


def test_md4_and_rc4_are_what_the_documents_say() -> None:
    """RFC 1320 appendix A.5; MS-NLMP 4.2.2.1.2 (the NT hash of "Password"); the RC4 vectors everybody quotes."""
    assert md4(b"").hex() == "31d6cfe0d16ae931b73c59d7e0c089c0"
    assert md4(b"message digest").hex() == "d9130a8164549fe818874806e1c7014b"
    assert md4(b"1234567890" * 8).hex() == "e33b4ddc9c38f2199c3e7b164fcc0536"
    assert nt_hash("Password").hex() == "a4f49c406510bdcab6824ee7c30fd852"
    assert Rc4(b"Key").apply(b"Plaintext").hex() == "bbf316e8d940af0ad3"


def test_mech_list_mic_is_what_windows_sent() -> None:
    """A recorded login of Windows 10 (the same that test_crypto_kdf derives keys from): both mechListMICs."""
    key = bytes.fromhex("270E1BA896585EEB7AF3472D3B4C75A7")
    flags = 0xE2888215
    listed = bytes.fromhex("300C060A2B06010401823702020A")
    security = NtlmSecurity(key, flags)
    assert security.verify(listed, bytes.fromhex("0100000063775A9A5FD97F0600000000"))
    assert security.sign(listed) == bytes.fromhex("010000003B453CDC3524164200000000")


def test_users_are_kept_across_stores_and_found_in_any_case(tmp_path: Path) -> None:
    first, second = UserStore(tmp_path), UserStore(tmp_path)
    assert second.find("alice") is None
    alice = first.add("Alice", "one", 1000, 100)
    assert second.find("ALICE") == alice
    first.set_password("alice", "two")
    changed = second.find("alice")
    assert changed is not None
    assert changed.nt_hash == nt_hash("two")
    assert (changed.name, changed.sid) == ("Alice", alice.sid)
    bob = second.add("bob", "three", 1001, 100)
    assert [user.name for user in first.list()] == ["Alice", "bob"]
    assert bob.sid.rpartition("-")[0] == alice.sid.rpartition("-")[0] == first.machine_sid
    first.delete("ALICE")
    assert second.find("alice") is None
    assert second.add("alice", "four", 1000, 100).sid not in (alice.sid, bob.sid)


def test_the_file_of_users_is_private_and_holds_no_password(tmp_path: Path) -> None:
    store = UserStore(tmp_path)
    user = store.add("alice", "open sesame", 1000, 100)
    path = tmp_path / "users.json"
    assert path.stat().st_mode & 0o777 == 0o600
    assert b"open sesame" not in path.read_bytes()
    assert user.nt_hash.hex() not in repr(user)
    assert [each.name for each in tmp_path.iterdir()] == ["users.json"]


@pytest.mark.parametrize("name", ["", "a/b", "a@b", " alice", "alice.", "x" * 65, "new\nline", "b\udcffd"])
def test_names_no_client_could_send_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError):
        UserStore(tmp_path).add(name, "secret", 1, 1)
    with pytest.raises(UserError):
        UserStore(tmp_path).add_group(name, 1)


async def test_a_user_who_comes_while_a_group_waits_to_be_added_keeps_his_name(tmp_path: Path) -> None:
    (tmp_path / "now").mkdir()
    (tmp_path / "soon").mkdir()
    UserStore(tmp_path / "soon").add("staff", "secret", 1, 1)
    refused: list[ExitCode] = []

    def add() -> None:
        try:
            UserStore(tmp_path / "now").add_group("staff", 100)
        except UserError as error:
            refused.append(error.exit_code)

    async with trio.open_nursery() as nursery:
        with locked_directory(tmp_path / "now"):
            nursery.start_soon(trio.to_thread.run_sync, add)
            await until(lambda: _somebody_waits_for(tmp_path / "now"))
            (tmp_path / "soon" / "users.json").rename(tmp_path / "now" / "users.json")
    assert refused == [ExitCode.EXISTS]
    assert UserStore(tmp_path / "now").groups.list() == []


def _somebody_waits_for(directory: Path) -> bool:
    """Whether the lock of a directory is waited for, as proc(5) says of all locks."""
    waiting = [line for line in Path("/proc/locks").read_text().splitlines() if "->" in line]
    return any(f":{directory.stat().st_ino} " in line for line in waiting)


def test_mistakes_are_told_by_exit_code(tmp_path: Path) -> None:
    store = UserStore(tmp_path)
    store.add("alice", "secret", 1, 1)
    for call, code in (
        (lambda: store.add("ALICE", "secret", 1, 1), ExitCode.EXISTS),
        (lambda: store.delete("bob"), ExitCode.NOT_FOUND),
        (lambda: store.set_password("bob", "secret"), ExitCode.NOT_FOUND),
        (lambda: store.set_password("alice", ""), ExitCode.USAGE),
    ):
        with pytest.raises(UserError) as caught:
            call()
        assert caught.value.exit_code == code


@pytest.mark.parametrize(
    "sid", ["S-1-5-32-544", "S-1-5-21-1-2-3", "S-1-5-21-1-2-3-99999999999", "alice", 7, None]
)
def test_a_user_whose_sid_is_none_is_damage(tmp_path: Path, sid: object) -> None:
    UserStore(tmp_path).add("alice", "secret", 1, 1)
    path = tmp_path / "users.json"
    content = json.loads(path.read_text())
    content["users"][0]["sid"] = sid
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match="is damaged") as caught:
        UserStore(tmp_path).list()
    assert caught.value.exit_code == ExitCode.CONFIG


def test_a_damaged_file_is_said_to_be_damaged_and_lets_nobody_in(tmp_path: Path) -> None:
    store = UserStore(tmp_path)
    store.add("alice", "secret", 1, 1)
    (tmp_path / "users.json").write_text("{}")
    with pytest.raises(UserError) as caught:
        store.list()
    assert caught.value.exit_code == ExitCode.CONFIG
    acceptor, client = Acceptor(store), ntlm_client()
    answer = say(client, acceptor.step(say(client)).token)
    with pytest.raises(LogonFailure):
        acceptor.step(answer)
