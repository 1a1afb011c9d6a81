"""Where the settings are not strict, a write past the end extends the file: never past where the token's source ended."""

from dataclasses import replace

import pytest

from odxfs.offload import OffloadSettings
from odxfs.offload.token import ZERO_TOKEN
from tests.offload.scene import MIB, Scene, read_call


@pytest.mark.parametrize(
    ("old_size", "offset"), [(0, 0), (512, 0), (5000, 512), (5000, 4096), (100, MIB), (4096, 512 * 3)]
)
async def test_a_file_grows_by_what_the_token_holds(scene: Scene, old_size: int, offset: int) -> None:
    scene.settings = OffloadSettings(strict=False)
    content, old = scene.random_bytes(2 * MIB), scene.random_bytes(old_size)
    source, target = await scene.file("source", content), await scene.file("target", old)
    token = await scene.read_token(source, 0, 2 * MIB)
    assert await scene.write_token(target, offset, 2 * MIB, token) == 2 * MIB
    assert await scene.content(target) == old[:offset].ljust(offset, b"\0") + content


async def test_it_grows_to_where_the_source_ended_and_not_to_the_sector(scene: Scene) -> None:
    scene.settings = OffloadSettings(strict=False)
    source, target = await scene.file("source", b"s" * 1000), await scene.file("target")
    result = await scene.engine.offload_read(scene.party(source), read_call(0, MIB))
    assert result.transfer_length == 1024
    assert await scene.write_token(target, 0, 1024, result.token) == 1024
    assert await scene.content(target) == b"s" * 1000
    assert await scene.write_token(target, 512, 512, result.token, inside=512) == 512
    assert await scene.content(target) == b"s" * 1000


async def test_bytes_that_were_there_stay_beyond_what_is_written(scene: Scene) -> None:
    scene.settings = OffloadSettings(strict=False)
    source, target = await scene.file("source", b"s" * 1000), await scene.file("target", b"t" * 3000)
    token = await scene.read_token(source, 0, 1024)
    assert await scene.write_token(target, 0, 1024, token) == 1024
    assert await scene.content(target) == b"s" * 1000 + bytes(24) + b"t" * 1976


async def test_zeros_grow_a_file_too_and_need_no_space(scene: Scene) -> None:
    scene.settings = OffloadSettings(strict=False)
    target = await scene.file("target", b"t" * 8192)
    assert await scene.write_token(target, 4096, 1 << 33, ZERO_TOKEN) == 1 << 33
    assert target.size == (1 << 33) + 4096
    assert target.allocated_bytes == 4096
    assert bytes(await scene.volume.read(target, 0, 8192)) == b"t" * 4096 + bytes(4096)
    assert await scene.write_token(target, 1 << 34, 512, ZERO_TOKEN) == 512
    assert target.size == (1 << 34) + 512


async def test_strict_is_what_counts_without_a_word(scene: Scene) -> None:
    source, target = await scene.file("source", b"s" * 8192), await scene.file("target", b"t" * 100)
    token = await scene.read_token(source, 0, 8192)
    assert await scene.write_token(target, 0, 8192, token) == 512
    assert await scene.content(target) == b"s" * 100
    scene.settings = replace(scene.settings, strict=False)
    assert await scene.write_token(target, 0, 8192, token) == 8192
    assert await scene.content(target) == b"s" * 8192
