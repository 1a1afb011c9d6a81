"""Breaks on their way to clients whose networks fail: which connection they take, which are dropped, which must stay."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path

import pytest
import trio

from odxfs.ntstatus import Status
from odxfs.smb.caching import breaks
from odxfs.smb.connection import Connection
from odxfs.wire.echo import EchoRequest
from odxfs.wire.header import Command
from tests.server.test_caching import RH, RWH, Two, agree, lease_v1, leased, opening, told, two_clients
from tests.support.peer import Peer, connect, logged_in
from tests.support.serving import OTHER_PASSWORD, OTHER_USER, PASSWORD, SHARE, USER

GUID = b"one client, twice"[:16]
KEY = b"k" * 16
OTHER_KEY = b"o" * 16


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breaks, "CHANNEL_ROUNDS", 0.05)


class Networks:
    """Which connections' peers confirm nothing of what they are sent, and which confirm it byte by byte."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.failed: set[Connection] = set()
        self.slow: set[Connection] = set()
        confirmed_bytes, drops = Connection.confirmed_bytes, count()

        def confirmed(connection: Connection) -> int | None:
            if connection in self.slow:
                return next(drops) - 1_000_000
            return 0 if connection in self.failed else confirmed_bytes.__get__(connection)

        monkeypatch.setattr(Connection, "confirmed_bytes", property(confirmed))


@pytest.fixture
def networks(monkeypatch: pytest.MonkeyPatch) -> Networks:
    return Networks(monkeypatch)


@asynccontextmanager
async def _two_channels(two: Two) -> AsyncIterator[tuple[Peer, Peer, list[Connection]]]:
    """A client on two connections, and the server's ends of these."""
    async with (
        logged_in(two.served.port, USER, PASSWORD, SHARE, guid=GUID) as first,
        connect(two.served.port, guid=GUID) as second,
    ):
        await second.bind(first, USER, PASSWORD)
        yield first, second, list(two.served.server.sessions[first.session_id].channels)


async def test_a_break_takes_the_next_connection_where_the_first_brings_nothing(
    tmp_path: Path, networks: Networks
) -> None:
    """The first one is dropped: its client hears so as soon as it can, and no later break waits for it."""
    async with two_clients(tmp_path) as two, _two_channels(two) as (first, second, connections):
        networks.failed.add(connections[0])
        await first.open("file", **lease_v1(RWH))
        waiting = await two.second.send(Command.CREATE, opening("file"))
        assert await told(second) == await told(first)
        assert await first.closed_by_server()
        assert two.served.server.sessions[first.session_id].channels == connections[1:]
        assert await agree(second, RH) is Status.SUCCESS
        assert (await two.second.final(waiting)).header.status == Status.SUCCESS


async def test_the_last_connection_stays_for_as_long_as_an_answer_is_due(
    tmp_path: Path, networks: Networks
) -> None:
    async with two_clients(tmp_path) as two, _two_channels(two) as (first, second, connections):
        networks.failed.update(connections)
        await first.open("file", **lease_v1(RWH))
        waiting = await two.second.send(Command.CREATE, opening("file"))
        await told(first)
        await told(second)
        assert await first.closed_by_server()
        await trio.testing.wait_all_tasks_blocked(0.1)
        await second.call(Command.ECHO, EchoRequest())
        assert await agree(second, RH) is Status.SUCCESS
        assert (await two.second.final(waiting)).header.status == Status.SUCCESS


@pytest.mark.parametrize("reason", ["slow", "needed by another session"])
async def test_a_connection_that_is_alive_or_needed_stays(
    tmp_path: Path, networks: Networks, reason: str
) -> None:
    async with two_clients(tmp_path) as two, _two_channels(two) as (first, second, connections):
        if reason == "slow":
            networks.slow.add(connections[0])
        else:
            networks.failed.add(connections[0])
            owner = first.session_id
            await first.login(OTHER_USER, OTHER_PASSWORD)
            first.session_id = owner
        await first.open("file", **lease_v1(RWH))
        await two.second.send(Command.CREATE, opening("file"))
        await told(second)
        await told(first)
        await trio.testing.wait_all_tasks_blocked(0.1)
        assert not connections[0].is_ending
        await first.call(Command.ECHO, EchoRequest())


async def test_a_silent_client_ends_before_its_answer_is_due(
    tmp_path: Path, networks: Networks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who waits for it gets what is free then, and so does everybody who wants something else that it has."""
    monkeypatch.setattr(breaks, "SILENT_SECONDS", 0.05)
    async with two_clients(tmp_path) as two:
        (session,) = (each for each in two.served.server.sessions.values() if each.id == two.first.session_id)
        for name, key in (("file", KEY), ("another", OTHER_KEY)):
            await two.first.create(name, **lease_v1(RWH, key))
        networks.failed.add(session.connection)
        assert leased(await two.second.create("file", **lease_v1(RWH, KEY))).lease_state == RWH
        assert leased(await two.second.create("another", **lease_v1(RWH, OTHER_KEY))).lease_state == RWH
        assert await told(two.first)
        assert await two.first.closed_by_server()


async def test_a_client_that_only_thinks_about_it_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breaks, "SILENT_SECONDS", 0.02)
    async with two_clients(tmp_path) as two:
        held = await two.first.open("file", **lease_v1(RWH))
        waiting = await two.second.send(Command.CREATE, opening("file"))
        await told(two.first)
        await trio.testing.wait_all_tasks_blocked(0.1)
        await two.first.write(held, 0, b"what was cached")
        assert await agree(two.first, RH) is Status.SUCCESS
        assert (await two.second.final(waiting)).header.status == Status.SUCCESS
