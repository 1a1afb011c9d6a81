"""Our client against our server: copies by token, and every refusal on the way."""

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from odxfs.client.client import Client, connect
from odxfs.client.copy import copy_file
from odxfs.client.errors import NotOffloaded, RequestRefused
from odxfs.client.explain import Cause
from odxfs.client.local import LocalPlace
from odxfs.client.places import SmbPlace
from odxfs.client.plan import Wish
from odxfs.client.result import Tally
from odxfs.offload import OffloadSettings
from odxfs.smb.settings import ServerSettings
from odxfs.smb.shares import Share
from odxfs.wire.negotiate import Dialect
from odxfs.wire.negotiation import SERVED_DIALECTS
from tests.support.serving import PASSWORD, SHARE, USER, Served, serve

MIB = 1024 * 1024


@asynccontextmanager
async def client_of(
    served: Served, *, dialects: tuple[int, ...] = SERVED_DIALECTS, encrypt: bool = False
) -> AsyncIterator[Client]:
    async with connect(
        "127.0.0.1", served.port, USER, PASSWORD, dialects=dialects, encrypt=encrypt
    ) as client:
        yield client


async def place(client: Client, path: str, share: str = SHARE) -> SmbPlace:
    return SmbPlace(await client.tree(share), path)


async def put(client: Client, folder: Path, path: str, content: bytes) -> SmbPlace:
    local = folder / "put.bin"
    local.write_bytes(content)
    target = await place(client, path)
    await copy_file(LocalPlace(local), target)
    return target


async def get(folder: Path, source: SmbPlace) -> bytes:
    await copy_file(source, LocalPlace(folder / "got.bin"))
    return (folder / "got.bin").read_bytes()


@pytest.mark.parametrize(
    ("dialect", "encrypt"),
    [
        (Dialect.SMB_3_0, False),
        (Dialect.SMB_3_0_2, True),
        (Dialect.SMB_3_1_1, False),
        (Dialect.SMB_3_1_1, True),
    ],
)
async def test_a_file_is_copied_by_token(tmp_path: Path, dialect: Dialect, encrypt: bool) -> None:
    content = os.urandom(40 * MIB + 4321)
    seen: list[Tally] = []
    async with (
        serve(tmp_path / "pool") as served,
        client_of(served, dialects=(dialect,), encrypt=encrypt) as client,
    ):
        source = await put(client, tmp_path, "source.bin", content)
        target = await put(client, tmp_path, "target.bin", b"what was here before" * 1000)
        result = await copy_file(source, target, Wish.REQUIRED, seen.append)
        assert await get(tmp_path, target) == content
        assert await served.pool.check() == []
    assert (result.mechanism, result.reason) == ("token", None)
    assert result.offloaded_bytes == result.logical_bytes == len(content)
    assert result.tokens == 6
    assert 0 < result.wire_sent_bytes < 20_000
    assert 0 < result.wire_received_bytes < 20_000
    assert seen[-1].done_bytes == len(content)


async def test_holes_cost_nothing_and_stay_holes(tmp_path: Path) -> None:
    async with serve(tmp_path / "pool") as served, client_of(served) as client:
        source = await place(client, "sparse.bin")
        file = await source.open_to_write()
        await file.set_end_of_file(1 << 30)
        await file.write(512 * MIB, b"island")
        await file.close()
        target = await place(client, "copy.bin")
        result = await copy_file(source, target, Wish.REQUIRED)
        assert result.offloaded_bytes == 1 << 30
        opened = await target.open_to_read()
        assert opened.size == 1 << 30
        assert bytes(await opened.read(512 * MIB - 2, 10)) == b"\0\0island\0\0"
        await opened.close()
        inode = await served.volume.lookup(served.volume.root, b"copy.bin")
        assert inode.allocated_bytes <= MIB


