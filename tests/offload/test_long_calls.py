"""No call takes longer than its time: a short LengthWritten, from where the next call goes on."""

import pytest

from odxfs.errors import NoSpace
from odxfs.offload.token import ZERO_TOKEN
from odxfs.offload.writing import CALL_SECONDS
from odxfs.offload.zeroing import SLICE_BYTES
from odxfs.types import LEAF_BYTES
from odxfs.volume import Inode, Volume
from tests.offload.scene import MIB, Scene


def let_time_pass(scene: Scene, monkeypatch: pytest.MonkeyPatch, step: str, seconds: float) -> list[int]:
    """Let each call of a step of the volume take so long; returns their offsets."""
    offsets: list[int] = []
    whole = getattr(Volume, step)

    async def slow(volume: Volume, inode: Inode, offset: int, *arguments: object, **more: object) -> object:
        offsets.append(offset)
        scene.now += seconds
        return await whole(volume, inode, offset, *arguments, **more)

    monkeypatch.setattr(Volume, step, slow)
    return offsets


async def test_zeros_over_a_great_range_come_in_parts(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    size = 10 * SLICE_BYTES + 4096
    target = await scene.file("target")
    await scene.volume.truncate(target, size)
    for offset in range(0, size, SLICE_BYTES // 2):
        await scene.volume.write(target, offset, b"data")
    let_time_pass(scene, monkeypatch, "deallocate", CALL_SECONDS / 3)
    done, calls = 0, 0
    while done < size:
        written = await scene.write_token(target, done, size - done, ZERO_TOKEN)
        assert written == min(3 * SLICE_BYTES, size - done)
        done, calls = done + written, calls + 1
    assert calls == 4
    assert target.allocated_bytes == 0
    assert target.size == size
    assert sum(event.logical_bytes for event in scene.events) == size


async def test_bytes_that_must_move_come_in_parts(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token whose blocks do not fall on the destination's."""
    content = scene.random_bytes(2 * LEAF_BYTES + MIB)
    source, target = await scene.file("source", content), await scene.file("target")
    await scene.volume.truncate(target, len(content) + 512)
    tokens = [
        (at, await scene.read_token(source, at, LEAF_BYTES)) for at in range(0, len(content), LEAF_BYTES)
    ]
    let_time_pass(scene, monkeypatch, "write_pin", CALL_SECONDS)
    for at, token in tokens:
        length = min(LEAF_BYTES, len(content) - at)
        assert await scene.write_token(target, at + 512, length, token) == length
    assert await scene.content(target) == bytes(512) + content
    assert all(event.moved_bytes == event.logical_bytes for event in scene.events if event.call == "write")


async def test_a_failure_after_progress_is_the_next_calls(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = await scene.file("target")
    await scene.volume.truncate(target, 3 * SLICE_BYTES)
    whole = Volume.deallocate

    async def full_behind(volume: Volume, inode: Inode, offset: int, length: int) -> None:
        if offset >= SLICE_BYTES:
            raise NoSpace("the disk is full")
        await whole(volume, inode, offset, length)

    monkeypatch.setattr(Volume, "deallocate", full_behind)
    assert await scene.write_token(target, 0, 3 * SLICE_BYTES, ZERO_TOKEN) == SLICE_BYTES
    with pytest.raises(NoSpace):
        await scene.write_token(target, SLICE_BYTES, SLICE_BYTES, ZERO_TOKEN)
    assert scene.engine.counters.refusals["no_space"] == 1


async def test_a_token_in_a_long_use_lives_on_from_its_end(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = await scene.file("source", b"s" * 4096), await scene.file("target", bytes(4096))
    token = await scene.read_token(source, 0, 4096)
    let_time_pass(scene, monkeypatch, "write_pin", 100)
    assert await scene.write_token(target, 0, 4096, token) == 4096
    scene.now += 59
    assert await scene.write_token(target, 0, 4096, token) == 4096
