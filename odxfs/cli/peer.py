"""Peers: other odxfs servers, whose copy tokens may be written to this pool.

A copy from a peer's share to one of this pool's is then done by token: this server fetches the bytes from the peer itself. The
peer must have an account for it ('odxfs user add --peer' there). 'odxfs help peers' says more.
A running server notices changes by itself.
"""

import argparse
from typing import TYPE_CHECKING, Any
from uuid import UUID

from odxfs.cli.output import add_json_option, print_json, print_table, say
from odxfs.cli.passwords import add_password_option, read_password
from odxfs.cli.pools import add_directory, require_pool
from odxfs.client.url import is_host, is_unicode
from odxfs.errors import ExitCode, UserError
from odxfs.pool_file import read_pool_uuid

if TYPE_CHECKING:
    from odxfs.peers import Peer

DEFAULT_PORT = 445


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verbs."""
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    add = verbs.add_parser(
        "add", help="add a peer", description="Add a peer: log on to it and learn which pool it serves."
    )
    _add_peer_arguments(add)
    add.add_argument(
        "address", metavar="ADDRESS[:PORT]", help=f"where it listens (default port {DEFAULT_PORT})"
    )
    add.add_argument("--user", required=True, metavar="USER", help="the account on the peer")
    add_password_option(add)
    add.add_argument(
        "--no-check",
        metavar="UUID",
        type=_uuid,
        help="do not log on: the peer serves the pool with this uuid",
    )
    _add_peer_arguments(verbs.add_parser("del", help="remove a peer", description="Remove a peer."))
    listing = verbs.add_parser("list", help="list the peers", description="List the peers.")
    add_directory(listing)
    add_json_option(listing)


def _add_peer_arguments(parser: argparse.ArgumentParser) -> None:
    add_directory(parser)
    parser.add_argument("name", metavar="NAME", help="what to call the peer; compared without case")


def run(arguments: argparse.Namespace) -> int:
    """Do what the verb says."""
    from odxfs.peers import PeerStore

    directory = require_pool(arguments.directory)
    store = PeerStore(directory)
    if arguments.verb == "list":
        _print_peers([_as_json(peer) for peer in store.list()], arguments)
    elif arguments.verb == "del":
        store.delete(arguments.name)
        say(f"peer {arguments.name} is removed")
    else:
        peer = _new_peer(arguments)
        if peer.pool == read_pool_uuid(directory):
            raise UserError(f"{peer.endpoint} serves this very pool", ExitCode.EXISTS)
        store.add(peer)
        say(f"peer {peer.name} is added: pool {peer.pool}")
    return 0


def _new_peer(arguments: argparse.Namespace) -> "Peer":
    """The peer as told, and which pool it serves as it says itself. Raises UserError."""
    from odxfs.peers import Peer

    address, port = _endpoint(arguments.address)
    if not is_unicode(arguments.user):
        raise UserError(f"{arguments.user}: a user's name is UTF-8")
    password = read_password(arguments, f"{arguments.user} on {arguments.address}")
    pool = arguments.no_check or _ask(address, port, arguments.user, password)
    return Peer(arguments.name, address, port, arguments.user, password, pool)


def _ask(address: str, port: int, user: str, password: str) -> UUID:
    import trio

    from odxfs.peers import probe_peer

    return trio.run(probe_peer, address, port, user, password)


def _endpoint(text: str) -> tuple[str, int]:
    """ADDRESS[:PORT], an IPv6 address with a port in brackets. Raises UserError."""
    from odxfs.peers.store import MAX_PORT

    address, port = text, ""
    if text.startswith("["):
        address, _, port = text[1:].partition("]")
        port = port.removeprefix(":")
    elif text.count(":") == 1:
        address, _, port = text.partition(":")
    port = port or str(DEFAULT_PORT)
    is_port = port.isascii() and port.isdecimal() and 0 < int(port) <= MAX_PORT
    if not address or not is_host(address) or not is_port:
        raise UserError(f"{text!r} is not ADDRESS or ADDRESS:PORT")
    return address, int(port)


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no uuid") from None


def _as_json(peer: "Peer") -> dict[str, Any]:
    """A peer without the password."""
    return {
        "name": peer.name,
        "address": peer.address,
        "port": peer.port,
        "user": peer.user,
        "pool": str(peer.pool),
    }


def _print_peers(peers: list[dict[str, Any]], arguments: argparse.Namespace) -> None:
    if arguments.json:
        print_json(peers)
    else:
        print_table(["peer", "address", "port", "user", "pool"], [list(peer.values()) for peer in peers])
