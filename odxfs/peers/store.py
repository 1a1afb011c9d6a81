"""The peers of a pool in one JSON file, DIR/peers.json.

The file holds passwords, since a client needs them whole; hence mode 0600, and hence nothing here logs them. A password is that
of an account that can read tokens and nothing else.
"""

from pathlib import Path
from typing import Any
from uuid import UUID

from odxfs.errors import ExitCode, UserError
from odxfs.peers.peer import Peer
from odxfs.record_file import RecordFile

PEERS_FILE = "peers.json"
FORMAT_VERSION = 1
MAX_NAME_CHARACTERS = 64
MAX_PORT = 65535


class PeerStore:
    """Every reading call first looks whether the file has changed. Names are compared without case."""

    def __init__(self, directory: Path) -> None:
        self._file = RecordFile(directory / PEERS_FILE, self._load, self._dump)
        self._peers: dict[str, Peer] = {}

    def list(self) -> list[Peer]:
        """All peers, by name. Raises UserError(CONFIG) when the file is damaged."""
        self._file.refresh()
        return sorted(self._peers.values(), key=lambda peer: peer.name.casefold())

    def of_pool(self, pool: UUID) -> Peer | None:
        """The peer that serves that pool. Raises UserError(CONFIG) when the file is damaged."""
        self._file.refresh()
        return next((peer for peer in self._peers.values() if peer.pool == pool), None)

    def check(self, peer: Peer) -> None:
        """Raise UserError for what cannot be added: USAGE for wrong values, EXISTS for a name or a pool that is known."""
        name = peer.name
        if not name.isprintable() or name.strip() != name or not 1 <= len(name) <= MAX_NAME_CHARACTERS:
            raise UserError(f"{name!r} cannot be the name of a peer")
        if not peer.address or not 0 < peer.port <= MAX_PORT:
            raise UserError(f"{peer.endpoint!r} is no address and port")
        self._file.refresh()
        if name.casefold() in self._peers:
            raise UserError(f"there is a peer {name!r} already", ExitCode.EXISTS)
        other = self.of_pool(peer.pool)
        if other is not None:
            raise UserError(f"peer {other.name!r} serves the pool {peer.pool} already", ExitCode.EXISTS)

    def add(self, peer: Peer) -> None:
        """Add a peer; raises what `check` does."""
        with self._file.changing():
            self.check(peer)
            self._peers[peer.name.casefold()] = peer

    def delete(self, name: str) -> None:
        """Forget a peer. Raises UserError(NOT_FOUND)."""
        with self._file.changing():
            if self._peers.pop(name.casefold(), None) is None:
                raise UserError(f"there is no peer {name!r}", ExitCode.NOT_FOUND)

    def _load(self, content: dict[str, Any] | None) -> None:
        peers: list[Peer] = []
        if content is not None:
            self._file.require_format(content, FORMAT_VERSION)
            peers = [_from_json(entry) for entry in content["peers"]]
        self._peers = {peer.name.casefold(): peer for peer in peers}

    def _dump(self) -> dict[str, Any]:
        return {"version": FORMAT_VERSION, "peers": [_as_json(peer) for peer in self._peers.values()]}


def _as_json(peer: Peer) -> dict[str, Any]:
    return {
        "name": peer.name,
        "address": peer.address,
        "port": peer.port,
        "user": peer.user,
        "password": peer.password,
        "pool": str(peer.pool),
    }


def _from_json(entry: dict[str, Any]) -> Peer:
    return Peer(
        str(entry["name"]),
        str(entry["address"]),
        int(entry["port"]),
        str(entry["user"]),
        str(entry["password"]),
        UUID(entry["pool"]),
    )
