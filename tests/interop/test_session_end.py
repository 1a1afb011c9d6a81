"""A server that ends the session, or takes the share away, and keeps the connection."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from odxfs.client.client import connect
from odxfs.client.errors import NetworkFailed
from odxfs.client.job import Job, Request
from odxfs.client.plan import CopyOptions
from odxfs.client.result import Tally
from odxfs.client.servers import open_servers
from odxfs.client.summary import Record, Summary
from odxfs.client.url import parse_location
from odxfs.errors import ExitCode
from odxfs.ntstatus import Status
from odxfs.smb.handlers import ioctl
from odxfs.smb.handlers.session_setup import close_session
from odxfs.smb.request import SmbError
from odxfs.wire.fsctl.codes import Fsctl
from tests.support.serving import PASSWORD, SHARE, USER, Served, serve

MIB = 1 << 20
SIZE = 64 * MIB


class Cut:
    """A copy of a local file or folder to a share, whose session the server ends after 8 MiB."""

    def __init__(self, served: Served, nursery: trio.Nursery) -> None:
        self.served = served
        self.ended = 0
        self.records = list[Record]()
        self._nursery = nursery

    def observe(self, _: Summary, running: Tally) -> None:
        if self.ended or running.plain_bytes <= 8 * MIB:
            return
        for session in list(self.served.server.sessions.values()):
            self.ended += 1
            self._nursery.start_soon(close_session, self.served.server, session)

    async def run(self, source: Path, *, resume: bool, recursive: bool = False) -> Summary:
        url = f"smb://{USER}@127.0.0.1:{self.served.port}/{SHARE}/target"
        request = Request([parse_location(str(source))], parse_location(url), recursive=recursive)
        async with open_servers(lambda _: PASSWORD) as servers:
            job = Job(servers, CopyOptions(resume=resume), self.records.append, self.observe)
            return await job.run(request)


@asynccontextmanager
async def cut_copy(folder: Path) -> AsyncIterator[Cut]:
    async with serve(folder / "pool") as served, trio.open_nursery() as nursery:
        yield Cut(served, nursery)


async def test_a_copy_that_can_be_resumed_logs_on_again(tmp_path: Path) -> None:
    content = os.urandom(SIZE)
    (tmp_path / "source").write_bytes(content)
    async with cut_copy(tmp_path) as copy:
        await copy.run(tmp_path / "source", resume=True)
        assert copy.ended
        volume = copy.served.volume
        target = await volume.lookup(volume.root, b"target")
        assert bytes(await volume.read(target, 0, SIZE)) == content


async def test_a_folder_is_not_tried_file_by_file_without_a_session(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "large").write_bytes(os.urandom(SIZE))
    async with cut_copy(tmp_path) as copy:
        with pytest.raises(NetworkFailed, match="ended the session") as failed:
            await copy.run(tmp_path / "source", resume=False, recursive=True)
        assert failed.value.exit_code is ExitCode.NETWORK
        assert copy.records == []


@pytest.mark.parametrize(
    "status", [Status.USER_SESSION_DELETED, Status.NETWORK_SESSION_EXPIRED, Status.NETWORK_NAME_DELETED]
)
async def test_a_connection_without_its_session_or_share_has_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: Status
) -> None:
    async def refuse(*_: object) -> bytes:
        raise SmbError(status)

    async with serve(tmp_path) as served, connect("127.0.0.1", served.port, USER, PASSWORD) as client:
        tree = await client.tree(SHARE)
        file = await tree.open_to_write("file")
        monkeypatch.setitem(ioctl._WITH_OPEN, Fsctl.GET_COMPRESSION, refuse)
        with pytest.raises(NetworkFailed):
            await file.fsctl(Fsctl.GET_COMPRESSION, b"", 2)
        assert client.connection.has_failed
