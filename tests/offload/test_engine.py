"""Offload read and write over a real volume: tokens are points in time."""

from collections.abc import Callable

import pytest

from odxfs.errors import Refusal
from odxfs.offload.counters import Mechanism
from odxfs.offload.token import ZERO_TOKEN, is_zero_token
from odxfs.types import LEAF_BYTES
from odxfs.volume import Inode
from tests.offload.scene import MIB, Scene, read_call, reason_of


async def overwrite(scene: Scene, source: Inode) -> None:
    await scene.volume.write(source, 0, scene.random_bytes(source.size))


async def truncate(scene: Scene, source: Inode) -> None:
    await scene.volume.truncate(source, 0)


async def delete(scene: Scene, source: Inode) -> None:
    await scene.volume.unlink(scene.volume.root, b"source")


async def rename_over(scene: Scene, source: Inode) -> None:
    await scene.file("other", scene.random_bytes(100))
    await scene.volume.rename(scene.volume.root, b"other", scene.volume.root, b"source")


async def punch(scene: Scene, source: Inode) -> None:
    await scene.volume.deallocate(source, 4096, MIB)


@pytest.mark.parametrize("change", [overwrite, truncate, delete, rename_over, punch])
@pytest.mark.parametrize("synced", [False, True])
async def test_a_token_is_a_point_in_time(
    scene: Scene, change: Callable[[Scene, Inode], object], synced: bool
) -> None:
    content = scene.random_bytes(3 * MIB)
    source, target = await scene.file("source", content), await scene.file("target")
    await scene.volume.truncate(target, len(content))
    if synced:
        await scene.volume.sync()
    token = await scene.read_token(source, 0, len(content))
    await change(scene, source)  # type: ignore[misc]
    await scene.volume.sync()
    assert await scene.write_token(target, 0, len(content), token) == len(content)
    assert await scene.content(target) == content


async def test_an_aligned_window_is_shared_and_not_copied(scene: Scene) -> None:
    content = scene.random_bytes(LEAF_BYTES)
    source, target = await scene.file("source", content), await scene.file("target")
    await scene.volume.truncate(target, LEAF_BYTES)
    before = scene.volume.pool.statistics().allocated_bytes
    token = await scene.read_token(source, 0, LEAF_BYTES)
    await scene.write_token(target, 0, LEAF_BYTES, token)
    assert scene.volume.pool.statistics().allocated_bytes == before
    assert scene.engine.counters.mechanisms[Mechanism.OFFLOAD].shared_bytes == LEAF_BYTES
    assert await scene.content(target) == content


async def test_one_token_is_written_many_times_and_in_parts(scene: Scene) -> None:
    content = scene.random_bytes(MIB)
    source, target = await scene.file("source", content), await scene.file("target")
    await scene.volume.truncate(target, 4 * MIB)
    token = await scene.read_token(source, 0, MIB)
    for turn in range(3):
        scene.now += 50
        assert await scene.write_token(target, turn * MIB, MIB, token) == MIB
    assert await scene.write_token(target, 3 * MIB, 512, token, inside=MIB - 512) == 512
    assert (await scene.content(target))[: 3 * MIB + 512] == content * 3 + content[-512:]


async def test_sector_aligned_ranges_that_fit_no_block_arrive_whole(scene: Scene) -> None:
    content, old = scene.random_bytes(MIB), scene.random_bytes(MIB)
    source, target = await scene.file("source", content), await scene.file("target", old)
    token = await scene.read_token(source, 512, 10 * 4096)
    assert await scene.write_token(target, 1536, 9 * 4096, token, inside=1024) == 9 * 4096
    expected = old[:1536] + content[1536 : 1536 + 9 * 4096] + old[1536 + 9 * 4096 :]
    assert await scene.content(target) == expected


async def test_the_end_of_a_file_that_is_no_sector_counts_as_a_whole_one(scene: Scene) -> None:
    content = scene.random_bytes(1000)
    source, target = await scene.file("source", content), await scene.file("target", scene.random_bytes(1000))
    result = await scene.engine.offload_read(scene.party(source), read_call(0, MIB))
    assert (result.transfer_length, result.all_zero_beyond) == (1024, True)
    assert await scene.write_token(target, 0, MIB, result.token) == 1024
    assert target.size == 1000
    assert await scene.content(target) == content


