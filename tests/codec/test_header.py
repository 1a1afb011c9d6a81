"""The SMB2 header in both forms."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odxfs.errors import ProtocolError
from odxfs.wire.header import HEADER_BYTES, Command, Header, HeaderFlags

u16, u32, u64 = (st.integers(0, 2**bits - 1) for bits in (16, 32, 64))


@given(
    st.builds(
        Header,
        command=u16,
        credit_charge=u16,
        status=u32,
        credits=u16,
        flags=u32.map(lambda flags: flags & ~HeaderFlags.ASYNC_COMMAND),
        next_command=u32,
        message_id=u64,
        async_id=st.just(0),
        tree_id=u32,
        session_id=u64,
        signature=st.binary(min_size=16, max_size=16),
    )
)
def test_a_sync_header_reads_back_the_same(header: Header) -> None:
    assert Header.unpack(header.pack()) == header


@given(u64)
def test_an_async_header_carries_its_id_instead_of_a_tree(async_id: int) -> None:
    header = Header(
        Command.READ, flags=HeaderFlags.ASYNC_COMMAND | HeaderFlags.SERVER_TO_REDIR, async_id=async_id
    )
    assert Header.unpack(header.pack()) == header


def test_the_places_of_the_fields() -> None:
    wire = Header(Command.WRITE, 2, 3, 4, 8, 5, 6, 0, 7, 9, bytes(range(16))).pack()
    assert wire.hex() == (
        "fe534d424000"  # protocol id, structure size
        "0200"
        "03000000"
        "0900"
        "0400"
        "08000000"
        "05000000"
        "0600000000000000"
        "00000000"
        "07000000"
        "0900000000000000"
        "000102030405060708090a0b0c0d0e0f"
    )


def test_an_unknown_command_is_left_to_the_dispatcher() -> None:
    assert Header.unpack(Header(0x7777).pack()).command == 0x7777


@given(st.binary(max_size=100))
def test_any_bytes_are_refused_or_a_header(data: bytes) -> None:
    try:
        Header.unpack(data)
    except ProtocolError:
        return
    assert len(data) >= HEADER_BYTES


@pytest.mark.parametrize(
    "wire", [b"", Header(0).pack()[:-1], b"\xfd" + Header(0).pack()[1:], b"\xfeSMB\x41" + bytes(60)]
)
def test_what_is_no_header(wire: bytes) -> None:
    with pytest.raises(ProtocolError):
        Header.unpack(wire)
