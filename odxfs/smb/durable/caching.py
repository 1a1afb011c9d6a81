"""Oplocks and leases of persistent opens, as the catalog keeps them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from odxfs.opens.caching import ALL
from odxfs.smb.caching.leases import Lease
from odxfs.smb.caching.oplocks import Oplock

if TYPE_CHECKING:
    from odxfs.opens import Grant
    from odxfs.smb.opens import SmbOpen
    from odxfs.smb.server import SmbServer


def describe_caching(grant: Grant | None) -> dict[str, Any]:
    """What an open may cache, in values of JSON; empty for nothing. A break that is under way is not part of it."""
    if grant is None:
        return {}
    if not isinstance(grant.holder, Lease):
        return {"oplock": grant.state} if grant.state else {}
    lease = grant.holder
    return {
        "lease": lease.key.hex(),
        "state": grant.state,
        "epoch": lease.epoch,
        "v2": lease.is_v2,
        "parent": lease.parent_key.hex() if lease.parent_key is not None else None,
    }


def restore_caching(server: SmbServer, opened: SmbOpen, caching: dict[str, Any]) -> bool:
    """Give an open that was made again what it could cache; False where that is not to be understood."""
    assert opened.entry is not None, "it has just been made"
    try:
        if "oplock" in caching:
            oplock = Oplock(opened, server.breaks)
            server.opens.grant_oplock(opened.entry, int(caching["oplock"]) & ALL, oplock)
        elif caching:
            _restore_lease(server, opened, caching)
    except (KeyError, TypeError, ValueError):
        return False
    return True


def _restore_lease(server: SmbServer, opened: SmbOpen, caching: dict[str, Any]) -> None:
    assert opened.durability is not None, "a persistent open has one"
    assert opened.entry is not None, "it has just been made"
    client, key = opened.durability.client_guid, bytes.fromhex(caching["lease"])
    parent, state, epoch = caching["parent"], int(caching["state"]) & ALL, int(caching["epoch"])
    lease = server.leases.find(client, key) or server.leases.add(
        client,
        key,
        opened.inode.number,
        is_v2=bool(caching["v2"]),
        epoch=epoch,
        parent_key=None if parent is None else bytes.fromhex(parent),
    )
    if lease is not None and lease.grant.number == opened.inode.number:
        server.opens.grant_lease(opened.entry, lease.grant, state)
