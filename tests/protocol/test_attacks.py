"""What a hostile client or network can send, and the documented reaction to it."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from odxfs.errors import ProtocolError
from odxfs.ntstatus import Status
from odxfs.wire.client_connection import Call
from odxfs.wire.compound import MAX_COMPOUND_REQUESTS
from odxfs.wire.credits import MAX_CREDITS, MAX_SPAN, SequenceWindow
from odxfs.wire.framing import LOGIN_FRAME_BYTES, SESSION_FRAME_BYTES
from odxfs.wire.header import Command, Header, HeaderFlags
from odxfs.wire.negotiate import Dialect, NegotiateRequest
from odxfs.wire.negotiate_contexts import (
    Cipher,
    EncryptionCapabilities,
    PreauthIntegrityCapabilities,
    SigningAlgorithm,
)
from odxfs.wire.server_connection import Reply, ServerConnection
from odxfs.wire.session_setup import SessionSetupRequest
from tests.protocol.pair import (
    ECHO,
    ECHO_BODY,
    SESSION_ID,
    SESSION_KEY,
    Pair,
    client_offer,
    established,
    join,
    server_offer,
)

READ_OF_1_MIB = bytes.fromhex("3100500000001000") + bytes(41)


def frame(message: bytes) -> bytes:
    return len(message).to_bytes(4, "big") + message


def plain(pair: Pair, command: int, body: bytes, **fields: int) -> bytes:
    """An unsigned request that takes the client's next message id."""
    message_id = pair.client.account.spend([fields.get("credit_charge", 1)])[0]
    header = Header(command, 1, credits=1, session_id=SESSION_ID, message_id=message_id)
    for name, value in fields.items():
        setattr(header, name, value)
    return frame(header.pack() + body)


def one_refusal(pair: Pair, data: bytes) -> Status | None:
    (chain,) = pair.server.receive(data)
    (request,) = chain.requests
    return request.refusal


# -- frames --


@pytest.mark.parametrize("size", [0, LOGIN_FRAME_BYTES + 1, 0xFFFFFF, 0x81000000])
def test_before_a_login_a_frame_past_64_kib_is_never_buffered(size: int) -> None:
    with pytest.raises(ProtocolError):
        ServerConnection(server_offer()).receive(size.to_bytes(4, "big"))


def test_after_a_login_the_bound_is_that_of_the_largest_write() -> None:
    pair = established()
    assert pair.server.receive(SESSION_FRAME_BYTES.to_bytes(4, "big")) == []
    with pytest.raises(ProtocolError):
        established().server.receive((SESSION_FRAME_BYTES + 1).to_bytes(4, "big"))


@pytest.mark.parametrize(
    "message", [b"\xfeSMB", b"\xfcSMB" + bytes(64), b"GET / HTTP/1.1\r\n\r\n", b"\xffSMB" + bytes(40)]
)
def test_what_is_no_smb2_closes_the_connection(message: bytes) -> None:
    with pytest.raises(ProtocolError):
        ServerConnection(server_offer()).receive(frame(message))


# -- state --


def test_nothing_but_negotiate_comes_first_and_it_comes_once() -> None:
    with pytest.raises(ProtocolError):
        ServerConnection(server_offer()).receive(frame(Header(ECHO, 1).pack() + ECHO_BODY))
    pair = established()
    with pytest.raises(ProtocolError):
        pair.server.receive(plain(pair, Command.NEGOTIATE, NegotiateRequest((0x0311,)).pack(), session_id=0))


def test_a_response_sent_to_the_server_closes_the_connection() -> None:
    pair = established()
    with pytest.raises(ProtocolError):
        pair.server.receive(plain(pair, ECHO, ECHO_BODY, flags=HeaderFlags.SERVER_TO_REDIR))


@pytest.mark.parametrize("command", [Command.TREE_CONNECT, Command.CREATE, Command.READ, Command.LOGOFF])
def test_before_a_login_every_command_is_refused(command: int) -> None:
    pair = Pair(client_offer(), server_offer())
    pair.negotiate()
    assert one_refusal(pair, plain(pair, command, ECHO_BODY)) == Status.USER_SESSION_DELETED


