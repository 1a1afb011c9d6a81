"""Damaged catalogs: the check reports and never raises, the repair leaves nothing to report, and what was not damaged stays."""

import os
import random
import re
import shutil
import sqlite3
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from odxfs.errors import Corrupt
from odxfs.types import BLOCK_BYTES, INODE_VOLUME_SHIFT, LEAF_BYTES
from odxfs.volume import Finding, check_directory, create_pool, open_pool, repair_directory
from tests.volume.damage import Damage
from tests.volume.images.describe import describe
from tests.volume.images.make import fill

ROUNDS = 3000 if os.environ.get("ODXFS_LONG") else 40

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
    _copy_segment(directory / "segments" / "00000000", directory / "sound.segment")
    return directory


def _copy_segment(source: Path, target: Path) -> None:
    subprocess.run(["cp", "--sparse=always", source, target], check=True)


def put_back(directory: Path) -> None:
    """Make the pool what it was; blocks that a repaired pool freed have been given back to the disk."""
    for left in directory.glob("catalog.db*"):
        left.unlink()
    shutil.copy(directory / "sound.db", directory / "catalog.db")
    _copy_segment(directory / "sound.segment", directory / "segments" / "00000000")


@pytest.fixture
def damaged(pool_directory: Path) -> Path:
    """The pool, whose catalog a test may damage."""
    put_back(pool_directory)
    return pool_directory


async def test_any_damage_is_reported_and_repaired(damaged: Path) -> None:
    before = await _content(damaged)
    for seed in range(ROUNDS):
        choose = random.Random(seed)
        put_back(damaged)
        damage = Damage(damaged / "catalog.db", choose)
        damage.do(choose.randrange(1, 5))
        with_damage = (seed, damage.done)
        found = await check_directory(damaged)
        report = await repair_directory(damaged)
        assert report.found == found, with_damage
        assert report.left == [], with_damage
        assert await check_directory(damaged) == [], with_damage
        named = {number for finding in report.lost if finding.kind != "inode" for number in _numbers(finding)}
        whole = not any(done.startswith("VOLUME") for done in damage.done)
        for finding in (finding for finding in report.lost if finding.kind == "inode" and whole):
            assert _numbers(finding) & (damage.touched | named), (with_damage, finding)
        changed = set(map(_low, damage.touched | named))
        _compare(before, await _content(damaged), changed, with_damage)


def _numbers(finding: Finding) -> set[int]:
    return set(map(int, re.findall(r"\d+", finding.sentence)))


def _compare(
    before: dict[str, Content], after: dict[str, Content], changed: set[int], with_damage: object
) -> None:
    for tree, content in before.items():
        if tree not in after:  # which the report says
            assert tree.startswith("snapshot"), (with_damage, tree)
            continue
        for number, data in content.items():
            assert number in changed or after[tree].get(number) == data, (with_damage, tree, number)


def execute(directory: Path, *statements: str) -> None:
    """Damage a catalog by hand."""
    catalog = sqlite3.connect(directory / "catalog.db")
    with catalog:
        for statement in statements:
            catalog.execute(statement)
    catalog.close()


async def read(directory: Path, *path: bytes) -> bytes:
    """All of a file of the volume "main"."""
    async with open_pool(directory, owner="test") as pool:
        volume = pool.volume("main")
        inode = await volume.inode(volume.root)
        for name in path:
            inode = await volume.lookup(inode.number, name)
        return bytes(await volume.read(inode, 0, inode.size))


