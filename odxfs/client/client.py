"""Logging on to a server: `async with connect(...) as client`, then `client.tree(share)`."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from odxfs.client.connection import Connection, open_connection
from odxfs.client.errors import NetworkFailed
from odxfs.client.session import Session, open_session
from odxfs.client.tree import Tree, connect_tree
from odxfs.errors import ProtocolError
from odxfs.wire.client_connection import ClientOffer
from odxfs.wire.negotiation import PREFERRED_SIGNING, SERVED_DIALECTS


class Client:
    """One user on one server."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._trees: dict[str, Tree] = {}

    @property
    def connection(self) -> Connection:
        """The TCP connection, which counts the wire's bytes."""
        return self.session.connection

    async def tree(self, share: str) -> Tree:
        """The share, connected once; names of shares know no case. Raises RequestRefused."""
        key = share.casefold()
        if key not in self._trees:
            self._trees[key] = await connect_tree(self.session, share)
        return self._trees[key]


@asynccontextmanager
async def connect(
    host: str,
    port: int,
    user: str,
    password: str,
    *,
    dialects: tuple[int, ...] = SERVED_DIALECTS,
    signing_algorithms: tuple[int, ...] = PREFERRED_SIGNING,
    encrypt: bool = False,
) -> AsyncIterator[Client]:
    """Connect, negotiate the best of `dialects` and log on. Leaving logs off and closes the connection.

    Raises NetworkFailed or LogonFailed. Every message is signed, or sealed with `encrypt`.
    """
    offer = ClientOffer(os.urandom(16), dialects=dialects, signing_algorithms=signing_algorithms)
    try:
        async with (
            open_connection(host, port, offer) as connection,
            open_session(connection, user, password, encrypt=encrypt) as session,
        ):
            yield Client(session)
    except ProtocolError as error:
        raise NetworkFailed(f"{host}:{port} breaks the protocol: {error}") from error
