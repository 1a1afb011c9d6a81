"""smbprotocol: random writes and reads of a disk through opens with oplocks, leases and durable handles, let go now and then.

smbprotocol knows no breaks: it holds one open at a time, and what breaks is an open whose connection is lost.
"""

import uuid
from collections.abc import Generator
from typing import Any

from place import CELL_BYTES, MEBIBYTE, PASSWORD, SHARE, USER, Place, Turns
from smbprotocol import create_contexts as contexts
from smbprotocol.connection import Connection
from smbprotocol.open import (
    CreateDisposition,
    CreateOptions,
    FilePipePrinterAccessMask,
    ImpersonationLevel,
    Open,
    RequestedOplockLevel,
    ShareAccess,
)
from smbprotocol.session import Session
from smbprotocol.structure import Structure
from smbprotocol.tree import TreeConnect

DISKS, DISK_BYTES = 2, 32 * MEBIBYTE
OPENS_PER_CONNECTION, OPERATIONS_PER_OPEN = 3, 40
MOST_CELLS = 512
WAYS = ("plain", "oplock", "lease", "durable", "durable 2")
LEASED = contexts.LeaseState.SMB2_LEASE_READ_CACHING | contexts.LeaseState.SMB2_LEASE_HANDLE_CACHING


def turns(place: Place) -> Turns:
    """One connection after another, a few opens on each."""
    while True:
        connection = Connection(uuid.uuid4(), "127.0.0.1", place.port)
        connection.connect(timeout=30)
        session = Session(connection, USER, PASSWORD, require_encryption=place.choice.random() < 0.3)
        session.connect()
        tree = TreeConnect(session, rf"\\127.0.0.1\{SHARE}")
        tree.connect()
        for _ in range(OPENS_PER_CONNECTION - 1):
            file = yield from _use_disk(place, tree)
            file.close()
        file = yield from _use_disk(place, tree)
        if place.choice.random() < 0.5:  # else the server closes it with the connection, or parks it
            file.close()
        if place.choice.random() < 0.5:
            session.disconnect()
        connection.disconnect(close=False)


def _use_disk(place: Place, tree: TreeConnect) -> Generator[None, None, Open]:
    name = f"disk-{place.choice.randrange(DISKS)}"
    ledger = place.ledger(name, DISK_BYTES)
    file = _open(tree, rf"{place.client}\{name}", place.choice.choice(WAYS))
    for _ in range(OPERATIONS_PER_OPEN):
        first, count = place.pick(ledger, MOST_CELLS)
        if place.choice.random() < 0.5:
            file.write(ledger.intend(first, count), first * CELL_BYTES)
            ledger.acknowledge(first, count)
            place.count(written=count * CELL_BYTES)
        elif first * CELL_BYTES < file.end_of_file:
            data = file.read(first * CELL_BYTES, count * CELL_BYTES)
            ledger.check(first, data, name)
            place.count(verified=len(data))
        yield
    if place.choice.random() < 0.2:
        file.flush()
    return file


def _open(tree: TreeConnect, path: str, way: str) -> Open:
    file = Open(tree, path)
    asked: list[Any] = []
    oplock = RequestedOplockLevel.SMB2_OPLOCK_LEVEL_NONE
    if way in {"oplock", "durable", "durable 2"}:
        oplock = RequestedOplockLevel.SMB2_OPLOCK_LEVEL_BATCH
    if way == "durable":
        asked.append(_context(contexts.SMB2CreateDurableHandleRequest()))
    if way == "durable 2":
        wanted = contexts.SMB2CreateDurableHandleRequestV2()
        wanted["create_guid"] = uuid.uuid4()
        wanted["timeout"] = 20_000
        asked.append(_context(wanted))
    if way == "lease":
        oplock = RequestedOplockLevel.SMB2_OPLOCK_LEVEL_LEASE
        lease = contexts.SMB2CreateRequestLease()
        lease["lease_key"] = uuid.uuid4().bytes
        lease["lease_state"] = LEASED
        asked.append(_context(lease))
    file.create(
        ImpersonationLevel.Impersonation,
        FilePipePrinterAccessMask.GENERIC_READ | FilePipePrinterAccessMask.GENERIC_WRITE,
        0,
        ShareAccess.FILE_SHARE_READ | ShareAccess.FILE_SHARE_WRITE | ShareAccess.FILE_SHARE_DELETE,
        CreateDisposition.FILE_OPEN_IF,
        CreateOptions.FILE_NON_DIRECTORY_FILE,
        create_contexts=asked or None,
        oplock_level=oplock,
    )
    return file


def _context(data: Structure) -> contexts.SMB2CreateContextRequest:
    context = contexts.SMB2CreateContextRequest()
    context["buffer_name"] = data.NAME
    context["buffer_data"] = data
    return context
