"""A server process that is killed, and started again: its clients go on with the files they had open."""

import uuid
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
import trio

from odxfs.ntstatus import Status
from odxfs.wire.close import CloseRequest
from odxfs.wire.create import CreateDisposition, OplockLevel
from odxfs.wire.create_contexts import (
    DurableHandleFlags,
    DurableHandleReconnectV2,
    DurableHandleRequestV2,
    LeaseV2,
    find_create_context,
)
from odxfs.wire.file_id import FileId
from odxfs.wire.flush import FlushRequest
from odxfs.wire.header import Command
from odxfs.wire.lock import LockElement, LockFlags, LockRequest
from tests.peers.processes import PASSWORD, SHARE, USER, Server, odxfs_ok
from tests.support.peer import Peer, Refused, logged_in

LOCK_NOW = LockFlags.EXCLUSIVE_LOCK | LockFlags.FAIL_IMMEDIATELY
EVERYTHING = 7
PERSISTENT = DurableHandleFlags.PERSISTENT
GUIDS = [uuid.UUID(int=number).bytes for number in range(3)]
CLIENT = uuid.UUID(int=99).bytes


@asynccontextmanager
async def available(directory: Path) -> AsyncIterator[Server]:
    """A served pool whose share is continuously available; it must be sound at the end."""
    server = Server(directory / "pool")
    await server.make()
    await odxfs_ok("share", "set", server.directory, SHARE, "--continuously-available")
    await server.start()
    try:
        yield server
    finally:
        with trio.CancelScope(shield=True):
            await server.stop()


def session(server: Server) -> AbstractAsyncContextManager[Peer]:
    return logged_in(server.port, USER, PASSWORD, SHARE, guid=CLIENT)


async def open_persistent(peer: Peer, name: str, guid: bytes, options: int = 0) -> FileId:
    """Open with a lease of everything, whose key is `guid`, too."""
    wish = (DurableHandleRequestV2.NAME, DurableHandleRequestV2(0, PERSISTENT, guid).pack())
    lease = (LeaseV2.NAME, LeaseV2(guid, EVERYTHING, epoch=7).pack())
    fields = {"requested_oplock_level": OplockLevel.LEASE, "create_options": options}
    return await peer.open(name, share_access=0, create_contexts=(wish, lease), **fields)


async def reconnect(peer: Peer, name: str, fid: FileId, guid: bytes) -> FileId:
    """Come back; the lease must be as it was."""
    context = (DurableHandleReconnectV2.NAME, DurableHandleReconnectV2(fid, guid, PERSISTENT).pack())
    lease = (LeaseV2.NAME, LeaseV2(guid, 0).pack())
    found = await peer.create(name, CreateDisposition.OPEN, create_contexts=(context, lease))
    answer = LeaseV2.unpack(find_create_context(found.create_contexts, LeaseV2.NAME) or b"")
    assert (answer.lease_state, answer.epoch) == (EVERYTHING, 8)
    return found.file_id


async def parked(server: Server) -> int:
    """How many opens wait for their client."""
    status = (await odxfs_ok("status", server.directory, "--json")).json
    return int(status["smb_server"]["parked_opens"])


def lock_of(fid: FileId, flags: int) -> LockRequest:
    return LockRequest(fid, (LockElement(0, 10, flags),))


async def test_a_client_goes_on_after_kill_9(tmp_path: Path) -> None:
    async with available(tmp_path) as server:
        async with session(server) as peer:
            disk = await open_persistent(peer, "disk", GUIDS[0])
            await peer.write(disk, 0, b"durable data")
            await peer.call(Command.FLUSH, FlushRequest(disk))
            await peer.call(Command.LOCK, lock_of(disk, LOCK_NOW))
            closed = await open_persistent(peer, "closed", GUIDS[1])
            await peer.call(Command.CLOSE, CloseRequest(closed))
            doomed = await open_persistent(peer, "doomed", GUIDS[2], 0x1000)  # delete on close
            await server.kill()
        await server.start()
        async with session(server) as peer, session(server) as other:
            assert await parked(server) == 2
            with pytest.raises(Refused) as refused:
                await reconnect(peer, "closed", closed, GUIDS[1])
            assert refused.value.status is Status.OBJECT_NAME_NOT_FOUND
            await other.close(await other.open("closed"))
            again = await reconnect(peer, "disk", disk, GUIDS[0])
            assert await peer.read(again, 0, 12) == b"durable data"
            with pytest.raises(Refused) as refused:
                await peer.call(Command.LOCK, lock_of(again, LOCK_NOW))
            assert refused.value.status is Status.LOCK_NOT_GRANTED
            await peer.call(Command.LOCK, lock_of(again, LockFlags.UNLOCK))
            await peer.call(Command.CLOSE, CloseRequest(again))
            await other.close(await other.open("disk"))
            await peer.close(await reconnect(peer, "doomed", doomed, GUIDS[2]))
            with pytest.raises(Refused) as refused:
                await other.open("doomed", CreateDisposition.OPEN)
            assert refused.value.status is Status.OBJECT_NAME_NOT_FOUND