def test_after_a_failed_login_every_command_is_refused() -> None:
    pair = Pair(client_offer(), server_offer())
    pair.negotiate()
    _, buffers = pair.client.session_setup(SessionSetupRequest(b"one").pack())
    (chain,) = pair.server.receive(join(buffers))
    reply = Reply(chain.requests[0], Status.LOGON_FAILURE, b"", session_id=SESSION_ID)
    pair.server.forget_session(SESSION_ID)
    pair.client.receive(join(pair.server.send(chain, [reply])))
    assert one_refusal(pair, plain(pair, Command.TREE_CONNECT, ECHO_BODY)) == Status.USER_SESSION_DELETED


def test_a_session_that_logged_off_is_gone_but_its_logoff_is_answered_signed() -> None:
    pair = established()
    _, buffers = pair.client.request(Command.LOGOFF, ECHO_BODY, session_id=SESSION_ID)
    (chain,) = pair.server.receive(join(buffers))
    pair.server.forget_session(SESSION_ID)
    (response,) = pair.client.receive(join(pair.server.send(chain, [Reply(chain.requests[0], 0, ECHO_BODY)])))
    assert response.header.flags & HeaderFlags.SIGNED
    _, buffers = pair.client.request(ECHO, ECHO_BODY, session_id=SESSION_ID)
    assert one_refusal(pair, join(buffers)) == Status.USER_SESSION_DELETED


# -- signatures --


def test_an_unsigned_request_where_signing_is_required_is_refused() -> None:
    pair = established()
    assert one_refusal(pair, plain(pair, ECHO, ECHO_BODY)) == Status.ACCESS_DENIED


@pytest.mark.parametrize("signing", list(SigningAlgorithm))
@pytest.mark.parametrize("position", [4 + 14, 4 + 36, 4 + 48, 4 + 63, 4 + 64])
def test_a_request_that_was_changed_on_the_way_is_refused(signing: SigningAlgorithm, position: int) -> None:
    """A byte of CreditRequest, TreeId, Signature or the body."""
    pair = established(client_offer(signing=signing))
    _, buffers = pair.client.request(ECHO, ECHO_BODY, session_id=SESSION_ID)
    data = bytearray(join(buffers))
    data[position] ^= 1
    assert one_refusal(pair, bytes(data)) == Status.ACCESS_DENIED


def test_each_request_of_a_compound_needs_its_own_signature() -> None:
    pair = established()
    calls = [Call(ECHO, ECHO_BODY, session_id=SESSION_ID), Call(ECHO, ECHO_BODY, related=True)]
    _, buffers = pair.client.compound(calls)
    data = bytearray(join(buffers))
    data[-1] ^= 1
    (chain,) = pair.server.receive(data)
    assert [request.refusal for request in chain.requests] == [None, Status.ACCESS_DENIED]


@pytest.mark.parametrize("signing", list(SigningAlgorithm))
def test_the_client_takes_no_response_that_was_changed_or_is_unsigned(signing: SigningAlgorithm) -> None:
    for tamper in (lambda data: data[-1] ^ 1, None):
        pair = established(client_offer(signing=signing))
        _, buffers = pair.client.request(ECHO, ECHO_BODY, session_id=SESSION_ID)
        _, answer = pair.echo_server(join(buffers))
        data = bytearray(answer)
        if tamper is not None:
            data[-1] = tamper(data)
        else:
            data[4 + 16] &= ~HeaderFlags.SIGNED
        with pytest.raises(ProtocolError):
            pair.client.receive(data)


def test_a_response_cannot_escape_verification_by_naming_another_session() -> None:
    for session_id in (0, SESSION_ID + 1):
        pair = established()
        message_id, _ = pair.client.request(ECHO, ECHO_BODY, session_id=SESSION_ID)
        header = Header(ECHO, flags=HeaderFlags.SERVER_TO_REDIR, message_id=message_id, session_id=session_id)
        with pytest.raises(ProtocolError, match="unsigned"):
            pair.client.receive(frame(header.pack() + ECHO_BODY))


def test_another_session_key_ends_the_login_at_the_client() -> None:
    pair = Pair(client_offer(), server_offer())
    pair.negotiate()
    with pytest.raises(ProtocolError, match="does not verify"):
        pair.log_in_with_keys(SESSION_KEY, bytes(16))


