"""The 512 bytes: layout, and that nothing but what was issued is taken."""

import struct
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odxfs.errors import OffloadRefused, Refusal
from odxfs.offload.token import (
    TOKEN_BYTES,
    ZERO_TOKEN,
    TokenContent,
    TokenId,
    is_zero_token,
    label_of,
    new_life,
    new_token_id,
    seal,
    unseal,
)

KEY = bytes(range(32))
CONTENT = TokenContent(UUID(int=7), TokenId(b"0123456789abcdef"), 8 << 20, new_life())


def test_a_token_says_what_was_sealed() -> None:
    assert unseal(seal(CONTENT, KEY), KEY) == CONTENT


def test_the_header_is_big_endian_and_the_type_is_not_a_reserved_one() -> None:
    token = seal(CONTENT, KEY)
    kind, reserved, id_length = struct.unpack_from(">IHH", token)
    assert len(token) == TOKEN_BYTES
    assert 0 < kind < 0xFFFF0001
    assert (reserved, id_length) == (0, 504)


def test_the_zero_token_is_the_documented_one_and_known_by_its_type_alone() -> None:
    assert ZERO_TOKEN[:6] == bytes.fromhex("ffff00010000")
    assert len(ZERO_TOKEN) == TOKEN_BYTES
    assert is_zero_token(b"\xff\xff\x00\x01" + b"\xaa" * 508)
    assert not is_zero_token(seal(CONTENT, KEY))


@given(bit=st.integers(0, TOKEN_BYTES * 8 - 1))
def test_a_token_altered_in_any_bit_is_refused(bit: int) -> None:
    token = bytearray(seal(CONTENT, KEY))
    token[bit // 8] ^= 1 << bit % 8
    with pytest.raises(OffloadRefused) as refused:
        unseal(token, KEY)
    assert refused.value.reason in (Refusal.FORGED_TOKEN, Refusal.UNKNOWN_TOKEN)


@given(length=st.integers(0, TOKEN_BYTES - 1))
def test_a_truncated_token_is_refused(length: int) -> None:
    with pytest.raises(OffloadRefused) as refused:
        unseal(seal(CONTENT, KEY)[:length], KEY)
    assert refused.value.reason is Refusal.FORGED_TOKEN


def test_a_token_sealed_with_another_key_is_refused() -> None:
    with pytest.raises(OffloadRefused) as refused:
        unseal(seal(CONTENT, KEY), bytes(32))
    assert refused.value.reason is Refusal.FORGED_TOKEN


def test_a_label_finds_a_token_and_tells_of_those_that_have_none() -> None:
    assert label_of(seal(CONTENT, KEY)) == CONTENT.id.hex()[:12]
    assert label_of(ZERO_TOKEN) == "zero"
    assert label_of(bytes(512)) == label_of(b"") == ""


def test_token_ids_are_not_repeated() -> None:
    assert len({new_token_id() for _ in range(1000)}) == 1000
