"""Servers that refuse tokens in the middle of a copy, for a passing cause or for good: the copy is always the source."""

import os
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from odxfs.client import ledger
from odxfs.client.client import connect
from odxfs.client.copy import copy_file
from odxfs.client.explain import Cause, ChunkCause
from odxfs.client.local import LocalPlace
from odxfs.client.places import SmbPlace
from odxfs.client.result import CopyResult
from odxfs.errors import OffloadRefused, Refusal
from odxfs.offload import OffloadEngine, OffloadSettings
from odxfs.offload.rules import WriteCall
from odxfs.smb.settings import ServerSettings
from tests.support.serving import PASSWORD, SHARE, USER, serve

MIB = 1024 * 1024
CONTENT_BYTES = 100 * MIB + 1234

Write = Callable[..., Awaitable[int]]


def refuse_writes(
    monkeypatch: pytest.MonkeyPatch, first: int, last: int, reason: Refusal, method: str = "offload_write"
) -> None:
    """The calls of these numbers, from 1 on, are refused."""
    real: Write = getattr(OffloadEngine, method)
    count = 0

    async def answer(self: OffloadEngine, *arguments: Any) -> int:
        nonlocal count
        count += 1
        if first <= count <= last:
            raise OffloadRefused(reason)
        return await real(self, *arguments)

    monkeypatch.setattr(OffloadEngine, method, answer)


async def copied(tmp_path: Path, offload: OffloadSettings | None = None) -> CopyResult:
    """The result of a copy that has been seen to be the source."""
    content = os.urandom(CONTENT_BYTES)
    (tmp_path / "source").write_bytes(content)
    settings = ServerSettings(failed_login_seconds=0.0, offload=offload or OffloadSettings())
    async with serve(tmp_path / "pool", settings) as served:
        async with connect("127.0.0.1", served.port, USER, PASSWORD) as client:
            root = SmbPlace(await client.tree(SHARE), "")
            await copy_file(LocalPlace(tmp_path / "source"), root.inside("source"))
            result = await copy_file(root.inside("source"), root.inside("target"))
            await copy_file(root.inside("target"), LocalPlace(tmp_path / "back"))
        assert await served.pool.check() == []
    assert (tmp_path / "back").read_bytes() == content
    return result


@pytest.mark.parametrize("method", ["offload_read", "offload_write"])
@pytest.mark.parametrize(("first", "last"), [(1, 1), (1, 3), (4, 5), (7, 12)])
async def test_a_shortage_that_passes_does_not_end_the_tokens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, first: int, last: int
) -> None:
    refuse_writes(monkeypatch, first, last, Refusal.TOO_MANY_TOKENS, method)
    result = await copied(tmp_path)
    assert (result.mechanism, result.cause) == ("token", None)


async def test_a_shortage_that_lasts_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "PAUSES_SECONDS", (0.0001, 0.0001))
    refuse_writes(monkeypatch, 4, 1 << 60, Refusal.TOO_MANY_TOKENS)
    result = await copied(tmp_path)
    assert (result.mechanism, result.cause) == ("token+copychunk", Cause.SHORT_OF_RESOURCES)
    assert result.tally.offloaded_bytes + result.tally.copychunk_bytes == CONTENT_BYTES


async def test_a_token_that_is_lost_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_writes(monkeypatch, 4, 4, Refusal.EXPIRED_TOKEN)
    result = await copied(tmp_path)
    assert (result.mechanism, result.cause) == ("token", None)
    assert result.tokens == 14


@pytest.mark.parametrize(
    ("first", "reason", "mechanism", "cause"),
    [
        (1, Refusal.EXPIRED_TOKEN, "copychunk", Cause.EXPIRED),
        (3, Refusal.OFFLOAD_DISABLED, "token+copychunk", Cause.DESTINATION_HAS_NO_OFFLOAD),
        (3, Refusal.LOCKED, "token+copychunk", Cause.LOCKED),
        (3, Refusal.WRITE_FILE_KIND, "token+copychunk", Cause.FILE_KIND),
    ],
)
async def test_what_is_refused_for_good_is_copied_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: int, reason: Refusal, mechanism: str, cause: Cause
) -> None:
    refuse_writes(monkeypatch, first, 1 << 60, reason)
    result = await copied(tmp_path)
    assert (result.mechanism, result.cause) == (mechanism, cause)


async def test_short_writes_are_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real: Write = OffloadEngine.offload_write

    async def short(self: OffloadEngine, party: Any, call: WriteCall) -> int:
        return await real(self, party, replace(call, copy_length=min(call.copy_length, 3 * MIB + 512)))

    monkeypatch.setattr(OffloadEngine, "offload_write", short)
    result = await copied(tmp_path)
    assert (result.mechanism, result.tokens) == ("token", 13)


async def test_without_copychunk_the_rest_is_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_writes(monkeypatch, 3, 1 << 60, Refusal.LOCKED)
    result = await copied(tmp_path, OffloadSettings(copychunk=False))
    assert result.mechanism == "token+plain"
    assert (result.cause, result.chunk_cause) == (Cause.LOCKED, ChunkCause.NOT_SUPPORTED)
