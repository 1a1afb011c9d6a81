"""A user or a share that is removed while clients use it."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from odxfs.errors import UserError
from odxfs.ntstatus import Status
from odxfs.smb.paths import share_root
from odxfs.smb.shares import Share
from odxfs.smb.withdrawal import Withdrawn, end_withdrawn
from odxfs.types import InodeNumber
from odxfs.volume import AttributeChange
from odxfs.wire.header import Command
from odxfs.wire.logoff import LogoffRequest
from tests.server.test_durable import make_resilient, parked_file, refusal, session
from tests.support.peer import connect, logged_in
from tests.support.serving import OTHER_USER, PASSWORD, SHARE, USER, Served, serve
from tests.support.waiting import until

OTHER = Share("other", "main", "folder")


async def test_the_sessions_of_a_removed_user_end_and_nothing_waits_for_him(tmp_path: Path) -> None:
    async with serve(tmp_path) as served, session(served) as peer, session(served, OTHER_USER) as other:
        root = await served.volume.inode(served.volume.root)
        await served.volume.set_attributes(root, AttributeChange(mode=0o777))
        await make_resilient(peer, await peer.open("file"))
        kept = await other.open("kept")
        assert await end_withdrawn(served.server) == Withdrawn()
        served.server.users.delete(USER)
        assert await end_withdrawn(served.server) == Withdrawn(sessions=1)
        assert await refusal(peer.open("again")) is Status.USER_SESSION_DELETED
        await other.write(kept, 0, b"goes on")
        assert len(served.server.registry) == 1
        assert len(served.server.durable) == 0


async def test_who_has_the_name_of_a_removed_user_is_another(tmp_path: Path) -> None:
    async with serve(tmp_path) as served, session(served) as peer:
        served.server.users.delete(USER)
        served.server.users.add(USER, PASSWORD, 0, 0)
        assert await end_withdrawn(served.server) == Withdrawn(sessions=1)
        assert await refusal(peer.open("file")) is Status.USER_SESSION_DELETED


async def test_what_a_removed_user_has_left_to_come_back_to_is_closed(tmp_path: Path) -> None:
    async with serve(tmp_path) as served:
        await parked_file(served)
        served.server.users.delete(USER)
        await end_withdrawn(served.server)
        assert len(served.server.registry) == len(served.server.opens) == 0


async def test_the_tree_connects_to_a_removed_share_end_and_no_others(tmp_path: Path) -> None:
    async with serve(tmp_path, shares=[OTHER]) as served:
        await served.volume.create(served.volume.root, b"folder", 0o40777, 0, 0)
        async with logged_in(served.port, USER, PASSWORD, SHARE) as peer:
            first = peer.tree_id
            kept = await peer.open("kept")
            peer.tree_id = await peer.connect_tree(OTHER.name)
            await make_resilient(peer, await peer.open("file"))
            served.server.shares.delete(OTHER.name)
            assert await end_withdrawn(served.server) == Withdrawn(trees=1)
            assert await refusal(peer.open("file")) is Status.NETWORK_NAME_DELETED
            assert await refusal(peer.connect_tree(OTHER.name)) is Status.BAD_NETWORK_NAME
            peer.tree_id = first
            await peer.write(kept, 0, b"goes on")
            assert len(served.server.registry) == 1
            await peer.call(Command.LOGOFF, LogoffRequest())


async def test_what_is_parked_on_a_removed_share_is_closed(tmp_path: Path) -> None:
    async with serve(tmp_path) as served:
        await parked_file(served)
        served.server.shares.delete(SHARE)
        await end_withdrawn(served.server)
        assert len(served.server.registry) == len(served.server.opens) == 0


async def test_a_share_that_leads_elsewhere_now_is_another(tmp_path: Path) -> None:
    async with serve(tmp_path, shares=[OTHER]) as served:
        await served.volume.create(served.volume.root, b"folder", 0o40777, 0, 0)
        async with logged_in(served.port, USER, PASSWORD, OTHER.name) as peer:
            served.server.shares.change(OTHER.name, {"read_only": True})
            assert await end_withdrawn(served.server) == Withdrawn()
            served.server.shares.change(OTHER.name, {"path": ""})
            assert await end_withdrawn(served.server) == Withdrawn(trees=1)
            assert await refusal(peer.open("file")) is Status.NETWORK_NAME_DELETED


@pytest.mark.parametrize("file", ["users.json", "shares.json"])
async def test_nothing_ends_while_it_cannot_be_told_what_has_been_removed(tmp_path: Path, file: str) -> None:
    async with serve(tmp_path) as served, session(served) as peer:
        (tmp_path / file).write_text("{}")
        with pytest.raises(UserError, match="damaged"):
            await end_withdrawn(served.server)
        await peer.open("file")


@pytest.mark.parametrize("is_damaged", [False, True])
async def test_a_login_that_waits_for_its_answer_fails_when_its_user_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_damaged: bool
) -> None:
    go_on = trio.Event()
    async with serve(tmp_path) as served, connect(served.port) as peer, trio.open_nursery() as nursery:
        monkeypatch.setattr("odxfs.smb.logins._wait_until", lambda _: go_on.wait())

        async def remove() -> None:
            await until(lambda: any(each.waiting_logins for each in served.server.connections))
            if is_damaged:
                (tmp_path / "users.json").write_text("{}")
            else:
                served.server.users.delete(USER)
                await end_withdrawn(served.server)
            go_on.set()

        nursery.start_soon(remove)
        assert await refusal(peer.login(USER, PASSWORD)) is Status.LOGON_FAILURE


async def test_a_tree_connect_that_waits_for_the_disk_fails_when_its_share_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serve(tmp_path) as served, session(served) as peer:
        monkeypatch.setattr("odxfs.smb.handlers.tree_connect.share_root", removing(served, SHARE))
        assert await refusal(peer.connect_tree(SHARE)) is Status.BAD_NETWORK_NAME


def removing(served: Served, share: str) -> Callable[..., Awaitable[InodeNumber]]:
    """What finds the root of a share, and is slow enough for the share to be removed meanwhile."""

    async def slow(*arguments: Any) -> InodeNumber:
        found = await share_root(*arguments)
        served.server.shares.delete(share)
        await end_withdrawn(served.server)
        return found

    return slow