async def test_a_lost_leaf_is_a_hole_that_is_named(tmp_path: Path) -> None:
    directory, content = tmp_path / "pool", os.urandom(LEAF_BYTES + 5 * BLOCK_BYTES)
    create_pool(directory)
    async with open_pool(directory, owner="test") as pool:
        volume = pool.volume("main")
        inode = await volume.create(volume.root, b"disk", 0o644, 0, 0)
        await volume.write(inode, 0, content)
        await volume.create(volume.root, b"other", 0o644, 0, 0)
    execute(directory, "UPDATE leaf SET body = zeroblob(100) WHERE id = 1")
    report = await repair_directory(directory)
    assert report.left == []
    (lost,) = report.lost
    assert lost.where == f"/disk (inode {inode.number} of volume main), byte 0"
    assert str(LEAF_BYTES) in lost.sentence
    assert await read(directory, b"disk") == bytes(LEAF_BYTES) + content[LEAF_BYTES:]
    assert report.backup is not None
    assert report.backup.is_file()


@pytest.mark.parametrize("size", [-1, 1 - BLOCK_BYTES, -BLOCK_BYTES])
async def test_a_size_below_nothing_is_mended(tmp_path: Path, size: int) -> None:
    directory = tmp_path / "pool"
    create_pool(directory)
    async with open_pool(directory, owner="test") as pool:
        volume = pool.volume("main")
        inode = await volume.create(volume.root, b"empty", 0o644, 0, 0)
        await pool.snapshots.create("main", "before")
    execute(directory, f"UPDATE inode SET size = {size} WHERE number = {inode.number}")
    assert len(await check_directory(directory)) == 2
    assert (await repair_directory(directory)).left == []
    assert await check_directory(directory) == []
    assert await read(directory, b"empty") == b""


async def test_what_has_no_name_comes_to_lost_and_found(tmp_path: Path) -> None:
    directory = tmp_path / "pool"
    create_pool(directory)
    async with open_pool(directory, owner="test") as pool:
        volume = pool.volume("main")
        folder = await volume.create(volume.root, b"folder", stat.S_IFDIR | 0o755, 0, 0)
        inode = await volume.create(folder.number, b"file", 0o644, 0, 0)
        await volume.write(inode, 0, b"kept")
        await pool.snapshots.create("main", "before")
    damage = [
        f"DELETE FROM {table} WHERE name = CAST('folder' AS BLOB)" for table in ("dirent", "listing", "name")
    ]
    execute(directory, *damage)
    report = await repair_directory(directory)
    assert report.left == []
    assert [finding.kind for finding in report.lost] == ["unnamed"]
    assert await read(directory, b"lost+found", b"#%d" % folder.number, b"file") == b"kept"
    async with open_pool(directory, owner="test") as pool:
        then = pool.snapshot_volume("main", "before")
        assert await then.list_directory(then.root) == []  # it shows the same damaged rows


async def test_what_was_being_deleted_when_a_snapshot_was_made_is_no_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / "pool"
    create_pool(directory)
    async with open_pool(directory, owner="test") as pool:
        volume = pool.volume("main")
        inode = await volume.create(volume.root, b"file", 0o644, 0, 0)
        await volume.write(inode, 0, bytes(range(256)) * 64)
        discard = pool.data.discard

        async def discard_and_capture(number: int) -> None:
            await discard(number)
            await pool.snapshots.create("main", "then")

        monkeypatch.setattr(pool.data, "discard", discard_and_capture)
        await volume.unlink(volume.root, b"file")
    execute(directory, "UPDATE volume SET inodes = 7")
    report = await repair_directory(directory)
    assert (report.lost, report.left) == ([], [])
    async with open_pool(directory, owner="test") as pool:
        await pool.snapshots.restore("main", "then")
        await pool.settle()
        assert await pool.check() == []


async def test_an_index_is_made_anew_without_loss(tmp_path: Path) -> None:
    directory = tmp_path / "pool"
    create_pool(directory)
    async with open_pool(directory, owner="test") as pool:
        volume = pool.volume("main")
        await fill(volume)
        before = await describe(volume)
    for table in ("dirent", "listing", "name", "folded", "leaf_refs", "space", "pool"):
        execute(directory, f"DELETE FROM {table}")
        assert await check_directory(directory) != []
        report = await repair_directory(directory)
        assert (report.lost, report.left) == ([], []), table
        async with open_pool(directory, owner="test") as pool:
            assert await describe(pool.volume("main")) == before
            assert await pool.check(read_data=True) == []


