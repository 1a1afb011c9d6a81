"""The servers that a copy has to do with: logged on to when they are needed first, and again when a connection is lost."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import trio

from odxfs.client.client import Client, connect
from odxfs.client.connection import Connection
from odxfs.client.local import LocalPlace
from odxfs.client.nursery import open_nursery
from odxfs.client.place import Place
from odxfs.client.places import SmbPlace
from odxfs.client.url import Location, SmbUrl

Passwords = Callable[[SmbUrl], str]
"""The password of a URL's user on its server."""


class Servers:
    """Hands out places. Each logon lives in a task of its own, so that it may begin and end at any time."""

    def __init__(self, nursery: trio.Nursery, passwords: Passwords) -> None:
        self._nursery = nursery
        self._passwords = passwords
        self._clients: dict[tuple[str, int, str], Client] = {}
        self._urls: dict[Connection, SmbUrl] = {}
        self._logging_on = trio.Lock()
        self._over = trio.Event()

    async def place(self, location: Location) -> Place:
        """Where the location is. Raises NetworkFailed, LogonFailed, RequestRefused."""
        if not isinstance(location, SmbUrl):
            return LocalPlace(location)
        client = await self._client(location)
        return SmbPlace(await client.tree(location.share), location.path)

    async def renew(self, place: Place) -> Place:
        """The same place over a connection that works. Raises NetworkFailed, LogonFailed, RequestRefused."""
        if not isinstance(place, SmbPlace) or not place.connection.has_failed:
            return place
        client = await self._client(self._urls[place.connection])
        return replace(place, tree=await client.tree(place.tree.share))

    @property
    def connections(self) -> list[Connection]:
        """All that there ever were; their counters stay."""
        return list(self._urls)

    def release(self) -> None:
        """Log off everywhere."""
        self._over.set()

    async def _client(self, url: SmbUrl) -> Client:
        key = url.host.casefold(), url.port, url.user
        async with self._logging_on:
            client = self._clients.get(key)
            if client is None or client.connection.has_failed:
                client = await self._nursery.start(self._hold, url)
                self._clients[key] = client
                self._urls[client.connection] = url
        return client

    async def _hold(self, url: SmbUrl, task_status: trio.TaskStatus[Client]) -> None:
        """Keep one logon. It outlives a cancelled copy, which may still have to remove what it made."""
        async with connect(url.host, url.port, url.user, self._passwords(url)) as client:
            task_status.started(client)
            if trio.lowlevel.current_task().parent_nursery is not self._nursery:
                return  # who asked was cancelled meanwhile: nobody has the logon, and nobody would end it
            with trio.CancelScope(shield=True):
                await self._over.wait()


@asynccontextmanager
async def open_servers(passwords: Passwords) -> AsyncIterator[Servers]:
    """Log off from all servers on leaving."""
    async with open_nursery() as nursery:
        servers = Servers(nursery, passwords)
        try:
            yield servers
        finally:
            servers.release()