@pytest.mark.parametrize("size", [256 * 1024, 256 * 1024 + 1, 8 * MIB - 1, 8 * MIB + 511])
async def test_odd_ends_of_file(tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    async with serve(tmp_path / "pool") as served, client_of(served) as client:
        source = await put(client, tmp_path, "source.bin", content)
        target = await place(client, "target.bin")
        result = await copy_file(source, target, Wish.REQUIRED)
        assert await get(tmp_path, target) == content
    assert result.offloaded_bytes == size


@pytest.mark.parametrize(
    ("size", "dialects", "wish", "cause"),
    [
        (256 * 1024 - 1, SERVED_DIALECTS, Wish.AUTO, Cause.FILE_TOO_SMALL),
        (MIB, (Dialect.SMB_2_1,), Wish.AUTO, Cause.DIALECT_TOO_OLD),
        (MIB, SERVED_DIALECTS, Wish.OFF, Cause.NOT_WANTED),
    ],
)
async def test_what_is_not_offloaded_is_copied_and_told(
    tmp_path: Path, size: int, dialects: tuple[int, ...], wish: Wish, cause: Cause
) -> None:
    content = os.urandom(size)
    async with serve(tmp_path / "pool") as served, client_of(served, dialects=dialects) as client:
        source = await put(client, tmp_path, "source.bin", content)
        target = await place(client, "target.bin")
        result = await copy_file(source, target, wish)
        assert await get(tmp_path, target) == content
        mechanism = "plain" if wish is Wish.OFF else "copychunk"
        assert (result.mechanism, result.cause) == (mechanism, cause)
        if wish is not Wish.OFF:
            with pytest.raises(NotOffloaded):
                await copy_file(source, await place(client, "never.bin"), Wish.REQUIRED)
            with pytest.raises(RequestRefused, match="no such file"):
                await (await place(client, "never.bin")).open_to_read()


async def test_a_share_with_offload_off(tmp_path: Path) -> None:
    content = os.urandom(MIB)
    async with serve(tmp_path / "pool") as served, client_of(served) as client:
        served.server.shares.add(Share("plain", copy_offload=False))
        source = await put(client, tmp_path, "source.bin", content)
        into = await copy_file(source, await place(client, "in.bin", "plain"))
        out = await copy_file(await place(client, "source.bin", "plain"), await place(client, "out.bin"))
        assert into.cause is Cause.DESTINATION_HAS_NO_OFFLOAD
        assert out.cause is Cause.SOURCE_HAS_NO_OFFLOAD
        assert await get(tmp_path, await place(client, "in.bin")) == content
        assert await get(tmp_path, await place(client, "out.bin")) == content
        kept = await put(client, tmp_path, "kept.bin", b"precious")
        with pytest.raises(NotOffloaded):
            await copy_file(source, await place(client, "kept.bin", "plain"), Wish.REQUIRED)
        assert await get(tmp_path, kept) == b"precious"


async def test_a_token_is_worth_nothing_to_another_server(tmp_path: Path) -> None:
    content = os.urandom(MIB)
    folders = [tmp_path / "a", tmp_path / "b"]
    async with AsyncExitStack() as stack:
        clients = []
        for folder in folders:
            folder.mkdir()
            served = await stack.enter_async_context(serve(folder))
            clients.append(await stack.enter_async_context(client_of(served)))
        source = await put(clients[0], tmp_path, "source.bin", content)
        target = await place(clients[1], "target.bin")
        result = await copy_file(source, target)
        assert (result.mechanism, result.cause) == ("plain", Cause.UNREACHABLE)
        assert await get(tmp_path, target) == content
        with pytest.raises(NotOffloaded, match="another server"):
            await copy_file(source, target, Wish.REQUIRED)


async def test_two_connections_to_one_server_share_its_tokens(tmp_path: Path) -> None:
    content = os.urandom(20 * MIB)
    async with serve(tmp_path / "pool") as served, client_of(served) as first, client_of(served) as second:
        source = await put(first, tmp_path, "source.bin", content)
        target = await place(second, "target.bin")
        result = await copy_file(source, target, Wish.REQUIRED)
        assert await get(tmp_path, target) == content
    assert result.tokens == 3


async def test_when_offload_is_switched_off_on_the_way_the_rest_is_copied(tmp_path: Path) -> None:
    content = os.urandom(160 * MIB)
    async with serve(tmp_path / "pool") as served, client_of(served) as client:
        source = await put(client, tmp_path, "source.bin", content)
        target = await place(client, "target.bin")

        def switch_off(tally: Tally) -> None:
            if tally.offloaded_bytes:
                served.server.settings = replace(
                    served.server.settings, offload=OffloadSettings(enabled=False)
                )

        result = await copy_file(source, target, observe=switch_off)
        assert await get(tmp_path, target) == content
    assert result.mechanism == "token+copychunk"
    assert 0 < result.offloaded_bytes < len(content)
    assert result.cause is Cause.SOURCE_HAS_NO_OFFLOAD or result.cause is Cause.DESTINATION_HAS_NO_OFFLOAD


async def test_a_cancelled_copy_leaves_nothing(tmp_path: Path) -> None:
    async with serve(tmp_path / "pool") as served:
        async with client_of(served) as client:
            source = await put(client, tmp_path, "source.bin", os.urandom(30 * MIB))
            target = await place(client, "target.bin")
            with trio.CancelScope() as scope:
                await copy_file(source, target, Wish.OFF, lambda _: scope.cancel())
            assert scope.cancelled_caught
            with pytest.raises(RequestRefused, match="no such file"):
                await target.open_to_read()
        assert await served.pool.check() == []


@pytest.mark.parametrize(("token_bytes", "most_bytes_per_token"), [(8 * MIB, 2400), (64 * MIB, 2400)])
async def test_bytes_on_the_wire_grow_with_the_tokens_alone(
    tmp_path: Path, token_bytes: int, most_bytes_per_token: int
) -> None:
    """Measured at the sockets. 3 MiB for 10 GiB of 8 MiB tokens are 2457 bytes a token; 120 KiB of 256 MiB ones, 3072."""
    settings = ServerSettings(failed_login_seconds=0.0, offload=OffloadSettings(token_bytes=token_bytes))
    async with serve(tmp_path / "pool", settings) as served, client_of(served) as client:
        source = await place(client, "source.bin")
        file = await source.open_to_write()
        await file.set_end_of_file(40 * token_bytes)
        for number in range(40):
            await file.write(number * token_bytes + 4096, b"data")
        await file.close()
        result = await copy_file(source, await place(client, "target.bin"), Wish.REQUIRED)
    assert result.tokens == 40
    assert (result.wire_sent_bytes + result.wire_received_bytes) / 40 < most_bytes_per_token