@pytest.mark.parametrize("table", ["listing", "name", "folded"])
@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM {0} WHERE name = CAST('File' AS BLOB)",
        "UPDATE {0} SET name = CAST('Elif' AS BLOB) WHERE name = CAST('File' AS BLOB)",
        "UPDATE {0} SET {1} = {1} + 1 WHERE name = CAST('File' AS BLOB)",
    ],
    ids=["missing", "another name", "another directory"],
)
async def test_an_index_that_disagrees_with_the_directories_is_named(
    tmp_path: Path, table: str, damage: str
) -> None:
    directory = tmp_path / "pool"
    create_pool(directory)
    async with open_pool(directory, owner="test") as pool:
        volume = pool.volume("main")
        for name in (b"File", b"Other"):
            await volume.create(volume.root, name, stat.S_IFREG | 0o644, 0, 0)
    execute(directory, damage.format(table, "directory"))
    assert {found.kind for found in await check_directory(directory)} == {f"index {table}"}


async def test_entries_that_share_a_place_in_the_listing_are_named(tmp_path: Path) -> None:
    directory = tmp_path / "pool"
    create_pool(directory)
    async with open_pool(directory, owner="test") as pool:
        volume = pool.volume("main")
        for name in (b"first", b"second"):
            await volume.create(volume.root, name, stat.S_IFREG | 0o644, 0, 0)
    execute(directory, "UPDATE dirent SET cookie = (SELECT min(cookie) FROM dirent)")
    execute(directory, "DELETE FROM listing WHERE cookie > (SELECT min(cookie) FROM dirent)")
    assert "index listing" in {found.kind for found in await check_directory(directory)}
    await repair_directory(directory)
    assert await check_directory(directory) == []


async def test_a_missing_segment_is_made_again_and_its_blocks_are_errors(
    tmp_path: Path, expect_log: Callable[[str], None]
) -> None:
    expect_log("does not match its checksum")
    directory = tmp_path / "pool"
    create_pool(directory)
    async with open_pool(directory, owner="test") as pool:
        volume = pool.volume("main")
        inode = await volume.create(volume.root, b"file", 0o644, 0, 0)
        await volume.write(inode, 0, b"in the segment")
    (directory / "segments" / "00000000").unlink()
    report = await repair_directory(directory, read_data=True)
    assert report.lost == []
    assert {finding.kind for finding in report.left} == {"data"}
    with pytest.raises(Corrupt):
        await read(directory, b"file")
    async with open_pool(directory, owner="test") as pool:
        volume = pool.volume("main")
        inode = await volume.create(volume.root, b"new", 0o644, 0, 0)
        await volume.write(inode, 0, b"goes on")
    assert await read(directory, b"new") == b"goes on"


async def test_a_sound_pool_is_left_alone(damaged: Path) -> None:
    report = await repair_directory(damaged, read_data=True)
    assert (report.found, report.lost, report.left, report.backup) == ([], [], [], None)
    assert not list(damaged.glob("catalog.db.before*"))


async def test_damaged_keys_of_several_kinds_go(tmp_path: Path) -> None:
    create_pool(tmp_path / "pool")
    async with open_pool(tmp_path / "pool", owner="test") as pool:
        volume = pool.volume("main")
        for name in (b"one", b"two", b"three"):
            await volume.create(volume.root, name, 0o644, 0, 0)
    execute(
        tmp_path / "pool",
        "UPDATE dirent SET name = 17 WHERE name = CAST('one' AS BLOB)",
        "UPDATE dirent SET name = 'words' WHERE name = CAST('two' AS BLOB)",
    )
    report = await repair_directory(tmp_path / "pool")
    assert report.left == []
    assert await check_directory(tmp_path / "pool") == []
