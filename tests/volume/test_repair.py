"""Damaged catalogs: the check reports and never raises, the repair leaves nothing to report, and what was not damaged stays."""

import os
import random
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import trio

from odxfs.types import BLOCK_BYTES, INODE_VOLUME_SHIFT
from odxfs.volume import check_directory, create_pool, open_pool, repair_directory
from tests.volume.damage import Damage
from tests.volume.images.describe import describe
from tests.volume.images.make import fill

ROUNDS = 3000 if os.environ.get("ODXFS_LONG") else 60

Content = dict[int, Any]
"""Inode -> the data that it has."""


async def _make(directory: Path) -> None:
    create_pool(directory)
    async with open_pool(directory, owner="test") as pool:
        volume = pool.volume("main")
        await fill(volume)
        await pool.snapshots.create("main", "first")
        dense = await volume.lookup(volume.root, b"dense")
        await volume.write(dense, 5 * BLOCK_BYTES, b"after the first snapshot")
        await volume.rename(volume.root, b"empty", volume.root, b"not empty")
        await volume.unlink(volume.root, b"clone of runs")
        await pool.snapshots.create("main", "second")
        await pool.volumes.clone("other", "main", "first")
        runs = await volume.lookup(volume.root, b"runs")
        await volume.write(runs, 0, b"after the second snapshot")


async def _content(directory: Path) -> dict[str, Content]:
    """By tree, what each inode holds; a file is the same wherever it lies."""
    found: dict[str, Content] = {}
    async with open_pool(directory, owner="test") as pool:
        for name in pool.volume_names:
            volume = pool.volume(name)
            found[f"volume {volume.id}"] = _by_number(await describe(volume))
            for snapshot in pool.snapshots.of(name):
                tree = pool.snapshot_volume(name, snapshot.name)
                found[f"snapshot {snapshot.id}"] = _by_number(await describe(tree))
        assert await pool.check() == []
    return found


def _by_number(described: dict[str, dict[str, Any]]) -> Content:
    return {_low(found["number"]): found["data"] for found in described.values()}


def _low(number: int) -> int:
    """An inode's number in its volume."""
    return number & ((1 << INODE_VOLUME_SHIFT) - 1)


@pytest.fixture(scope="module")
def pool_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pool with everything in it; tests put its catalog back."""
    directory = tmp_path_factory.mktemp("damaged") / "pool"
    trio.run(_make, directory)
    shutil.copy(directory / "catalog.db", directory / "sound.db")
    return directory


@pytest.fixture
def damaged(pool_directory: Path) -> Path:
    """The pool, whose catalog a test may damage."""
    for left in pool_directory.glob("catalog.db*"):
        left.unlink()
    shutil.copy(pool_directory / "sound.db", pool_directory / "catalog.db")
    return pool_directory


async def test_any_damage_is_reported_and_repaired(damaged: Path) -> None:
    before = await _content(damaged)
    for seed in range(ROUNDS):
        choose = random.Random(seed)
        shutil.copy(damaged / "sound.db", damaged / "catalog.db")
        damage = Damage(damaged / "catalog.db", choose)
        damage.do(choose.randrange(1, 5))
        with_damage = (seed, damage.done)
        found = await check_directory(damaged)
        report = await repair_directory(damaged)
        assert report.found == found, with_damage
        assert report.left == [], with_damage
        assert await check_directory(damaged) == [], with_damage
        named = {int(number) for finding in report.lost for number in re.findall(r"\d+", finding.sentence)}
        changed = set(map(_low, damage.touched | named))
        _compare(before, await _content(damaged), changed, with_damage)
        for left in damaged.glob("catalog.db?*"):
            left.unlink()


def _compare(
    before: dict[str, Content], after: dict[str, Content], changed: set[int], with_damage: object
) -> None:
    for tree, content in before.items():
        if tree not in after:  # which the report says
            assert tree.startswith("snapshot"), (with_damage, tree)
            continue
        for number, data in content.items():
            assert number in changed or after[tree].get(number) == data, (with_damage, tree, number)
