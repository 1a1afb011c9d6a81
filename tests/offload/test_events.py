"""Each call of a token is told once, with what came of it."""

from dataclasses import replace

import pytest

from odxfs.errors import NoSpace, OffloadRefused
from odxfs.ntstatus import Status
from odxfs.offload import Caller, Mechanism, OffloadEvent
from odxfs.offload.token import ZERO_TOKEN, label_of
from odxfs.types import LEAF_BYTES
from tests.offload.scene import MIB, Scene, read_call, write_call


async def test_a_copy_by_token_is_two_events(scene: Scene) -> None:
    source, target = await scene.file("source", scene.random_bytes(LEAF_BYTES)), await scene.file("target")
    await scene.volume.truncate(target, LEAF_BYTES)
    token = await scene.read_token(source, 0, LEAF_BYTES)
    await scene.write_token(target, 0, LEAF_BYTES, token)
    read, write = scene.events
    assert read == OffloadEvent(
        mechanism=Mechanism.OFFLOAD,
        call="read",
        svm="default",
        share="vol",
        owner="alice",
        client="127.0.0.1",
        volume="main",
        inode=source.number,
        offset=0,
        length=LEAF_BYTES,
        source="",
        token=label_of(token),
        logical_bytes=LEAF_BYTES,
        moved_bytes=0,
        status=0,
        reason="",
        seconds=0.0,
        path=f"file {source.number}",
    )
    assert write == replace(
        read,
        call="write",
        inode=target.number,
        source=f"main:file {source.number}",
        path=f"file {target.number}",
    )
    counter = scene.engine.counters.mechanisms[Mechanism.OFFLOAD]
    assert (counter.tokens, counter.calls, counter.logical_bytes, counter.shared_bytes) == (
        1, 1, LEAF_BYTES, LEAF_BYTES,
    )  # fmt: skip


async def test_bytes_that_had_to_move_are_told(scene: Scene) -> None:
    source, target = await scene.file("source", b"s" * MIB), await scene.file("target", bytes(MIB))
    token = await scene.read_token(source, 512, 65536)
    await scene.write_token(target, 0, 65536, token)
    assert (scene.events[-1].logical_bytes, scene.events[-1].moved_bytes) == (65536, 65536)
    token = await scene.read_token(source, 0, 65536)
    await scene.write_token(target, 512, 8192, token, inside=512)
    assert (scene.events[-1].logical_bytes, scene.events[-1].moved_bytes) == (8192, 8192 - 4096)


async def test_zeros_are_told_as_the_zero_token(scene: Scene) -> None:
    target = await scene.file("target", b"t" * MIB)
    await scene.write_token(target, 0, MIB, ZERO_TOKEN)
    event = scene.events[-1]
    assert (event.token, event.logical_bytes, event.moved_bytes) == ("zero", MIB, 0)


async def test_a_refusal_and_a_full_disk_are_told_with_their_reasons(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = await scene.file("source", b"s" * 4096)
    with pytest.raises(OffloadRefused):
        await scene.engine.offload_read(scene.party(source), read_call(512 * 1000, 512))
    event = scene.events[-1]
    assert (event.reason, event.status, event.logical_bytes) == ("beyond_end", Status.END_OF_FILE, 0)
    token = await scene.read_token(source, 0, 4096)

    async def full(*_arguments: object, **_more: object) -> int:
        raise NoSpace("the disk is full")

    monkeypatch.setattr(type(scene.volume), "write_pin", full)
    with pytest.raises(NoSpace):
        await scene.engine.offload_write(scene.party(source), write_call(0, 4096, token))
    event = scene.events[-1]
    assert (event.reason, event.status, event.token) == ("no_space", Status.DISK_FULL, label_of(token))
    assert scene.engine.counters.as_json()["refusals"] == {"beyond_end": 1, "no_space": 1}


async def test_a_copy_that_fails_half_way_is_told_with_how_far_it_came(scene: Scene) -> None:
    source, target = await scene.file("source", b"s" * 8192), await scene.file("target")
    call = (Mechanism.COPYCHUNK, "write", Caller("svm", "share"), "main", target.number, 0, 16384)

    async def copy() -> None:
        with scene.engine.recorded(*call) as record:
            await scene.engine.copy(record, scene.volume, source, 0, target, 0, 8192)
            raise NoSpace("the disk is full")

    with pytest.raises(NoSpace):
        await copy()
    event = scene.events[-1]
    assert (event.logical_bytes, event.reason, event.svm) == (8192, "no_space", "svm")
    counter = scene.engine.counters.mechanisms[Mechanism.COPYCHUNK]
    assert (counter.calls, counter.logical_bytes, counter.refusals["no_space"]) == (1, 8192, 1)


async def test_a_copy_ends_where_the_source_does_and_may_not_move_the_end(scene: Scene) -> None:
    source, target = await scene.file("source", b"s" * 10000), await scene.file("target", bytes(5000))
    call = (Mechanism.DUPLICATE_EXTENTS, "write", Caller(), "main", target.number, 0, 16384)
    with scene.engine.recorded(*call) as record:
        assert (
            await scene.engine.copy(record, scene.volume, source, 0, target, 0, 16384, may_grow=False)
            == 10000
        )
    assert await scene.content(target) == b"s" * 5000
