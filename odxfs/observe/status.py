"""What `odxfs status` and `odxfs tokens` are told, as plain values for JSON."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

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


def total_of(servers: "Iterable[dict[str, Any]]") -> dict[str, Any]:
    """Who is connected to any of several servers."""
    parts = list(servers)
    counted = {key: sum(part[key] for part in parts) for key in ("connections", "sessions", "opens")}
    return counted | {"users": sorted({user for part in parts for user in part["users"]})}


def token_as_json(token: "TokenInfo") -> dict[str, Any]:
    """One live token; lengths in bytes, times in seconds."""
    return asdict(token)