async def test_what_a_token_has_past_its_data_is_zeros(scene: Scene) -> None:
    source, target = await scene.file("source", b"x" * 1000), await scene.file("target", b"y" * 8192)
    token = await scene.read_token(source, 0, 1024)
    assert await scene.write_token(target, 4096, 4096, token) == 1024
    assert await scene.content(target) == b"y" * 4096 + b"x" * 1000 + bytes(24) + b"y" * 3072


async def test_a_write_never_extends_the_file(scene: Scene) -> None:
    content = scene.random_bytes(MIB)
    source, target = await scene.file("source", content), await scene.file("target", bytes(4096))
    token = await scene.read_token(source, 0, MIB)
    assert await scene.write_token(target, 0, MIB, token) == 4096
    assert await scene.content(target) == content[:4096]


async def test_a_hole_reads_as_the_zero_token_however_large(scene: Scene) -> None:
    source = await scene.file("source")
    await scene.volume.truncate(source, 1 << 40)
    await scene.volume.write(source, 1 << 39, b"data")
    result = await scene.engine.offload_read(scene.party(source), read_call(0, 1 << 40))
    assert is_zero_token(result.token)
    assert (result.transfer_length, result.all_zero_beyond) == (1 << 39, False)
    rest = await scene.engine.offload_read(scene.party(source), read_call((1 << 39) + 4096, 1 << 39))
    assert is_zero_token(rest.token)
    assert rest.all_zero_beyond
    assert len(scene.registry) == 0


async def test_all_zero_beyond_is_said_only_when_it_is_so(scene: Scene) -> None:
    source = await scene.file("source", scene.random_bytes(4096))
    await scene.volume.truncate(source, 4 * LEAF_BYTES)
    assert (await scene.engine.offload_read(scene.party(source), read_call(0, 4096))).all_zero_beyond
    await scene.volume.write(source, 3 * LEAF_BYTES, b"x")
    assert not (await scene.engine.offload_read(scene.party(source), read_call(0, 4096))).all_zero_beyond


async def test_writing_the_zero_token_frees_space(scene: Scene) -> None:
    target = await scene.file("target", scene.random_bytes(2 * MIB))
    assert await scene.write_token(target, 0, MIB, ZERO_TOKEN) == MIB
    assert await scene.volume.allocated_ranges(target, 0, 2 * MIB) == [(MIB, MIB)]
    assert (await scene.content(target))[:MIB] == bytes(MIB)


async def test_a_token_is_smaller_than_what_was_asked_for_and_the_next_one_goes_on(scene: Scene) -> None:
    source = await scene.file("source", scene.random_bytes(LEAF_BYTES + MIB))
    first = await scene.engine.offload_read(scene.party(source), read_call(0, LEAF_BYTES + MIB))
    assert (first.transfer_length, first.all_zero_beyond) == (LEAF_BYTES, False)
    second = await scene.engine.offload_read(scene.party(source), read_call(LEAF_BYTES, MIB))
    assert (second.transfer_length, second.all_zero_beyond) == (MIB, True)


async def test_a_copy_within_one_file(scene: Scene) -> None:
    content = scene.random_bytes(2 * MIB)
    source = await scene.file("source", content)
    token = await scene.read_token(source, 0, MIB)
    assert await scene.write_token(source, MIB, MIB, token) == MIB
    assert await scene.content(source) == content[:MIB] * 2


async def test_copy_length_zero_succeeds_before_the_token_is_looked_at(scene: Scene) -> None:
    empty = await scene.file("empty")
    result = await scene.engine.offload_read(scene.party(empty), read_call(0, 0))
    assert (result.transfer_length, is_zero_token(result.token)) == (0, True)
    assert await scene.write_token(empty, 0, 0, bytes(512)) == 0


async def test_an_expired_token_and_one_of_another_server_are_refused(scene: Scene) -> None:
    source = await scene.file("source", b"x" * 4096)
    token = await scene.read_token(source, 0, 4096)
    scene.now = 60
    assert await reason_of(scene.write_token(source, 0, 4096, token)) is Refusal.EXPIRED_TOKEN
    foreign = b"\x00\x01\x00\x01" + token[4:]
    assert await reason_of(scene.write_token(source, 0, 4096, foreign)) is Refusal.UNKNOWN_TOKEN
    beyond = await scene.read_token(source, 0, 4096)
    writing = scene.write_token(source, 0, 512, beyond, inside=4096)
    assert await reason_of(writing) is Refusal.OFFSET_BEYOND_TOKEN
