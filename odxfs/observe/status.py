"""What `odxfs status` and `odxfs tokens` are told, as plain values for JSON."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from odxfs.types import BLOCK_BYTES

if TYPE_CHECKING:
    from odxfs.offload import TokenInfo
    from odxfs.smb.server import SmbServer
    from odxfs.volume import Pool


def pool_as_json(pool: "Pool") -> dict[str, Any]:
    """Identity, health and numbers of an open pool."""
    return {
        "directory": str(pool.directory),
        "uuid": str(pool.uuid),
        "volumes": pool.volume_names,
        "failure": pool.failure,
        **asdict(pool.statistics()),
    }


def volumes_as_json(pool: "Pool") -> list[dict[str, Any]]:
    """The volumes of an open pool, by name; `quota_bytes` is None without a quota."""
    records = [pool.namespace.record_of(name) for name in pool.volume_names]
    return [
        {
            "name": record.name,
            "inodes": record.inodes,
            "allocated_bytes": pool.windows.allocated_blocks[record.id] * BLOCK_BYTES,
            "quota_bytes": record.quota_blocks * BLOCK_BYTES or None,
        }
        for record in records
    ]


def smb_as_json(server: "SmbServer") -> dict[str, Any]:
    """Who is connected."""
    return {
        "connections": len(server.connections),
        "sessions": len(server.sessions),
        "opens": len(server.registry),
        "users": sorted(
            {session.user.name for session in server.sessions.values() if session.user is not None}
        ),
    }


def token_as_json(token: "TokenInfo") -> dict[str, Any]:
    """One live token; lengths in bytes, times in seconds."""
    return asdict(token)
