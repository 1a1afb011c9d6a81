"""What a copy leaves when it fails, and two copies to one destination."""

import os
from pathlib import Path

import pytest
import trio

from odxfs.client import targets
from odxfs.client.client import connect
from odxfs.client.copy import copy_file
from odxfs.client.errors import NetworkFailed
from odxfs.client.job import Job, Request
from odxfs.client.local import LocalPlace
from odxfs.client.local_file import LocalFile
from odxfs.client.place import Place
from odxfs.client.places import SmbPlace
from odxfs.client.plan import CopyOptions
from odxfs.client.result import Tally
from odxfs.client.servers import Servers, open_servers
from odxfs.client.summary import Summary
from odxfs.client.url import parse_location
from odxfs.errors import UserError
from odxfs.types import Buffer
from tests.support.serving import PASSWORD, SHARE, USER, serve

MIB = 1024 * 1024


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> tuple[trio.Event, trio.Event]:
    """A source called `a` is not read before the second event; the first says that its copy has come so far."""
    waits, go_on = trio.Event(), trio.Event()
    read = LocalFile.read

    async def wait_and_read(file: LocalFile, offset: int, length: int) -> Buffer:
        if file.name.endswith("/a"):
            waits.set()
            await go_on.wait()
        return await read(file, offset, length)

    monkeypatch.setattr(LocalFile, "read", wait_and_read)
    return waits, go_on


@pytest.mark.parametrize("is_there", [False, True])
async def test_a_second_copy_to_a_local_file_is_refused_and_leaves_the_first_alone(
    tmp_path: Path, held: tuple[trio.Event, trio.Event], is_there: bool
) -> None:
    waits, go_on = held
    content = os.urandom(2 * MIB)
    (tmp_path / "a").write_bytes(content)
    (tmp_path / "b").write_bytes(os.urandom(2 * MIB))
    if is_there:
        (tmp_path / "target").write_bytes(b"old")
    target = LocalPlace(tmp_path / "target")
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(copy_file, LocalPlace(tmp_path / "a"), target)
            await waits.wait()
            with pytest.raises(UserError, match="another copy is writing it"):
                await copy_file(LocalPlace(tmp_path / "b"), target)
            go_on.set()
    assert (tmp_path / "target").read_bytes() == content


async def test_a_file_that_the_copy_before_has_filled_meanwhile_is_emptied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "source").write_bytes(bytes(MIB))
    lock = LocalFile.lock

    async def fill_and_lock(file: LocalFile, *, is_needed: bool) -> None:
        (tmp_path / "target").write_bytes(b"of the other copy")
        await lock(file, is_needed=is_needed)

    monkeypatch.setattr(LocalFile, "lock", fill_and_lock)
    await copy_file(LocalPlace(tmp_path / "source"), LocalPlace(tmp_path / "target"))
    assert (tmp_path / "target").read_bytes() == bytes(MIB)


async def fail(file: LocalFile, offset: int, length: int) -> Buffer:
    raise UserError("broken")


async def test_a_copy_that_fails_leaves_what_has_its_name_by_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "source").write_bytes(b"x")

    async def move_away_and_fail(file: LocalFile, offset: int, length: int) -> Buffer:
        (tmp_path / "target").rename(tmp_path / "elsewhere")
        (tmp_path / "target").write_bytes(b"of somebody else")
        raise UserError("broken")

    monkeypatch.setattr(LocalFile, "read", move_away_and_fail)
    with pytest.raises(UserError, match="broken"):
        await copy_file(LocalPlace(tmp_path / "source"), LocalPlace(tmp_path / "target"))
    assert (tmp_path / "target").read_bytes() == b"of somebody else"


async def test_a_copy_to_a_link_that_fails_removes_the_file_and_not_the_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "source").write_bytes(b"x" * MIB)
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real")
    monkeypatch.setattr(LocalFile, "read", fail)
    with pytest.raises(UserError, match="broken"):
        await copy_file(LocalPlace(tmp_path / "source"), LocalPlace(tmp_path / "link"))
    assert (tmp_path / "link").is_symlink()
    assert not (tmp_path / "real").exists()


async def put_until_cut(servers: Servers, source: Path, destination: str) -> None:
    """A copy whose connection goes in the middle."""

    def cut(_: Summary, running: Tally) -> None:
        if running.plain_bytes > 8 * MIB:
            servers.connections[0].close()

    job = Job(servers, CopyOptions(), lambda record: None, cut)
    await job.run(Request([parse_location(str(source))], parse_location(destination)))


@pytest.mark.parametrize("returns", [True, False])
async def test_what_a_lost_connection_leaves_is_removed_over_another_or_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, returns: bool
) -> None:
    (tmp_path / "source").write_bytes(os.urandom(24 * MIB))
    renew = Servers.renew

    async def renew_if_there(servers: Servers, place: Place) -> Place:
        if servers.connections[0].has_failed and not returns:
            raise NetworkFailed("no connection")
        return await renew(servers, place)

    monkeypatch.setattr(Servers, "renew", renew_if_there)
    monkeypatch.setattr(targets, "RETURN_SECONDS", (0.0,) * 50 if returns else (0.0,) * 2)
    async with serve(tmp_path / "pool") as served:
        url = f"smb://{USER}@127.0.0.1:{served.port}/{SHARE}/target"
        with pytest.raises(NetworkFailed) as caught:
            async with open_servers(lambda url: PASSWORD) as servers:
                await put_until_cut(servers, tmp_path / "source", url)
        is_told = "what was copied so far is left at //127.0.0.1/vol/target" in str(caught.value)
        async with connect("127.0.0.1", served.port, USER, PASSWORD) as client:
            found = await SmbPlace(await client.tree(SHARE), "target").look()
        assert (is_told, found is not None) == (not returns, not returns)
