"""Two servers over one pool, open table and engine: what is of one cannot be reached through the other."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from odxfs.ntstatus import Status
from odxfs.smb.auth.users import UserStore
from odxfs.smb.server import SmbServer
from odxfs.smb.settings import ServerSettings
from odxfs.smb.shares import DeclaredShares, Share
from odxfs.wire.close import CloseRequest
from odxfs.wire.header import Command
from odxfs.wire.tree_connect import TreeConnectRequest
from tests.support.peer import Refused, connect, logged_in
from tests.support.serving import PASSWORD, USER, Served, serve

THEIR_SHARE = "theirs"


@asynccontextmanager
async def two_servers(directory: Path) -> AsyncIterator[tuple[Served, int]]:
    """The usual server for `main`, and the port of another for `db`; alice is a user of both."""
    async with serve(directory) as first, trio.open_nursery() as nursery:
        await first.pool.volumes.create("db")
        first.server.owns_volume = lambda volume: volume != "db"
        state = directory / "svms" / "b"
        state.mkdir(parents=True)
        users = UserStore(state)
        users.add(USER, PASSWORD, 0, 0)
        second = SmbServer(
            first.pool,
            opens=first.server.opens,
            engine=first.server.engine,
            users=users,
            shares=DeclaredShares([Share(THEIR_SHARE, "db"), Share("stolen", "main")]),
            settings=ServerSettings(failed_login_seconds=0.0),
            name="b",
            owns_volume=lambda volume: volume == "db",
        )
        _, port = await nursery.start(second.serve, "127.0.0.1", 0)
        yield first, port
        nursery.cancel_scope.cancel()


async def test_an_open_of_one_server_is_none_of_the_other(tmp_path: Path) -> None:
    async with (
        two_servers(tmp_path) as (first, port),
        logged_in(first.port, USER, PASSWORD, "vol") as ours,
        logged_in(port, USER, PASSWORD, THEIR_SHARE) as theirs,
    ):
        fid = await ours.open("secret")
        await ours.write(fid, 0, b"ours alone")
        with pytest.raises(Refused) as refused:
            await theirs.read(fid, 0, 100)
        assert refused.value.status is Status.FILE_CLOSED
        with pytest.raises(Refused) as refused:
            await theirs.open("secret", 1)
        assert refused.value.status is Status.OBJECT_NAME_NOT_FOUND
        assert await ours.read(fid, 0, 100) == b"ours alone"


async def test_a_session_of_one_server_is_none_of_the_other(tmp_path: Path) -> None:
    async with (
        two_servers(tmp_path) as (first, port),
        logged_in(first.port, USER, PASSWORD, "vol") as ours,
        logged_in(port, USER, PASSWORD, THEIR_SHARE) as theirs,
    ):
        fid = await ours.open("secret")
        theirs.session_id, theirs.tree_id = ours.session_id, ours.tree_id
        answer = await theirs.answer(Command.CLOSE, CloseRequest(fid))
        assert answer.header.status == Status.USER_SESSION_DELETED
        await ours.close(fid)


async def test_a_login_ends_no_session_of_the_same_name_on_the_other(tmp_path: Path) -> None:
    """PreviousSessionId names a session of the server that is asked (MS-SMB2 3.3.5.5.3)."""
    async with (
        two_servers(tmp_path) as (first, port),
        logged_in(first.port, USER, PASSWORD, "vol") as ours,
        connect(port) as theirs,
    ):
        await theirs.login(USER, PASSWORD, previous=ours.session_id)
        await ours.open("still there")


async def test_a_share_of_a_volume_that_is_not_the_servers_cannot_be_connected(tmp_path: Path) -> None:
    async with two_servers(tmp_path) as (_, port), connect(port) as theirs:
        await theirs.login(USER, PASSWORD)
        for share in ("stolen", "vol"):
            answer = await theirs.answer(Command.TREE_CONNECT, TreeConnectRequest(f"\\\\s\\{share}"))
            assert answer.header.status == Status.BAD_NETWORK_NAME
        await theirs.connect_tree(THEIR_SHARE)