def test_a_session_key_that_is_too_short_to_be_secret_ends_the_login_at_the_client() -> None:
    for key in (b"", bytes(15)):
        pair = Pair(client_offer(), server_offer())
        pair.negotiate()
        with pytest.raises(ProtocolError, match="anybody could guess"):
            pair.log_in_with_keys(key, key)


@pytest.mark.parametrize("field", ["max_transact_size", "max_read_size", "max_write_size"])
@pytest.mark.parametrize("size", [0, 65535])
def test_a_server_that_moves_less_than_64_kib_is_left(field: str, size: int) -> None:
    pair = Pair(client_offer(), server_offer())
    _, buffers = pair.client.negotiate()
    (chain,) = pair.server.receive(join(buffers))
    status, response = pair.server.negotiate(chain.requests[0], b"token")
    assert response is not None
    body = replace(response, **{field: size}).pack()  # type: ignore[arg-type]
    with pytest.raises(ProtocolError, match=f"no more than {size} bytes"):
        pair.client.receive(join(pair.server.send(chain, [Reply(chain.requests[0], status, body)])))


def test_a_negotiate_that_was_changed_on_the_way_ends_the_login_at_the_client() -> None:
    """Preauthentication integrity: an attacker strikes encryption from the client's offer."""
    pair = Pair(client_offer(), server_offer())
    _, buffers = pair.client.negotiate()
    data = bytearray(join(buffers))
    data[4 + 64 + 8] ^= 0x40
    (chain,) = pair.server.receive(data)
    status, response = pair.server.negotiate(chain.requests[0], b"token")
    assert response is not None
    pair.client.receive(join(pair.server.send(chain, [Reply(chain.requests[0], status, response.pack())])))
    with pytest.raises(ProtocolError, match="does not verify"):
        pair.log_in()


# -- encryption --


def test_a_plain_request_in_an_encrypting_session_is_refused_and_the_answer_is_encrypted() -> None:
    pair = established(encrypt=True)
    (chain,) = pair.server.receive(plain(pair, ECHO, ECHO_BODY))
    request = chain.requests[0]
    assert request.refusal == Status.ACCESS_DENIED
    assert join(pair.server.send(chain, [Reply(request, request.refusal, b"")]))[4:8] == b"\xfdSMB"


def test_a_signature_does_not_stand_for_encryption() -> None:
    pair = established(encrypt=True)
    message_id = pair.client.account.next_message_id
    header = Header(ECHO, 1, flags=HeaderFlags.SIGNED, message_id=message_id, session_id=SESSION_ID)
    signer = pair.client.sessions[SESSION_ID].signer
    header.signature = signer.sign((header.pack() + ECHO_BODY,), message_id, False, False)
    assert one_refusal(pair, frame(header.pack() + ECHO_BODY)) == Status.ACCESS_DENIED


def test_a_plain_answer_in_an_encrypting_session_is_not_taken() -> None:
    pair = established(encrypt=True)
    message_id, _ = pair.client.request(ECHO, ECHO_BODY, session_id=SESSION_ID)
    header = Header(ECHO, flags=HeaderFlags.SERVER_TO_REDIR, message_id=message_id, session_id=SESSION_ID)
    with pytest.raises(ProtocolError):
        pair.client.receive(frame(header.pack() + ECHO_BODY))


@pytest.mark.parametrize("cipher", [each for each in Cipher if each])
@pytest.mark.parametrize("position", [4 + 4, 4 + 20, 4 + 36, 4 + 42, 4 + 44, 4 + 52, -1])
@pytest.mark.parametrize("size", [4, 100_000])
def test_an_encrypted_message_that_was_changed_closes_the_connection(
    cipher: Cipher, position: int, size: int
) -> None:
    """A byte of the tag, the nonce, OriginalMessageSize, Flags, SessionId, the first and the last of the ciphertext."""
    pair = established(client_offer(cipher=cipher), encrypt=True)
    _, buffers = pair.client.request(Command.WRITE, bytes(size), session_id=SESSION_ID, credit_charge=2)
    data = bytearray(join(buffers))
    data[position] ^= 1
    with pytest.raises(ProtocolError):
        pair.server.receive(data)


