"""What tokens keep from being freed, bounded by volume, SVM, client and pool on a real one; full disks and quotas."""

from dataclasses import replace

import pytest

from odxfs.errors import QuotaExceeded, Refusal
from odxfs.ntstatus import Status
from odxfs.offload import TokenLimits
from odxfs.types import LEAF_BYTES
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
