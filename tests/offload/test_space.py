"""What tokens keep from being freed, bounded by volume, SVM, client and pool on a real one; full disks and quotas."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from odxfs.errors import NoSpace, QuotaExceeded, Refusal
from odxfs.ntstatus import Status
from odxfs.offload import TokenLimits
from odxfs.offload.token import ZERO_TOKEN
from odxfs.types import LEAF_BYTES
from odxfs.volume import Inode, create_pool, open_pool
from tests.crash.memory_disk import memory_disk
from tests.offload.scene import MIB, Scene, reason_of

TOKENS = 4


async def tokens_that_keep_everything(scene: Scene) -> list[bytes]:
    """One token for each of the windows of a file that is written anew afterwards."""
    source = await scene.file("source", scene.random_bytes(TOKENS * LEAF_BYTES))
    tokens = []
    for number in range(TOKENS):
        scene.now += 1
        tokens.append(await scene.read_token(source, number * LEAF_BYTES, LEAF_BYTES))
    await scene.volume.write(source, 0, scene.random_bytes(source.size))
    await scene.volume.sync()
    assert scene.volume.pool.statistics().pinned_only_bytes == TOKENS * LEAF_BYTES
    return tokens


@pytest.mark.parametrize("scope", ["volume", "svm", "client"])
async def test_the_longest_idle_tokens_give_their_space_back(scene: Scene, scope: str) -> None:
    scene.settings = replace(
        scene.settings, limits=TokenLimits(**{f"pinned_bytes_per_{scope}": 2 * LEAF_BYTES})
    )
    tokens = await tokens_that_keep_everything(scene)
    before = scene.volume.pool.statistics().allocated_bytes
    assert scene.registry.sweep(scene.now) == 2
    assert scene.registry.sweep(scene.now) == 0
    await scene.volume.sync()
    assert scene.volume.pool.statistics().allocated_bytes == before - 2 * LEAF_BYTES
    target = await scene.file("target", bytes(4096))
    for token in tokens[:2]:
        assert await reason_of(scene.write_token(target, 0, 4096, token)) is Refusal.EVICTED_TOKEN
    for token in tokens[2:]:
        assert await scene.write_token(target, 0, 4096, token) == 4096


async def test_past_the_pools_bound_no_more_tokens_end_than_must(scene: Scene) -> None:
    await tokens_that_keep_everything(scene)
    scene.registry.limits = TokenLimits(pinned_only_bytes=3 * LEAF_BYTES)
    assert scene.registry.sweep(scene.now) == 1
    assert len(scene.registry) == 3


async def test_the_tokens_of_a_volume_keep_no_more_than_its_quota(scene: Scene) -> None:
    other = await scene.file("other", b"x")
    await scene.volume.pool.volumes.set_quota("main", (TOKENS + 1) * LEAF_BYTES)
    await tokens_that_keep_everything(scene)
    assert scene.registry.sweep(scene.now) == 0
    await scene.volume.pool.volumes.set_quota("main", 3 * LEAF_BYTES)
    await scene.read_token(other, 0, 512)
    assert scene.registry.sweep(scene.now) == 1


async def test_all_tokens_together_keep_a_part_of_the_room_at_most(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    await tokens_that_keep_everything(scene)
    monkeypatch.setattr(scene.registry, "_free_bytes", lambda: 8 * LEAF_BYTES)
    assert scene.registry.sweep(scene.now) == 1


@asynccontextmanager
async def scene_on_a_small_disk(directory: Path) -> AsyncIterator[Scene]:
    with memory_disk(directory / "disk", "192m") as disk:
        create_pool(disk / "pool")
        async with open_pool(disk / "pool", owner="test") as pool:
            scene = Scene(pool.volume("main"))
            yield scene
            scene.engine.close()
            await pool.commit()
            assert await pool.check() == []


async def overwrite_until_full(scene: Scene) -> None:
    """Keep by tokens what is written, until a write finds what it needs only where they end."""
    source = await scene.file("source", scene.random_bytes(LEAF_BYTES))
    for _ in range(64):
        await scene.read_token(source, 0, LEAF_BYTES)
        await scene.volume.write(source, 0, scene.random_bytes(LEAF_BYTES))
        if scene.registry.evicted:
            return
    raise AssertionError("the disk did not become full")


async def test_a_full_disk_ends_idle_tokens_before_a_write_is_refused(
    tmp_path: Path, expect_log: Callable[[str], None]
) -> None:
    expect_log("the reserve is given up")
    async with scene_on_a_small_disk(tmp_path) as scene:
        source = await scene.file("first", scene.random_bytes(LEAF_BYTES))
        first = await scene.read_token(source, 0, LEAF_BYTES)
        await scene.volume.truncate(source, 0)
        await overwrite_until_full(scene)
        other = await scene.file("other", content := scene.random_bytes(4 * LEAF_BYTES))
        assert await scene.content(other) == content
        assert await reason_of(scene.write_token(other, 0, 4096, first)) is Refusal.EVICTED_TOKEN


async def until_commits_find_no_room(scene: Scene, filler: Path) -> None:
    """Somebody else fills the disk, again when the pool's reserve is used up. No write needs room, so no token ends for one."""
    with filler.open("ab", buffering=0) as file:
        for number in range(64):
            with suppress(OSError):
                while file.write(bytes(MIB)):
                    pass
            try:
                await scene.file(f"file {number}")
                await scene.volume.sync()
            except NoSpace:
                if scene.volume.pool.committer.is_full:
                    return
    raise AssertionError("commits still find room")


