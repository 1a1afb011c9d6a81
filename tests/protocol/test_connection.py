"""The two connection ends against each other, over every dialect, signing algorithm and cipher."""

import itertools

import pytest

from odxfs.errors import ProtocolError
from odxfs.ntstatus import Status
from odxfs.wire.client_connection import Call, ClientConnection
from odxfs.wire.header import Command, Header, HeaderFlags
from odxfs.wire.negotiate import Dialect, NegotiateResponse
from odxfs.wire.negotiate_contexts import Cipher, SigningAlgorithm
from odxfs.wire.negotiate_smb1 import Smb1NegotiateRequest
from odxfs.wire.server_connection import Reply, ServerConnection
from odxfs.wire.write import WriteRequest
from tests.protocol.pair import (
    ECHO,
    ECHO_BODY,
    SESSION_ID,
    Pair,
    client_offer,
    established,
    join,
    server_offer,
)

OLD = [
    (Dialect.SMB_2_1, Cipher.NONE, SigningAlgorithm.HMAC_SHA256),
    (Dialect.SMB_3_0, Cipher.AES_128_CCM, SigningAlgorithm.AES_CMAC),
    (Dialect.SMB_3_0_2, Cipher.AES_128_CCM, SigningAlgorithm.AES_CMAC),
]
NEW = [
    (Dialect.SMB_3_1_1, cipher, signing)
    for cipher, signing in itertools.product(list(Cipher), list(SigningAlgorithm))
]
COMBINATIONS = OLD + NEW
LARGE = bytes(range(256)) * 4096


def write_body(data: bytes) -> bytes:
    return WriteRequest(file_id=(1, 2), offset=0, data=data).pack_head()  # type: ignore[arg-type]


@pytest.mark.parametrize(("dialect", "cipher", "signing"), COMBINATIONS)
def test_login_settles_what_was_offered_and_signed_requests_pass(
    dialect: int, cipher: int, signing: int
) -> None:
    pair = established(client_offer(dialect, cipher, signing))
    assert pair.client.dialect == pair.server.dialect == dialect
    assert pair.client.cipher == pair.server.cipher == cipher
    assert pair.client.signing_algorithm == pair.server.signing_algorithm == signing
    response = pair.exchange(ECHO, ECHO_BODY)
    assert response.header.status == Status.SUCCESS
    assert response.header.flags & HeaderFlags.SIGNED
    assert bytes(response.pdu[64:]) == ECHO_BODY


@pytest.mark.parametrize(("dialect", "cipher", "signing"), [each for each in COMBINATIONS if each[1]])
def test_an_encrypting_session_carries_small_and_large_messages(
    dialect: int, cipher: int, signing: int
) -> None:
    pair = established(client_offer(dialect, cipher, signing), encrypt=True)
    for data in (b"small", LARGE):
        response = pair.exchange(Command.WRITE, write_body(data), data, credit_charge=16)
        assert response.encrypted
        assert bytes(response.pdu[-len(data) :]) == data


@pytest.mark.parametrize("signing", list(SigningAlgorithm))
def test_a_large_signed_write_arrives_and_its_answer_verifies(signing: SigningAlgorithm) -> None:
    pair = established(client_offer(signing=signing))
    response = pair.exchange(Command.WRITE, write_body(LARGE), LARGE, credit_charge=16)
    assert bytes(response.pdu[-len(LARGE) :]) == LARGE


@pytest.mark.parametrize("encrypt", [False, True])
def test_bytes_may_come_one_at_a_time(encrypt: bool) -> None:
    pair = established(encrypt=encrypt)
    _, first = pair.client.request(ECHO, ECHO_BODY, session_id=SESSION_ID)
    _, second = pair.client.request(ECHO, ECHO_BODY, session_id=SESSION_ID)
    seen = [chain for byte in join(first) + join(second) for chain in pair.server.receive(bytes((byte,)))]
    assert [chain.requests[0].refusal for chain in seen] == [None, None]
    assert bytes(seen[0].requests[0].pdu[64:]) == ECHO_BODY


def test_messages_that_are_held_are_not_overwritten_by_later_ones() -> None:
    pair = established(
        server=server_offer(signing_required=False), client=client_offer(signing_required=False)
    )
    held = []
    for number in range(40):
        data = bytes((number,)) * 50_000
        _, buffers = pair.client.request(Command.WRITE, write_body(data), data, session_id=SESSION_ID)
        (chain,) = pair.server.receive(join(buffers))
        held.append((number, chain.requests[0].pdu))
        pair.client.receive(join(pair.server.send(chain, [Reply(chain.requests[0], 0, b"")])))
    assert all(bytes(pdu[-50_000:]) == bytes((number,)) * 50_000 for number, pdu in held)


def test_compound_requests_are_signed_each_and_answered_in_one_frame() -> None:
    for encrypt in (False, True):
        pair = established(encrypt=encrypt)
        calls = [
            Call(Command.WRITE, write_body(b"odd"), b"odd", session_id=SESSION_ID, tree_id=3),
            Call(ECHO, ECHO_BODY, related=True),
            Call(ECHO, ECHO_BODY, related=True),
        ]
        ids, buffers = pair.client.compound(calls)
        chains, data = pair.echo_server(join(buffers))
        (chain,) = chains
        assert [request.refusal for request in chain.requests] == [None] * 3
        assert {request.header.session_id for request in chain.requests} == {SESSION_ID}
        assert chain.encrypted == encrypt
        responses = pair.client.receive(data)
        assert [response.header.message_id for response in responses] == ids
        assert [response.encrypted for response in responses] == [encrypt] * 3


