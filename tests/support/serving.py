"""A fresh pool behind a real server on a loopback port, for the tests that talk to one."""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import trio

from odxfs.offload import ForeignTokens, OffloadEngine, TokenLimits, TokenRegistry
from odxfs.opens import OpenTable
from odxfs.peers import Fetcher, PeerStore
from odxfs.smb.auth.users import UserStore
from odxfs.smb.server import SmbServer
from odxfs.smb.settings import ServerSettings
from odxfs.smb.shares import Share, ShareStore
from odxfs.volume import Pool, Volume, create_pool, open_pool
from odxfs.volume.blocks.files import Files

USER = "alice"
PASSWORD = "correct horse"
OTHER_USER = "bob"
OTHER_PASSWORD = "battery staple"
SHARE = "vol"


@dataclass(frozen=True, slots=True)
class Served:
    """A running server. `volume` is a second way in, past SMB; `port` is on 127.0.0.1 unless another address was given."""

    server: SmbServer
    pool: Pool
    volume: Volume
    port: int


@asynccontextmanager
async def serve(
    directory: Path,
    settings: ServerSettings | None = None,
    shares: Sequence[Share] = (),
    *,
    uid: int = 0,
    port: int = 0,
    address: str = "127.0.0.1",
    files: Files | None = None,
) -> AsyncIterator[Served]:
    """Serve a pool in `directory` (made when it is empty) until the block ends.

    Without `settings` the server is as it comes, but does not wait after a failed login.
    `files` may be a disk that fails (`tests.support.failing`).
    `alice` acts as `uid`, `bob` as 1001. The share `vol` is the whole volume `main`.
    """
    if not (directory / "pool.json").exists():
        create_pool(directory)
        users = UserStore(directory)
        users.add(USER, PASSWORD, uid, uid)
        users.add(OTHER_USER, OTHER_PASSWORD, 1001, 1001)
        store = ShareStore(directory)
        for share in (Share(SHARE), *shares):
            store.add(share)
    async with open_pool(directory, owner="tests", files=files) as pool, trio.open_nursery() as nursery:
        fetcher = Fetcher(PeerStore(directory), time.monotonic)
        await nursery.start(fetcher.run)
        server = make_server(directory, pool, settings or ServerSettings(failed_login_seconds=0.0), fetcher)
        _, port = await nursery.start(server.serve, address, port)
        yield Served(server, pool, pool.volume("main"), port)
        nursery.cancel_scope.cancel()


def make_server(
    directory: Path, pool: Pool, settings: ServerSettings, foreign: ForeignTokens | None = None
) -> SmbServer:
    """A server over `pool` with all that belongs to it, not yet listening."""
    registry = TokenRegistry.of_pool(pool, TokenLimits())
    return SmbServer(
        pool,
        opens=OpenTable(),
        engine=OffloadEngine(registry, time.monotonic, foreign=foreign),
        users=UserStore(directory),
        shares=ShareStore(directory),
        settings=settings,
    )