async def test_tokens_expire_while_commits_find_no_room(
    tmp_path: Path, expect_log: Callable[[str], None]
) -> None:
    expect_log("the reserve is given up")
    expect_log("the disk is full")
    async with scene_on_a_small_disk(tmp_path) as scene:
        pool, filler = scene.volume.pool, tmp_path / "disk" / "filler"
        tokens = await tokens_that_keep_everything(scene)
        try:
            await until_commits_find_no_room(scene, filler)
            before = pool.statistics()
            scene.now += TokenLimits().default_lifetime + TOKENS
            assert scene.registry.sweep(scene.now) == TOKENS
            seen = pool.statistics()
            assert (seen.pins, seen.pinned_only_bytes, seen.commits) == (0, 0, before.commits)
            source = await scene.volume.lookup(scene.volume.root, b"source")
            assert await reason_of(scene.write_token(source, 0, 4096, tokens[0])) is Refusal.EXPIRED_TOKEN
        finally:
            filler.unlink()
        await pool.commit()
        assert pool.statistics().allocated_bytes <= before.allocated_bytes - TOKENS * LEAF_BYTES


async def test_a_token_in_use_does_not_end_for_a_full_disk(
    tmp_path: Path, expect_log: Callable[[str], None]
) -> None:
    expect_log("the reserve is given up")
    async with scene_on_a_small_disk(tmp_path) as scene:
        source = await scene.file("kept", content := scene.random_bytes(LEAF_BYTES))
        kept = await scene.read_token(source, 0, LEAF_BYTES)
        await scene.volume.truncate(source, 0)
        with scene.registry.redeem(kept, scene.now) as entry:
            await overwrite_until_full(scene)
            assert not entry.ended
            assert await scene.volume.pool.read_pin(entry.pin, 0, LEAF_BYTES) == content


async def test_tokens_of_files_that_stay_as_they_are_keep_nothing(scene: Scene) -> None:
    scene.settings = replace(scene.settings, limits=TokenLimits(pinned_bytes_per_client=LEAF_BYTES))
    source = await scene.file("source", scene.random_bytes(TOKENS * LEAF_BYTES))
    for number in range(TOKENS):
        await scene.read_token(source, number * LEAF_BYTES, LEAF_BYTES)
    await scene.volume.sync()
    assert scene.registry.sweep(scene.now) == 0


async def test_a_write_past_the_quota_changes_nothing_and_says_why(scene: Scene) -> None:
    content = scene.random_bytes(MIB)
    source, target = await scene.file("source", content), await scene.file("target")
    await scene.volume.truncate(target, MIB)
    token = await scene.read_token(source, 0, MIB)
    await scene.volume.pool.volumes.set_quota("main", MIB + 4096)
    with pytest.raises(QuotaExceeded):
        await scene.write_token(target, 0, MIB, token)
    assert await scene.content(target) == bytes(MIB)
    event = scene.events[-1]
    assert (event.reason, event.status, event.logical_bytes) == ("quota_exceeded", Status.DISK_FULL, 0)
    assert scene.engine.counters.refusals == {"quota_exceeded": 1}
    await scene.volume.pool.volumes.set_quota("main", 0)
    assert await scene.write_token(target, 0, MIB, token) == MIB
    assert await scene.content(target) == content


async def sparse_source(scene: Scene) -> tuple[bytes, bytes]:
    """A token of 4 MiB with one block of data in front, and the bytes that it stands for."""
    source = await scene.file("sparse", block := scene.random_bytes(4096))
    await scene.volume.truncate(source, 4 * MIB)
    return await scene.read_token(source, 0, 4 * MIB), block + bytes(4 * MIB - 4096)