def test_a_compound_that_begins_with_a_related_request_is_refused() -> None:
    pair = established()
    header = Header(ECHO, 1, credits=1, flags=HeaderFlags.RELATED, message_id=3, session_id=SESSION_ID)
    (chain,) = pair.server.receive(frame(sign(pair, header, ECHO_BODY)))
    assert chain.requests[0].refusal == Status.INVALID_PARAMETER


def test_an_interim_answer_is_followed_by_the_signed_real_one() -> None:
    pair = established()
    message_id, buffers = pair.client.request(ECHO, ECHO_BODY, session_id=SESSION_ID)
    before = pair.client.credits
    (chain,) = pair.server.receive(join(buffers))
    request = chain.requests[0]
    (interim,) = pair.client.receive(join(pair.server.interim(chain, request, 99)))
    assert interim.interim
    assert (interim.header.async_id, interim.header.status) == (99, Status.PENDING)
    assert not interim.header.flags & HeaderFlags.SIGNED
    assert pair.client.credits > before
    reply = Reply(request, Status.CANCELLED, b"\x09\0\0\0\0\0\0\0\0", async_id=99)
    (final,) = pair.client.receive(join(pair.server.send(chain, [reply])))
    assert (final.header.message_id, final.header.async_id, final.header.credits) == (message_id, 99, 0)
    assert final.header.flags & HeaderFlags.SIGNED


def test_cancel_takes_no_message_id_and_only_a_proven_one_is_handed_out() -> None:
    pair = established()
    message_id, buffers = pair.client.request(ECHO, ECHO_BODY, session_id=SESSION_ID)
    pair.server.receive(join(buffers))
    cancel = join(pair.client.cancel(message_id, SESSION_ID, 99))
    for _ in range(3):
        (chain,) = pair.server.receive(cancel)
        assert chain.requests[0].header.command == Command.CANCEL
    forged = bytearray(cancel)
    forged[4 + 50] ^= 1
    assert pair.server.receive(forged) == []


def test_a_multi_protocol_smb1_negotiate_leads_to_smb2() -> None:
    server = ServerConnection(server_offer())
    old = Smb1NegotiateRequest(("NT LM 0.12", "SMB 2.002", "SMB 2.???")).pack()
    (chain,) = server.receive(frame(old))
    assert "SMB 2.???" in chain.requests[0].smb1_dialects
    status, response = server.negotiate(chain.requests[0], b"token")
    assert status == Status.SUCCESS
    assert response is not None
    assert response.dialect_revision == Dialect.WILDCARD
    data = join(server.send(chain, [Reply(chain.requests[0], status, response.pack())]))
    assert NegotiateResponse.unpack(memoryview(data)[4:]).dialect_revision == Dialect.WILDCARD
    client = ClientConnection(client_offer())
    client.negotiate()
    client.account.available += 1  # what the SMB1 answer granted
    client.outstanding.clear()
    _, buffers = client.negotiate()
    (chain,) = server.receive(join(buffers))
    assert chain.requests[0].header.message_id == 1
    status, response = server.negotiate(chain.requests[0], b"token")
    assert response is not None
    assert response.dialect_revision == Dialect.SMB_3_1_1


@pytest.mark.parametrize("dialects", [("NT LM 0.12",), ("SMB 2.002",)])
def test_an_smb1_client_without_newer_dialects_is_cut_off(dialects: tuple[str, ...]) -> None:
    with pytest.raises(ProtocolError):
        ServerConnection(server_offer()).receive(frame(Smb1NegotiateRequest(dialects).pack()))


def test_a_client_of_2_0_2_alone_is_told_not_supported() -> None:
    pair = Pair(client_offer(Dialect.SMB_2_0_2), server_offer())
    assert pair.negotiate().header.status == Status.NOT_SUPPORTED
    assert pair.server.dialect == 0


def test_without_required_signing_requests_go_unsigned_and_tree_connect_signed() -> None:
    pair = established(client_offer(signing_required=False), server_offer(signing_required=False))
    assert not pair.exchange(ECHO, ECHO_BODY).header.flags & HeaderFlags.SIGNED
    assert pair.exchange(Command.TREE_CONNECT, ECHO_BODY).header.flags & HeaderFlags.SIGNED


def frame(message: bytes) -> bytes:
    return len(message).to_bytes(4, "big") + message


def sign(pair: Pair, header: Header, body: bytes) -> bytes:
    """A signed message of this client, whatever its header says."""
    header.flags |= HeaderFlags.SIGNED
    header.signature = bytes(16)
    message = header.pack() + body
    signer = pair.client.sessions[SESSION_ID].signer
    header.signature = signer.sign((message,), header.message_id, False, header.command == Command.CANCEL)
    return header.pack() + body