def test_an_encrypted_message_that_is_sent_again_closes_the_connection() -> None:
    pair = established(encrypt=True)
    _, buffers = pair.client.request(ECHO, ECHO_BODY, session_id=SESSION_ID)
    assert one_refusal(pair, join(buffers)) is None
    with pytest.raises(ProtocolError):
        pair.server.receive(join(buffers))


def test_encryption_inside_encryption_or_for_another_session_closes_the_connection() -> None:
    for nested in (True, False):
        pair = established(encrypt=True)
        header = Header(ECHO, 1, message_id=pair.client.account.next_message_id, session_id=SESSION_ID + 1)
        inner = b"\xfdSMB" + bytes(120) if nested else header.pack() + ECHO_BODY
        sealer = pair.client.sessions[SESSION_ID].sealer
        assert sealer is not None
        with pytest.raises(ProtocolError):
            pair.server.receive(frame(join(sealer.seal([inner], SESSION_ID))))


def test_encryption_before_a_login_or_without_a_cipher_closes_the_connection() -> None:
    pair = Pair(client_offer(), server_offer())
    pair.negotiate()
    sealed = established(encrypt=True)
    _, buffers = sealed.client.request(ECHO, ECHO_BODY, session_id=SESSION_ID)
    for server in (pair.server, established(client_offer(cipher=0)).server):
        with pytest.raises(ProtocolError):
            server.receive(join(buffers))


def test_no_nonce_is_used_twice_by_either_end() -> None:
    pair = established(encrypt=True)
    seen: list[bytes] = []
    for _ in range(50):
        _, buffers = pair.client.request(ECHO, ECHO_BODY, session_id=SESSION_ID)
        data = join(buffers)
        _, answer = pair.echo_server(data)
        pair.client.receive(answer)
        seen += [b"client" + data[24:36], b"server" + answer[24:36]]
    assert len(set(seen)) == len(seen)


# -- message ids and credits --


def test_a_message_id_is_good_once_and_only_when_it_was_granted() -> None:
    for message_id in (0, 2, 10_000, 2**64 - 1):
        pair = established()
        with pytest.raises(ProtocolError):
            pair.server.receive(plain(pair, ECHO, ECHO_BODY, message_id=message_id))


def test_ids_may_be_used_in_any_order_within_the_window() -> None:
    pair = established()
    first = pair.client.account.next_message_id
    order = [first + offset for offset in (5, 0, 3, 1, 4, 2, 6)]
    for message_id in order:
        pair.server.receive(plain(pair, ECHO, ECHO_BODY, message_id=message_id))
    for message_id in order:
        with pytest.raises(ProtocolError):
            pair.server.receive(plain(pair, ECHO, ECHO_BODY, message_id=message_id))


def test_an_id_that_was_used_out_of_order_is_not_good_again() -> None:
    pair = established()
    later = pair.client.account.next_message_id + 5
    pair.server.receive(plain(pair, ECHO, ECHO_BODY, message_id=later))
    with pytest.raises(ProtocolError):
        pair.server.receive(plain(pair, ECHO, ECHO_BODY, message_id=later))