async def test_holes_that_lie_off_the_blocks_stay_holes(scene: Scene) -> None:
    token, content = await sparse_source(scene)
    target = await scene.file("target", b"o" * (5 * MIB))
    assert await scene.write_token(target, 512, 4 * MIB, token) == 4 * MIB
    assert await scene.content(target) == b"o" * 512 + content + b"o" * (MIB - 512)
    assert target.allocated_bytes <= 2 * MIB + 2 * 4096


async def test_a_hole_at_the_end_of_a_copy_moves_the_end_of_file(scene: Scene) -> None:
    _, content = await sparse_source(scene)
    source = await scene.volume.lookup(scene.volume.root, b"sparse")
    target = await scene.file("target")
    await scene.volume.clone_range(source, 0, target, 512, 4 * MIB)
    assert await scene.content(target) == bytes(512) + content
    assert target.allocated_bytes <= MIB + 4096


async def test_a_copy_off_the_blocks_fits_the_quota_or_changes_nothing(scene: Scene) -> None:
    token, content = await sparse_source(scene)
    target = await scene.file("target", b"o" * 8192)
    await scene.volume.truncate(target, 5 * MIB)
    before = await scene.content(target)
    await scene.volume.pool.volumes.set_quota("main", 64 * 4096)
    with pytest.raises(QuotaExceeded):
        await scene.write_token(target, 512, 4 * MIB, token)
    assert await scene.content(target) == before
    await scene.volume.pool.volumes.set_quota("main", MIB)
    assert await scene.write_token(target, 512, 4 * MIB, token) == 4 * MIB
    assert (await scene.content(target))[512 : 512 + 4 * MIB] == content


async def append_for_ever(scene: Scene, file: Inode, step: int) -> None:
    while True:
        await scene.volume.write(file, file.size, scene.random_bytes(step))


async def fill_but(scene: Scene, room_bytes: int) -> None:
    """Leave so much of the disk free."""
    filler = await scene.file("filler")
    for step in (MIB, 4096):
        with pytest.raises(NoSpace):
            await append_for_ever(scene, filler, step)
    await scene.volume.truncate(filler, filler.size - room_bytes)
    await scene.volume.sync()


async def test_a_full_disk_in_the_middle_of_a_copy_off_the_blocks_ends_it_where_it_says(
    tmp_path: Path, expect_log: Callable[[str], None]
) -> None:
    expect_log("the disk is full")
    async with scene_on_a_small_disk(tmp_path) as scene:
        source = await scene.file("source", content := scene.random_bytes(LEAF_BYTES))
        token = await scene.read_token(source, 0, LEAF_BYTES)
        target = await scene.file("target")
        await scene.volume.truncate(target, size := LEAF_BYTES + 4096)
        await fill_but(scene, 4 * MIB)
        written = await scene.write_token(target, 512, LEAF_BYTES, token)
        assert 0 < written < LEAF_BYTES
        assert written % 512 == 0
        expected = (bytes(512) + content[:written]).ljust(size, b"\0")
        assert await scene.content(target) == expected
        event = scene.events[-1]
        assert (event.status, event.logical_bytes, event.moved_bytes) == (Status.SUCCESS, written, written)
        with pytest.raises(NoSpace):
            await scene.write_token(target, 512 + written, LEAF_BYTES - written, token, written)
        assert await scene.content(target) == expected


async def test_what_is_shared_before_the_disk_is_full_is_said(
    tmp_path: Path, expect_log: Callable[[str], None]
) -> None:
    expect_log("the disk is full")
    async with scene_on_a_small_disk(tmp_path) as scene:
        source = await scene.file("source", content := scene.random_bytes(16384))
        token = await scene.read_token(source, 0, 16384)
        target = await scene.file("target")
        await scene.volume.truncate(target, 16384)
        await fill_but(scene, 0)
        assert await scene.write_token(target, 0, 8192 + 512, token) == 8192
        assert await scene.content(target) == content[:8192] + bytes(8192)
        with pytest.raises(NoSpace):
            await scene.write_token(target, 8192, 512, token, 8192)


async def test_zeros_up_to_where_the_disk_is_full_are_said(
    tmp_path: Path, expect_log: Callable[[str], None]
) -> None:
    """Parts of blocks that a token keeps must be written anew."""
    expect_log("the disk is full")
    async with scene_on_a_small_disk(tmp_path) as scene:
        target = await scene.file("target", content := scene.random_bytes(16384))
        kept = await scene.volume.capture(target, 0, 16384)
        await fill_but(scene, 0)
        assert await scene.write_token(target, 4096, 8192 + 512, ZERO_TOKEN) == 8192
        assert await scene.content(target) == content[:4096] + bytes(8192) + content[12288:]
        with pytest.raises(NoSpace):
            await scene.write_token(target, 12288, 512, ZERO_TOKEN)
        scene.volume.pool.release_pin(kept)
