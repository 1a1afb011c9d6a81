"""What must hold of a pool after whatever happened to it."""

from pathlib import Path

from odxfs.volume import Pool, check_directory, open_pool
from tests.volume.model.reality import seen_of_pool
from tests.volume.model.subject import Subject
from tests.volume.model.tree import Frozen, Tree, with_snapshots, without_snapshots


async def assert_sound(directory: Path, possible: list[Frozen]) -> Frozen:
    """The pool passes the check with all its data, holds one of the possible states, and can be used.

    Returns what it holds after that, durably.
    """
    assert await check_directory(directory, read_data=True) == []
    async with open_pool(directory, owner="next") as pool:
        assert await pool.check(read_data=True) == []
        found = await seen_of_pool(pool)
        assert found in possible, difference(found, possible[-1])
        await _use(pool, found)
        left = await seen_of_pool(pool)
    assert await check_directory(directory) == []
    return left


async def _use(pool: Pool, found: Frozen) -> None:
    """Write beside what is there and to one of its files; nothing else changes, and what was held for others is free."""
    volume, snapshots = without_snapshots(found)
    subject = Subject(pool.volume("main"), Tree.thawed(volume))
    await subject.find_inodes()
    fresh = await subject.create((b"fresh%d" % len(found),))
    await subject.write(fresh, 100, b"fresh" * 2000)
    for node in [node for node in subject.tree.nodes() if node.is_file and node is not fresh][:2]:
        await subject.write(node, 3000, b"again" * 1000)
        await subject.clone_range(fresh, 0, node, 0, 8192)
    await subject.volume.sync()
    assert await pool.check(read_data=True) == []
    assert await seen_of_pool(pool) == with_snapshots(subject.tree.frozen(), snapshots)
    assert pool.statistics().pins == 0


def difference(found: Frozen, expected: Frozen) -> str:
    """The first paths about which two trees differ, for the message of a failure."""
    differing = [path for path in found.keys() | expected.keys() if found.get(path) != expected.get(path)]
    return f"no possible state; differs from the last of them in {sorted(differing)[:5]}"
