"""The peers of a pool in one JSON file, DIR/peers.json.

The file holds passwords, since a client needs them whole; hence mode 0600, and hence nothing here logs them. A password is that
of an account that can read tokens and nothing else.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

from odxfs.errors import ExitCode, UserError
from odxfs.peers.peer import Peer

PEERS_FILE = "peers.json"
FORMAT_VERSION = 1
MAX_NAME_CHARACTERS = 64
MAX_PORT = 65535


class PeerStore:
    """Every reading call first looks whether the file has changed. Names are compared without case."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._path = directory / PEERS_FILE
        self._stamp: tuple[int, int, int] | None = None
        self._peers: dict[str, Peer] = {}

    def list(self) -> list[Peer]:
        """All peers, by name. Raises UserError(CONFIG) when the file is damaged."""
        self._refresh()
        return sorted(self._peers.values(), key=lambda peer: peer.name.casefold())

    def of_pool(self, pool: UUID) -> Peer | None:
        """The peer that serves that pool. Raises UserError(CONFIG) when the file is damaged."""
        self._refresh()
        return next((peer for peer in self._peers.values() if peer.pool == pool), None)

    def check(self, peer: Peer) -> None:
        """Raise UserError for what cannot be added: USAGE for wrong values, EXISTS for a name or a pool that is known."""
        name = peer.name
        if not name.isprintable() or name.strip() != name or not 1 <= len(name) <= MAX_NAME_CHARACTERS:
            raise UserError(f"{name!r} cannot be the name of a peer")
        if not peer.address or not 0 < peer.port <= MAX_PORT:
            raise UserError(f"{peer.endpoint!r} is no address and port")
        self._refresh()
        if name.casefold() in self._peers:
            raise UserError(f"there is a peer {name!r} already", ExitCode.EXISTS)
        other = self.of_pool(peer.pool)
        if other is not None:
            raise UserError(f"peer {other.name!r} serves the pool {peer.pool} already", ExitCode.EXISTS)

    def add(self, peer: Peer) -> None:
        """Add a peer; raises what `check` does."""
        with self._changing():
            self.check(peer)
            self._peers[peer.name.casefold()] = peer

    def delete(self, name: str) -> None:
        """Forget a peer. Raises UserError(NOT_FOUND)."""
        with self._changing():
            if self._peers.pop(name.casefold(), None) is None:
                raise UserError(f"there is no peer {name!r}", ExitCode.NOT_FOUND)

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Change the file under a lock, so that two commands at a time do not undo each other."""
        descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            self._stamp = None
            self._refresh()
            yield
            self._write()
            os.fsync(descriptor)
        finally:
            self._stamp = None
            os.close(descriptor)

    def _write(self) -> None:
        content = {"version": FORMAT_VERSION, "peers": [_as_json(peer) for peer in self._peers.values()]}
        temporary = self._path.with_suffix(".new")
        temporary.unlink(missing_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:
            json.dump(content, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self._path)

    def _refresh(self) -> None:
        try:
            now = self._path.stat()
        except FileNotFoundError:
            self._stamp, self._peers = None, {}
            return
        stamp = (now.st_ino, now.st_mtime_ns, now.st_size)
        if stamp == self._stamp:
            return
        try:
            content = json.loads(self._path.read_text("utf-8"))
            if content["version"] != FORMAT_VERSION:
                raise UserError(
                    f"{self._path} has format {content['version']}, not {FORMAT_VERSION}", ExitCode.FORMAT
                )
            peers = [_from_json(entry) for entry in content["peers"]]
        except OSError as error:
            raise UserError(f"{self._path} cannot be read: {error.strerror}", ExitCode.CONFIG) from error
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{self._path} is damaged: {error}", ExitCode.CONFIG) from error
        self._peers = {peer.name.casefold(): peer for peer in peers}
        self._stamp = stamp


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
