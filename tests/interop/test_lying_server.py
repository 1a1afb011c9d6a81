"""Servers that say what cannot be, or give less than is usual: nothing wrong is written, and nothing waits for ever."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio

from odxfs.client.client import Client, connect
from odxfs.client.copy import copy_file
from odxfs.client.errors import NetworkFailed
from odxfs.client.local import LocalPlace
from odxfs.client.metadata import Lost
from odxfs.client.places import SmbPlace
from odxfs.client.plain import PIECE_BYTES
from odxfs.client.plan import Wish
from odxfs.errors import ProtocolError
from odxfs.smb.dispatch import ROUTES, Route
from odxfs.smb.request import RequestContext
from odxfs.wire.credits import SequenceWindow
from odxfs.wire.fscc.classes import FileInformationClass
from odxfs.wire.fscc.ea import ExtendedAttribute, pack_full_ea
from odxfs.wire.header import Command
from odxfs.wire.query_info import QueryInfoRequest, QueryInfoResponse
from odxfs.wire.read import ReadResponse
from odxfs.wire.write import WriteResponse
from tests.support.serving import PASSWORD, SHARE, USER, Served, serve

SIZE = 3000


@asynccontextmanager
async def logged_on(folder: Path) -> AsyncIterator[tuple[Served, Client]]:
    """A server with a file of SIZE bytes."""
    async with serve(folder) as served, connect("127.0.0.1", served.port, USER, PASSWORD) as client:
        inode = await served.volume.create(served.volume.root, b"file", 0o644, 0, 0)
        await served.volume.write(inode, 0, b"a" * SIZE)
        yield served, client


def lie(monkeypatch: pytest.MonkeyPatch, command: Command, change: Callable[[Any], Any]) -> None:
    """Make servers of this process answer the command with what `change` makes of the true answer."""
    handler = ROUTES[command].handler

    async def answer(context: RequestContext) -> Any:
        return change(await handler(context))

    monkeypatch.setitem(ROUTES, command, Route(answer))


async def test_more_bytes_than_were_asked_for_are_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lengthen(answer: ReadResponse) -> ReadResponse:
        return ReadResponse(bytes(answer.data) + b"intruder")

    async with logged_on(tmp_path / "pool") as (_, client):
        source = SmbPlace(await client.tree(SHARE), "file")
        lie(monkeypatch, Command.READ, lengthen)
        with pytest.raises(ProtocolError, match="a read of 3000 bytes"):
            await copy_file(source, LocalPlace(tmp_path / "copy"), Wish.OFF)
    assert not (tmp_path / "copy").exists()


async def test_more_bytes_than_were_sent_are_not_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "source").write_bytes(b"a" * SIZE)
    async with logged_on(tmp_path / "pool") as (_, client):
        target = SmbPlace(await client.tree(SHARE), "copy")
        lie(monkeypatch, Command.WRITE, lambda answer: WriteResponse(answer.written + 1))
        with pytest.raises(ProtocolError, match="a write of 3000 bytes"):
            await copy_file(LocalPlace(tmp_path / "source"), target, Wish.OFF)


async def test_an_end_of_file_below_zero_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with logged_on(tmp_path / "pool") as (_, client):
        source = SmbPlace(await client.tree(SHARE), "file")
        lie(monkeypatch, Command.CREATE, lambda answer: replace(answer, end_of_file=-1))
        with pytest.raises(ProtocolError, match="an end of file at -1"):
            await copy_file(source, LocalPlace(tmp_path / "copy"), Wish.OFF)
    assert not (tmp_path / "copy").exists()


@pytest.mark.parametrize("ceiling", [1, 8])
async def test_a_server_that_grants_few_credits_is_asked_for_little(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ceiling: int
) -> None:
    grant = SequenceWindow.grant
    monkeypatch.setattr(
        SequenceWindow,
        "grant",
        lambda window, wanted: grant(window, min(wanted, ceiling - window.available)),
    )
    content = os.urandom(3 * PIECE_BYTES + 1)
    (tmp_path / "source").write_bytes(content)
    async with logged_on(tmp_path / "pool") as (_, client):
        place = SmbPlace(await client.tree(SHARE), "copy")
        with trio.fail_after(60):
            await copy_file(LocalPlace(tmp_path / "source"), place, Wish.OFF)
            await copy_file(place, LocalPlace(tmp_path / "back"), Wish.OFF, verify=True)
    assert (tmp_path / "back").read_bytes() == content


async def test_a_server_that_grants_no_credits_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "source").write_bytes(os.urandom(PIECE_BYTES))
    async with logged_on(tmp_path / "pool") as (_, client):
        place = SmbPlace(await client.tree(SHARE), "copy")
        monkeypatch.setattr(SequenceWindow, "grant", lambda *_: 0)
        client.connection.wire.account.available = 4
        with trio.fail_after(60), pytest.raises(NetworkFailed, match="grants no credits"):
            await copy_file(LocalPlace(tmp_path / "source"), place, Wish.OFF)


def tell_attributes(monkeypatch: pytest.MonkeyPatch, *told: ExtendedAttribute) -> None:
    """Make servers of this process say that every file has these attributes."""
    handler = ROUTES[Command.QUERY_INFO].handler

    async def tell(context: RequestContext) -> Any:
        if QueryInfoRequest.unpack(context.pdu).file_info_class == FileInformationClass.FULL_EA:
            return QueryInfoResponse(pack_full_ea(told))
        return await handler(context)

    monkeypatch.setitem(ROUTES, Command.QUERY_INFO, Route(tell))


@pytest.mark.parametrize("name", [b"odxfs.write.0.0.512", b"DOSATTRIB", b"DosStream.x:$DATA"])
async def test_an_attribute_by_which_a_server_or_a_mount_acts_is_not_taken_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: bytes
) -> None:
    async with logged_on(tmp_path) as (_, client):
        file = await (await client.tree(SHARE)).open_to_copy("file")
        tell_attributes(monkeypatch, ExtendedAttribute(b"PLAIN", b"1"), ExtendedAttribute(name, b"2"))
        assert await file.attributes() == {b"PLAIN": b"1"}


async def test_attributes_that_cannot_be_read_are_told_and_the_file_is_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with a name that is not ASCII, which Samba passes on as it is."""
    async with logged_on(tmp_path / "pool") as (_, client):
        source = SmbPlace(await client.tree(SHARE), "file")
        tell_attributes(monkeypatch, ExtendedAttribute("\u00fc".encode(), b"1"))
        result = await copy_file(source, LocalPlace(tmp_path / "copy"), Wish.OFF)
    assert Lost.EXTENDED_ATTRIBUTES in result.not_kept
    assert (tmp_path / "copy").read_bytes() == b"a" * SIZE
