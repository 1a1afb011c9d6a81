"""Leaves against the plainest model: a list of places and checksums."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from odxfs.errors import Corrupt
from odxfs.types import BLOCKS_PER_LEAF, LeafId
from odxfs.volume.leaf import KIND_DENSE, KIND_RUNS, Leaf, Piece

changes = st.lists(
    st.tuples(st.booleans(), st.integers(0, BLOCKS_PER_LEAF - 1), st.sampled_from([1, 1, 2, 7, 40, 700])),
    max_size=40,
)


class Model:
    """Slot by slot; places are handed out ascending, so adjacent writes sometimes join."""

    def __init__(self) -> None:
        self.places = [0] * BLOCKS_PER_LEAF
        self.crcs = [0] * BLOCKS_PER_LEAF
        self.next_place = 1

    def pieces(self, first: int, count: int) -> list[Piece]:
        found: list[Piece] = []
        for slot in range(first, first + count):
            place = self.places[slot]
            if not place:
                continue
            if found and found[-1][0] + found[-1][1] == slot and found[-1][2] + found[-1][1] == place:
                found[-1] = (found[-1][0], found[-1][1] + 1, found[-1][2])
            else:
                found.append((slot, 1, place))
        return found


def apply(leaf: Leaf, model: Model, is_map: bool, first: int, count: int) -> None:
    count = min(count, BLOCKS_PER_LEAF - first)
    before = sorted(place for place in model.places[first : first + count] if place)
    if is_map:
        place, model.next_place = model.next_place, model.next_place + count
        crcs = [(place + index) * 7 & 0xFFFFFFFF for index in range(count)]
        replaced = leaf.map(first, count, place, crcs)
        model.places[first : first + count] = range(place, place + count)
        model.crcs[first : first + count] = crcs
    else:
        replaced = leaf.unmap(first, count)
        model.places[first : first + count] = [0] * count
    assert sorted(place + index for place, length in replaced for index in range(length)) == before


def assert_equal(leaf: Leaf, model: Model) -> None:
    assert [leaf.place_of(slot) for slot in range(BLOCKS_PER_LEAF)] == model.places
    assert leaf.allocated == sum(place != 0 for place in model.places)
    assert leaf.pieces(0, BLOCKS_PER_LEAF) == model.pieces(0, BLOCKS_PER_LEAF)
    assert leaf.pieces(100, 300) == model.pieces(100, 300)
    assert leaf.pieces(2040, 8) == model.pieces(2040, 8)
    for slot, place in enumerate(model.places):
        if place:
            assert leaf.crcs[slot] == model.crcs[slot]


@settings(deadline=None, max_examples=60)
@given(changes)
def test_any_sequence_of_changes(sequence: list[tuple[bool, int, int]]) -> None:
    leaf, model = Leaf(LeafId(5)), Model()
    for change in sequence:
        apply(leaf, model, *change)
    assert_equal(leaf, model)
    again = Leaf.unpack(LeafId(5), *leaf.pack())
    assert_equal(again, model)
    assert_equal(leaf.copy(LeafId(6)), model)


def test_scattered_writes_turn_a_leaf_dense_and_a_rewrite_turns_it_back() -> None:
    leaf, model = Leaf(LeafId(1)), Model()
    slots = list(range(0, BLOCKS_PER_LEAF, 2))
    random.Random(3).shuffle(slots)
    for slot in slots:
        apply(leaf, model, True, slot, 1)
    assert leaf.pack()[0] == KIND_DENSE
    assert_equal(leaf, model)
    assert_equal(Leaf.unpack(LeafId(1), *leaf.pack()), model)
    apply(leaf, model, True, 0, BLOCKS_PER_LEAF)
    assert leaf.pack()[0] == KIND_RUNS
    assert_equal(leaf, model)


def test_sequential_appends_stay_one_run() -> None:
    leaf = Leaf(LeafId(1))
    for slot in range(500):
        leaf.map(slot, 1, 9000 + slot, [slot])
    assert leaf.runs == [(0, 500, 9000)]
    assert len(leaf.pack()[1]) < 100 + 500 * 4


def test_the_body_of_another_leaf_is_refused() -> None:
    leaf = Leaf(LeafId(1))
    leaf.map(3, 5, 100, [1, 2, 3, 4, 5])
    with pytest.raises(Corrupt):
        Leaf.unpack(LeafId(2), *leaf.pack())


@pytest.mark.parametrize("position", [0, 3, 10, -1])
def test_a_damaged_body_is_refused(position: int) -> None:
    leaf = Leaf(LeafId(1))
    leaf.map(3, 5, 100, [1, 2, 3, 4, 5])
    kind, body = leaf.pack()
    damaged = bytearray(body)
    damaged[position] ^= 0x40
    with pytest.raises(Corrupt):
        Leaf.unpack(LeafId(1), kind, bytes(damaged))
    with pytest.raises(Corrupt):
        Leaf.unpack(LeafId(1), kind, body[:position])
    with pytest.raises(Corrupt):
        Leaf.unpack(LeafId(1), 77, body)
