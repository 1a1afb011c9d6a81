"""What is packed reads back the same, for every message and structure; what is cut or altered never crashes a parser."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from odxfs.errors import ProtocolError
from odxfs.wire.header import HEADER_BYTES, Command, Header
from tests.codec.strategies import CHAINS, MESSAGES, STRUCTURES, parser_classes

FRONT = Header(Command.ECHO).pack()
QUICK = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
FUZZ = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


def unpack(kind: Any, data: bytes) -> Any:
    """The value of a body or structure, as its consumer would get it."""
    if kind in MESSAGES:
        return kind.unpack(memoryview(FRONT + data))
    return kind.unpack(memoryview(data))


def unpack_or_refuse(parse: Any, *arguments: Any) -> Any:
    try:
        return parse(*arguments)
    except ProtocolError:
        return None


ALL = {**MESSAGES, **STRUCTURES}
by_name = pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)


def test_every_parser_has_a_strategy() -> None:
    assert set(parser_classes()) == set(ALL)


@by_name
def test_packed_reads_back_the_same(kind: Any) -> None:
    @QUICK
    @given(ALL[kind])
    def check(value: Any) -> None:
        assert unpack(kind, value.pack()) == value

    check()


@by_name
def test_a_cut_at_any_length_is_refused_or_still_a_value(kind: Any) -> None:
    @settings(QUICK, max_examples=5)
    @given(ALL[kind])
    def check(value: Any) -> None:
        whole = value.pack()
        for length in range(len(whole)):
            unpack_or_refuse(unpack, kind, whole[:length])

    check()


@by_name
def test_any_bytes_are_refused_or_a_value(kind: Any) -> None:
    @FUZZ
    @given(st.data())
    def check(data: st.DataObject) -> None:
        unpack_or_refuse(unpack, kind, data.draw(st.binary(max_size=200)))
        whole = bytearray(data.draw(ALL[kind]).pack())
        for _ in range(data.draw(st.integers(1, 4))):
            if whole:
                whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(
                    st.sampled_from([0, 1, 8, 0x7F, 0xFF])
                )
        unpack_or_refuse(unpack, kind, bytes(whole))

    check()


@pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: kind.__name__)
def test_a_message_without_its_body_is_refused(kind: Any) -> None:
    for length in range(HEADER_BYTES + 2):
        with pytest.raises(ProtocolError):
            kind.unpack(memoryview(FRONT + b"\xff\xff")[:length])


@pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: kind.__name__)
def test_a_wrong_structure_size_is_refused(kind: Any) -> None:
    @settings(QUICK, max_examples=3)
    @given(MESSAGES[kind])
    def check(value: Any) -> None:
        body = value.pack()
        with pytest.raises(ProtocolError):
            unpack(kind, bytes((body[0] ^ 1,)) + body[1:])

    check()


@pytest.mark.parametrize("name", CHAINS)
def test_a_chain_reads_back_the_same(name: str) -> None:
    pack, parse, values = CHAINS[name]

    @QUICK
    @given(values)
    def check(value: Any) -> None:
        assert parse(pack(value)) == value

    check()


@pytest.mark.parametrize("name", CHAINS)
def test_a_chain_of_any_bytes_is_refused_or_a_value(name: str) -> None:
    pack, parse, values = CHAINS[name]

    @FUZZ
    @given(st.data())
    def check(data: st.DataObject) -> None:
        unpack_or_refuse(parse, data.draw(st.binary(max_size=200)))
        whole = bytearray(pack(data.draw(values)))
        if whole:
            whole[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
        for length in (len(whole), len(whole) // 2, max(0, len(whole) - 1)):
            unpack_or_refuse(parse, bytes(whole[:length]))

    check()
