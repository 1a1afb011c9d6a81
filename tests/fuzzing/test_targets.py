"""Every target of the fuzzer, for a moment: its seeds, seeds that were damaged, and any bytes."""

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.fuzzing.targets import TARGETS, seeds

BRIEF = settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
BYTES = st.sampled_from((0, 1, 2, 4, 8, 0x7F, 0x80, 0xFE, 0xFF)) | st.integers(0, 255)


@st.composite
def damaged(draw: st.DrawFn, whole: bytes) -> bytes:
    """Some bytes changed, a part left out, said twice or cut off."""
    data = bytearray(whole)
    for _ in range(draw(st.integers(0, 4))):
        if data:
            data[draw(st.integers(0, len(data) - 1))] = draw(BYTES)
    first = draw(st.integers(0, len(data)))
    last = draw(st.integers(first, len(data)))
    match draw(st.integers(0, 4)):
        case 0:
            del data[first:last]
        case 1:
            data[first:first] = data[first:last]
        case 2:
            del data[first:]
        case _:
            pass
    return bytes(data)


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_and_damaged_seeds(name: str) -> None:
    known = seeds(name)
    assert known
    for seed in known:
        TARGETS[name](seed)

    @BRIEF
    @given(st.sampled_from(known).flatmap(damaged))
    def check(data: bytes) -> None:
        TARGETS[name](data)

    check()


@pytest.mark.parametrize("name", TARGETS)
def test_any_bytes(name: str) -> None:
    @BRIEF
    @example(b"")
    @given(st.binary(max_size=600))
    def check(data: bytes) -> None:
        TARGETS[name](data)

    check()
