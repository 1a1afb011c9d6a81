"""Two pools behind two servers in one process, the second of which has the first as its peer."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from odxfs.client.client import Client, connect
from odxfs.client.places import SmbPlace
from odxfs.peers import Peer, PeerStore
from odxfs.smb.auth.users import UserStore
from odxfs.smb.settings import ServerSettings
from tests.support.serving import PASSWORD, SHARE, USER, Served, serve

MACHINE = "b$"
MACHINE_PASSWORD = "of the machine"


@dataclass(frozen=True, slots=True)
class Pair:
    """`source` makes tokens, `destination` fetches; `clients` are alice on each."""

    source: Served
    destination: Served
    source_client: Client
    destination_client: Client
    peer: Peer
    peers: PeerStore

    async def source_place(self, path: str) -> SmbPlace:
        return SmbPlace(await self.source_client.tree(SHARE), path)

    async def destination_place(self, path: str) -> SmbPlace:
        return SmbPlace(await self.destination_client.tree(SHARE), path)

    def configure(self, **changes: object) -> None:
        """Another configuration of the peer."""
        self.peers.delete(self.peer.name)
        self.peers.add(replace(self.peer, **changes))  # type: ignore[arg-type]


@asynccontextmanager
async def serve_pair(folder: Path, settings: ServerSettings | None = None) -> AsyncIterator[Pair]:
    """Both servers until the block ends; the peer is configured."""
    async with (
        serve(folder / "a", settings) as source,
        serve(folder / "b", settings) as destination,
        connect("127.0.0.1", source.port, USER, PASSWORD) as source_client,
        connect("127.0.0.1", destination.port, USER, PASSWORD) as destination_client,
    ):
        UserStore(folder / "a").add(MACHINE, MACHINE_PASSWORD, 65534, 65534, peer=True)
        peer = Peer("a", "127.0.0.1", source.port, MACHINE, MACHINE_PASSWORD, source.pool.uuid)
        peers = PeerStore(folder / "b")
        peers.add(peer)
        yield Pair(source, destination, source_client, destination_client, peer, peers)