def test_a_client_that_never_uses_its_lowest_id_costs_bounded_memory() -> None:
    window, unused = SequenceWindow(), 1
    for _ in range(4 * MAX_SPAN // MAX_CREDITS):
        granted = window.grant(MAX_CREDITS)
        if granted:
            window.take(unused, granted)
            unused += granted
    assert unused <= MAX_SPAN
    window.take(0, 1)
    assert window.grant(MAX_CREDITS) == MAX_CREDITS, "it may go on"


def test_a_charge_uses_up_as_many_ids() -> None:
    pair = established()
    first = pair.client.account.next_message_id
    pair.server.receive(plain(pair, ECHO, ECHO_BODY, credit_charge=16))
    with pytest.raises(ProtocolError):
        pair.server.receive(plain(pair, ECHO, ECHO_BODY, message_id=first + 15))


def test_a_charge_below_the_payload_is_refused() -> None:
    pair = established(client_offer(signing_required=False), server_offer(signing_required=False))
    assert (
        one_refusal(pair, plain(pair, Command.READ, READ_OF_1_MIB, credit_charge=15))
        == Status.INVALID_PARAMETER
    )
    assert one_refusal(pair, plain(pair, Command.READ, READ_OF_1_MIB, credit_charge=16)) is None


def test_credits_are_scarce_before_a_login_and_bounded_after_it() -> None:
    pair = Pair(client_offer(), server_offer())
    assert pair.negotiate().header.credits == 1
    assert pair.log_in().header.credits > 1
    total = pair.client.credits
    for _ in range(40):
        (chain,) = pair.server.receive(plain(pair, ECHO, ECHO_BODY, credits=4000))
        total += (
            Header.unpack(join(pair.server.send(chain, [Reply(chain.requests[0], 0, ECHO_BODY)]))[4:]).credits
            - 1
        )
    assert total == MAX_CREDITS


def test_a_client_that_asks_for_nothing_is_never_left_without_a_credit() -> None:
    pair = established(client_offer(signing_required=False), server_offer(signing_required=False))
    while pair.client.credits > 1:
        pair.server.receive(plain(pair, ECHO, ECHO_BODY))
    (chain,) = pair.server.receive(plain(pair, ECHO, ECHO_BODY, credits=0))
    answer = join(pair.server.send(chain, [Reply(chain.requests[0], 0, ECHO_BODY)]))
    assert Header.unpack(answer[4:]).credits == 1


# -- compounds --


@pytest.mark.parametrize("next_command", [1, 60, 63, 68, 72, 2**31, 2**32 - 8])
def test_a_compound_that_leads_nowhere_closes_the_connection(next_command: int) -> None:
    pair = established()
    with pytest.raises(ProtocolError):
        pair.server.receive(plain(pair, ECHO, ECHO_BODY, next_command=next_command))


@pytest.mark.parametrize("step", [48, 68])
def test_the_next_request_of_a_compound_is_behind_this_one_and_aligned(step: int) -> None:
    """Where a header would begin: inside the one before it, or four bytes off."""
    pair = established(client_offer(signing_required=False), server_offer(signing_required=False))
    first = pair.client.account.next_message_id
    head = Header(ECHO, 1, next_command=step, message_id=first, session_id=SESSION_ID).pack() + ECHO_BODY
    second = Header(ECHO, 1, message_id=first + 1, session_id=SESSION_ID).pack() + ECHO_BODY
    with pytest.raises(ProtocolError):
        pair.server.receive(frame(head[:step] + second))


def test_a_compound_without_end_closes_the_connection() -> None:
    pair = established()
    first = pair.client.account.next_message_id
    parts = [
        Header(ECHO, 1, next_command=72, message_id=first + number, session_id=SESSION_ID).pack() + bytes(8)
        for number in range(MAX_COMPOUND_REQUESTS)
    ]
    parts.append(Header(ECHO, 1, message_id=first + len(parts), session_id=SESSION_ID).pack() + bytes(8))
    with pytest.raises(ProtocolError):
        pair.server.receive(frame(b"".join(parts)))


def test_related_requests_without_one_to_be_related_to_are_refused_and_unrelated_ones_go_on() -> None:
    pair = established(client_offer(signing_required=False), server_offer(signing_required=False))
    first = pair.client.account.next_message_id
    related = HeaderFlags.RELATED
    wanted = [
        (related, SESSION_ID, Status.INVALID_PARAMETER),
        (related, 5, Status.INVALID_PARAMETER),
        (0, SESSION_ID, None),
        (related, 5, None),
        (0, 5, Status.USER_SESSION_DELETED),
        (related, SESSION_ID, Status.INVALID_PARAMETER),
    ]
    parts = []
    for number, (flags, session_id, _) in enumerate(wanted):
        last = number == len(wanted) - 1
        header = Header(ECHO, 1, flags=flags, message_id=first + number, session_id=session_id)
        header.next_command = 0 if last else 72
        parts.append(header.pack() + ECHO_BODY + bytes(4))
    (chain,) = pair.server.receive(frame(b"".join(parts)))
    assert [request.refusal for request in chain.requests] == [status for _, _, status in wanted]


# -- negotiate --


@pytest.mark.parametrize(
    ("contexts", "status"),
    [
        ((), Status.INVALID_PARAMETER),
        ((PreauthIntegrityCapabilities((1,)), PreauthIntegrityCapabilities((1,))), Status.INVALID_PARAMETER),
        ((PreauthIntegrityCapabilities((99,)),), Status.SMB_NO_PREAUTH_INTEGRITY_HASH_OVERLAP),
    ],
)
def test_senseless_contexts_are_answered_by_name(
    contexts: tuple[PreauthIntegrityCapabilities, ...], status: Status
) -> None:
    server = ServerConnection(server_offer())
    body = NegotiateRequest((Dialect.SMB_3_1_1,), negotiate_contexts=contexts).pack()
    (chain,) = server.receive(frame(Header(Command.NEGOTIATE).pack() + body))
    assert server.negotiate(chain.requests[0], b"") == (status, None)


def test_an_unknown_cipher_leaves_the_connection_without_encryption() -> None:
    server = ServerConnection(server_offer())
    contexts = (PreauthIntegrityCapabilities((1,)), EncryptionCapabilities((77,)))
    body = NegotiateRequest((Dialect.SMB_3_1_1,), negotiate_contexts=contexts).pack()
    (chain,) = server.receive(frame(Header(Command.NEGOTIATE).pack() + body))
    status, response = server.negotiate(chain.requests[0], b"")
    assert status == Status.SUCCESS
    assert response is not None
    assert EncryptionCapabilities((Cipher.NONE,)) in response.negotiate_contexts
    assert server.cipher == Cipher.NONE


def test_the_client_takes_no_choice_that_it_did_not_offer() -> None:
    pair = Pair(client_offer(Dialect.SMB_3_0), server_offer())
    _, buffers = pair.client.negotiate()
    (chain,) = pair.server.receive(join(buffers))
    status, response = pair.server.negotiate(chain.requests[0], b"")
    assert response is not None
    body = bytearray(response.pack())
    body[4:6] = Dialect.SMB_2_1.to_bytes(2, "little")
    with pytest.raises(ProtocolError):
        pair.client.receive(join(pair.server.send(chain, [Reply(chain.requests[0], status, bytes(body))])))


# -- anything --


@settings(max_examples=400, deadline=None)
@given(st.lists(st.binary(max_size=400), max_size=4), st.booleans())
def test_any_frames_raise_protocol_error_and_nothing_else(messages: list[bytes], logged_in: bool) -> None:
    server = established().server if logged_in else ServerConnection(server_offer())
    prefixes = (b"\xfeSMB\x40\x00", b"\xfdSMB", b"\xffSMB\x72", b"")
    for number, message in enumerate(messages):
        try:
            server.receive(frame(prefixes[number % 4] + message) if message else b"\x00")
        except ProtocolError:
            return


# Keys and salts are random, so a change names its byte by its share of the length, which is drawn before anything is sent.
CHANGES = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=3)


