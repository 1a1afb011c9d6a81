"""Two pools behind two servers in one process, the second of which has the first as its peer."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from odxfs.client.client import Client, connect
from odxfs.client.places import SmbPlace
from odxfs.offload import OffloadParty, OffloadPolicy, OffloadSettings, ReadCall, ReadResult, WriteCall
from odxfs.offload.rules import READ_INPUT_BYTES, READ_OUTPUT_BYTES, WRITE_INPUT_BYTES, WRITE_OUTPUT_BYTES
from odxfs.peers import Peer, PeerStore
from odxfs.smb.auth.users import UserStore
from odxfs.smb.settings import ServerSettings
from odxfs.volume import Inode
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


def party(
    served: Served, inode: Inode, *, locked: bool = False, strict: bool = True, policy: str = "pin"
) -> OffloadParty:
    """Somebody who may do everything with a file of `served`."""
    return OffloadParty(
        volume=served.volume,
        inode=inode,
        readable=True,
        writable=True,
        read_only=False,
        enabled=True,
        read_conflicts=lambda offset, length: False,
        write_conflicts=lambda offset, length: locked,
        owner="alice",
        client="127.0.0.1",
        settings=OffloadSettings(strict=strict),
        policy=OffloadPolicy.parse(policy),
    )


async def new_file(served: Served, name: str, size: int = 0) -> Inode:
    """An empty file of that size, held for ever."""
    inode = await served.volume.create(served.volume.root, name.encode(), 0o644, 0, 0)
    served.volume.hold(inode)
    await served.volume.truncate(inode, size)
    return inode


async def read_token(
    served: Served, inode: Inode, offset: int, length: int, policy: str = "pin"
) -> ReadResult:
    """OFFLOAD_READ on the server's engine."""
    call = ReadCall(READ_INPUT_BYTES, READ_OUTPUT_BYTES, READ_INPUT_BYTES, 0, offset, length)
    return await served.server.engine.offload_read(party(served, inode, policy=policy), call)


async def write_token(
    served: Served,
    inode: Inode,
    token: bytes,
    offset: int,
    length: int,
    transfer_offset: int = 0,
    *,
    strict: bool = True,
) -> int:
    """One OFFLOAD_WRITE on the server's engine; LengthWritten."""
    call = WriteCall(
        WRITE_INPUT_BYTES, WRITE_OUTPUT_BYTES, WRITE_INPUT_BYTES, offset, length, transfer_offset, token
    )
    return await served.server.engine.offload_write(party(served, inode, strict=strict), call)


async def write_whole_token(
    served: Served, inode: Inode, token: bytes, offset: int, length: int, transfer_offset: int = 0
) -> int:
    """OFFLOAD_WRITE again and again, as clients do, until all is written or the file or the token ends; bytes in all."""
    written = 0
    while written < length and offset + written < inode.size:
        written += await write_token(
            served, inode, token, offset + written, length - written, transfer_offset + written
        )
    return written


async def content(served: Served, inode: Inode) -> bytes:
    """The whole file."""
    return bytes(await served.volume.read(inode, 0, inode.size))
