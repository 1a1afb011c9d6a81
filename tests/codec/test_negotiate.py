"""NEGOTIATE: what an unauthenticated peer can send first, so the strictest bounds."""

from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odxfs.errors import ProtocolError
from odxfs.wire import negotiate_contexts as nc
from odxfs.wire.header import Command, Header
from odxfs.wire.negotiate import Dialect, NegotiateRequest
from odxfs.wire.negotiate_smb1 import Smb1NegotiateRequest, is_smb1

FRONT = Header(Command.NEGOTIATE).pack()
CONTEXTS = (
    nc.PreauthIntegrityCapabilities((nc.HashAlgorithm.SHA_512,), bytes(32)),
    nc.EncryptionCapabilities((nc.Cipher.AES_128_GCM, nc.Cipher.AES_128_CCM)),
    nc.NetnameNegotiateContextId("server"),
)
MODERN = NegotiateRequest(
    (Dialect.SMB_2_1, Dialect.SMB_3_1_1), client_guid=bytes(16), negotiate_contexts=CONTEXTS
)


def unpack(body: bytes) -> NegotiateRequest:
    return NegotiateRequest.unpack(memoryview(FRONT + body))


def test_contexts_are_found_by_class() -> None:
    contexts = unpack(MODERN.pack()).negotiate_contexts
    assert nc.find_context(contexts, nc.NetnameNegotiateContextId) == CONTEXTS[2]
    assert nc.find_context(contexts, nc.SigningCapabilities) is None


def test_contexts_are_not_looked_at_below_3_1_1() -> None:
    body = bytearray(MODERN.pack())
    body[38:40] = pack("<H", Dialect.SMB_3_0)
    assert unpack(bytes(body)).negotiate_contexts == ()


@pytest.mark.parametrize(
    ("where", "value"),
    [
        (slice(2, 4), pack("<H", 0)),  # no dialect
        (slice(2, 4), pack("<H", 0xFFFF)),  # more dialects than there are bytes
        (slice(28, 32), pack("<I", 8)),  # contexts inside the header
        (slice(28, 32), pack("<I", 107)),  # contexts not aligned
        (slice(28, 32), pack("<I", 0xFFFFFFF8)),  # contexts past the end
        (slice(32, 34), pack("<H", 0xFFFF)),  # far too many contexts
        (slice(32, 34), pack("<H", 4)),  # one context more than there is
    ],
)
def test_lies_about_counts_and_offsets_are_refused(where: slice, value: bytes) -> None:
    body = bytearray(MODERN.pack())
    body[where] = value
    with pytest.raises(ProtocolError):
        unpack(bytes(body))


@pytest.mark.parametrize("data", [b"\0\0", b"\x02\0\x01\0", b"\x01"])
def test_an_empty_or_short_list_of_ciphers_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        nc.EncryptionCapabilities.unpack(data)


def test_an_unknown_context_is_kept_and_does_no_harm() -> None:
    unknown = nc.UnknownContext(0x0100, b"posix")
    request = NegotiateRequest((Dialect.SMB_3_1_1,), negotiate_contexts=(*CONTEXTS, unknown))
    assert unpack(request.pack()).negotiate_contexts[-1] == unknown


def test_the_multi_protocol_negotiate_of_old_clients() -> None:
    request = Smb1NegotiateRequest(("NT LM 0.12", "SMB 2.002", "SMB 2.???"))
    wire = request.pack()
    assert is_smb1(wire)
    assert Smb1NegotiateRequest.unpack(wire) == request
    assert request.offers_2_0_2
    assert request.offers_wildcard
    assert not Smb1NegotiateRequest(("NT LM 0.12",)).offers_wildcard


@given(st.binary(max_size=80))
def test_any_smb1_bytes_are_refused_or_a_list(tail: bytes) -> None:
    whole = Smb1NegotiateRequest(("SMB 2.002",)).pack()
    for data in (tail, whole[:4] + tail, whole[:32] + tail, whole[:35] + tail):
        try:
            Smb1NegotiateRequest.unpack(data)
        except ProtocolError:
            continue


def test_other_smb1_commands_are_refused() -> None:
    wire = bytearray(Smb1NegotiateRequest(("SMB 2.???",)).pack())
    wire[4] = 0x73
    with pytest.raises(ProtocolError):
        Smb1NegotiateRequest.unpack(bytes(wire))