def damage(data: bytearray, changes: list[tuple[float, int]], first: int = 0) -> None:
    for where, value in changes:
        if len(data) > first:
            data[first + int(where * (len(data) - first))] = value


@settings(max_examples=400, deadline=None)
@given(st.booleans(), CHANGES, CHANGES)
def test_damaged_conversations_raise_protocol_error_and_nothing_else(
    encrypt: bool, to_server: list[tuple[float, int]], to_client: list[tuple[float, int]]
) -> None:
    """Real requests, plain and encrypted, with a few bytes changed, through both ends."""
    pair = established(encrypt=encrypt)
    _, buffers = pair.client.request(ECHO, ECHO_BODY, session_id=SESSION_ID)
    sent = bytearray(join(buffers))
    damage(sent, to_server, first=4)
    try:
        _, answer = pair.echo_server(sent)
        damaged = bytearray(answer)
        damage(damaged, to_client)
        pair.client.receive(damaged)
    except ProtocolError:
        return


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_any_negotiate_body_raises_protocol_error_or_is_answered(body: bytes) -> None:
    server = ServerConnection(server_offer())
    (chain,) = server.receive(frame(Header(Command.NEGOTIATE).pack() + b"\x24\x00\x01\x00" + body))
    try:
        status, _ = server.negotiate(chain.requests[0], b"token")
    except ProtocolError:
        return
    assert isinstance(status, Status)
