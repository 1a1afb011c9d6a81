"""The allocator and the counts against dicts."""

import random
from pathlib import Path
from typing import cast
from uuid import uuid4

import pytest

from odxfs.errors import NoSpace
from odxfs.types import LeafId
from odxfs.volume.allocation.group import BLOCKS_PER_GROUP, clear_bits, runs_of, set_bits, set_slots
from odxfs.volume.allocation.reuse import InFlightReads
from odxfs.volume.allocation.space import Space
from odxfs.volume.blocks.files import Files
from odxfs.volume.blocks.segments import BLOCKS_PER_SEGMENT, Segments
from odxfs.volume.catalog.interface import CatalogEngine
from odxfs.volume.catalog.overlay import CatalogView
from odxfs.volume.leaf import Leaf, Run


@pytest.fixture
def space(tmp_path: Path) -> Space:
    return Space(Segments(tmp_path, uuid4(), Files()))


def blocks(runs: list[Run]) -> list[int]:
    return [place + index for place, count in runs for index in range(count)]


def adopt(space: Space, runs: list[Run]) -> None:
    for run in runs:
        space.adopt(*run)


def collect(space: Space) -> None:
    """What a commit does first: from now on it may name what is used."""
    space.collect(CatalogView(cast("CatalogEngine", None)))


def test_bits_are_set_and_cleared_exactly() -> None:
    choose = random.Random(1)
    bits, model = bytearray(64), set[int]()
    for _ in range(2000):
        first = choose.randrange(512)
        count = choose.randint(1, min(70, 512 - first))
        if choose.random() < 0.5:
            set_bits(bits, first, count)
            model.update(range(first, first + count))
        else:
            clear_bits(bits, first, count)
            model.difference_update(range(first, first + count))
        assert set(set_slots(bits).tolist()) == model
    assert blocks(runs_of(set_slots(bits))) == sorted(model)


def test_blocks_are_handed_out_once_and_never_a_header(space: Space) -> None:
    taken = [block for count in (1, 3, 64, 2048, 1, 500) for block in blocks(space.allocate(count))]
    assert len(set(taken)) == 1 + 3 + 64 + 2048 + 1 + 500
    assert not any(block % BLOCKS_PER_SEGMENT == 0 for block in taken)


def test_large_requests_get_one_run_though_small_ones_come_between(space: Space) -> None:
    for _ in range(50):
        space.allocate(1)
        assert len(space.allocate(256)) == 1


def test_the_address_space_grows_by_segments(space: Space) -> None:
    total = 0
    while total <= BLOCKS_PER_SEGMENT:
        runs = space.allocate(2048)
        assert all((place >> 14) == ((place + count - 1) >> 14) for place, count in runs)
        total += sum(count for _, count in runs)
    assert len(space.groups) == 32


def test_what_no_commit_has_named_is_free_at_once(space: Space) -> None:
    first = space.allocate(2048)
    adopt(space, first)
    for run in first:
        space.release(*run)
    assert (space.held_blocks, space.take_freed(), space.take_given_up()) == (0, [], 2048)
    assert any(
        set(blocks(space.allocate(2048))) & set(blocks(first)) for _ in range(BLOCKS_PER_SEGMENT // 2048)
    )


def test_what_a_commit_may_name_is_held(space: Space) -> None:
    first = space.allocate(256)
    adopt(space, first)
    collect(space)
    for run in first:
        space.release(*run)
    assert space.held_blocks == 256


def test_what_a_read_under_way_may_want_is_held(space: Space) -> None:
    first = space.allocate(256)
    adopt(space, first)
    with InFlightReads(space).read():
        for run in first:
            space.release(*run)
    assert space.held_blocks == 256


def test_a_run_of_which_a_part_is_named_is_held(space: Space) -> None:
    ((place, count),) = space.allocate(256)
    space.adopt(place, 10)
    collect(space)
    space.adopt(place + 10, count - 10)
    space.release(place, count)
    assert space.held_blocks == 256


def test_a_freed_block_comes_back_only_after_it_is_released_for_reuse(space: Space) -> None:
    first = space.allocate(BLOCKS_PER_GROUP // 2)
    adopt(space, first)
    collect(space)
    for run in first:
        space.release(*run)
    assert space.used_blocks == 0
    assert space.held_blocks == BLOCKS_PER_GROUP // 2
    freed = space.take_freed()
    others = set(blocks(space.allocate(BLOCKS_PER_SEGMENT // 2)))
    assert others.isdisjoint(blocks(first))
    space.reuse(freed)
    assert space.held_blocks == 0
    space.allocate(BLOCKS_PER_SEGMENT // 2)
    assert len(space.groups) <= 32


def test_counts_follow_a_model_in_both_forms_of_a_leaf(space: Space) -> None:
    choose = random.Random(7)
    model: dict[int, int] = {}
    leaves: list[Leaf] = []
    for turn in range(300):
        if leaves and choose.random() < 0.4:
            leaf = leaves.pop(choose.randrange(len(leaves)))
            space.release_leaf(leaf)
            for _, count, place in leaf.pieces(0, 2048):
                for block in range(place, place + count):
                    model[block] -= 1
        elif leaves and choose.random() < 0.5:
            twin = choose.choice(leaves).copy(LeafId(turn))
            twin.unmap(choose.randrange(2000), 40)
            space.share_leaf(twin)
            leaves.append(twin)
            for _, count, place in twin.pieces(0, 2048):
                for block in range(place, place + count):
                    model[block] += 1
        else:
            leaf = Leaf(LeafId(turn))
            for slot in choose.sample(range(0, 2048, 2), choose.choice([3, 10, 200])):
                ((place, _),) = space.allocate(1)
                space.adopt(place, 1)
                leaf.map(slot, 1, place, [0])
                model[place] = 1
            leaves.append(leaf)
    used = {block for block, owners in model.items() if owners}
    for group in space.groups:
        base = group.number * BLOCKS_PER_GROUP
        assert {base + slot for slot in set_slots(group.used).tolist()} == {
            block for block in used if block // BLOCKS_PER_GROUP == group.number
        }
        for block in used:
            if block // BLOCKS_PER_GROUP == group.number and group.counts is not None:
                assert group.counts[block - base] == (model[block] if model[block] >= 2 else 0)
    assert space.used_blocks == len(used)


def test_under_pressure_only_blocks_with_disk_space_are_handed_out(space: Space) -> None:
    runs = space.allocate(100)
    adopt(space, runs)
    for place, count in runs:
        space._segments.write(place, [bytes(count * 4096)])
    for run in runs:
        space.release(*run)
    space.reuse(space.take_freed())
    space.press()
    again = blocks(space.allocate(40))
    assert set(again) <= set(blocks(runs))
    with pytest.raises(NoSpace):
        space.allocate(61)
    assert set(blocks(space.allocate(60))) | set(again) == set(blocks(runs))
    space.relax()
    assert len(blocks(space.allocate(1000))) == 1000
