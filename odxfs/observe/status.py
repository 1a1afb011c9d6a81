"""What `odxfs status` and `odxfs tokens` are told, as plain values for JSON."""

from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from odxfs.wire.negotiate import Dialect

if TYPE_CHECKING:
    from collections.abc import Iterable

    from odxfs.offload import TokenInfo
    from odxfs.smb.server import SmbServer
    from odxfs.volume import Pool, Trouble


def pool_as_json(pool: "Pool") -> dict[str, Any]:
    """Identity, health and numbers of an open pool."""
    return {
        "directory": str(pool.directory),
        "uuid": str(pool.uuid),
        "volumes": pool.volume_names,
        "failure": pool.failure,
        "troubles": [trouble_as_json(trouble) for trouble in pool.condition.troubles()],
        **asdict(pool.statistics()),
    }


def trouble_as_json(trouble: "Trouble") -> dict[str, Any]:
    """One thing that is wrong with the disk, and what is to be done about it; times in nanoseconds since 1970."""
    return {
        "condition": trouble.condition.label,
        "error": trouble.error,
        "since_ns": trouble.since_ns,
        "last_ns": trouble.last_ns,
        "count": trouble.count,
        "advice": trouble.condition.advice,
    }


def smb_as_json(server: "SmbServer") -> dict[str, Any]:
    """Who is connected. Of the opens, `parked_opens` wait for clients whose connection is lost.

    `requests` says how those of all sessions so far came, by dialect: plain, signed or encrypted. Logins and logoffs are not
    counted.
    """
    return {
        "connections": len(server.connections),
        "sessions": len(server.sessions),
        "opens": len(server.registry),
        "parked_opens": len(server.durable),
        "users": sorted(
            {session.user.name for session in server.sessions.values() if session.user is not None}
        ),
        "requests": {
            _dialect_text(dialect): asdict(traffic) for dialect, traffic in sorted(server.traffic().items())
        },
    }


def total_of(servers: "Iterable[dict[str, Any]]") -> dict[str, Any]:
    """Who is connected to any of several servers."""
    parts = list(servers)
    keys = ("connections", "sessions", "opens", "parked_opens")
    counted = {key: sum(part[key] for part in parts) for key in keys}
    requests: dict[str, Counter[str]] = {}
    for part in parts:
        for dialect, traffic in part["requests"].items():
            requests.setdefault(dialect, Counter()).update(traffic)
    users = sorted({user for part in parts for user in part["users"]})
    return counted | {"users": users, "requests": {name: dict(each) for name, each in requests.items()}}


def _dialect_text(dialect: int) -> str:
    return Dialect(dialect).name.removeprefix("SMB_").replace("_", ".")


def token_as_json(token: "TokenInfo") -> dict[str, Any]:
    """One live token; lengths in bytes, times in seconds."""
    return asdict(token)
