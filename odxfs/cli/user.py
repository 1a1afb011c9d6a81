"""Users who may log in over SMB.

They are the SVM's own, not the machine's, and unknown to other SVMs. A user acts on the volume as the uid and gid given here
(default: your own). Passwords are kept as NT hashes in DIR/users.json, or DIR/svms/NAME/users.json, readable by its owner only.
An NT hash is as good as the password.
A running server notices changes by itself.
"""

import argparse
import os
from typing import TYPE_CHECKING, Any

from odxfs.cli.configurations import add_svm_option, state_of_svm
from odxfs.cli.output import add_json_option, print_json, print_table, say
from odxfs.cli.passwords import add_password_option, read_new_password
from odxfs.cli.pools import add_directory, require_pool
from odxfs.cli.withdrawing import end_withdrawn

if TYPE_CHECKING:
    from odxfs.smb.auth.users import User


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verbs."""
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    add = verbs.add_parser("add", help="add a user", description="Add a user; asks for a password.")
    _add_user_arguments(add)
    add_password_option(add)
    add.add_argument("--uid", type=int, default=os.getuid(), help="acts as this uid (default: yours)")
    add.add_argument("--gid", type=int, default=os.getgid(), help="acts as this gid (default: yours)")
    add.add_argument(
        "--peer", action="store_true", help="another server, which may read copy tokens and nothing else"
    )
    passwd = verbs.add_parser("passwd", help="change a password", description="Change a user's password.")
    _add_user_arguments(passwd)
    add_password_option(passwd)
    _add_user_arguments(
        verbs.add_parser("del", help="remove a user", description="Remove a user; his sessions end.")
    )
    listing = verbs.add_parser("list", help="list the users", description="List the users.")
    add_directory(listing)
    add_svm_option(listing)
    add_json_option(listing)


def _add_user_arguments(parser: argparse.ArgumentParser) -> None:
    add_directory(parser)
    parser.add_argument("name", metavar="NAME", help="the user's name; compared without case")
    add_svm_option(parser)


def run(arguments: argparse.Namespace) -> int:
    """Do what the verb says."""
    from odxfs.smb.auth.users import UserStore

    directory = require_pool(arguments.directory)
    store = UserStore(state_of_svm(directory, arguments.svm, arguments.config))
    if arguments.verb == "list":
        _print_users([_as_json(user) for user in store.list()], arguments)
    elif arguments.verb == "del":
        store.delete(arguments.name)
        say(f"user {arguments.name} is removed")
        end_withdrawn(directory)
    elif arguments.verb == "passwd":
        store.set_password(arguments.name, read_new_password(arguments, arguments.name))
        say(f"user {arguments.name} has a new password")
    else:
        password = read_new_password(arguments, arguments.name)
        store.add(arguments.name, password, arguments.uid, arguments.gid, peer=arguments.peer)
        say(f"{'peer' if arguments.peer else 'user'} {arguments.name} is added")
    return 0


def _as_json(user: "User") -> dict[str, Any]:
    """A user without the hash."""
    return {"name": user.name, "uid": user.uid, "gid": user.gid, "sid": user.sid, "peer": user.peer}


def _print_users(users: list[dict[str, Any]], arguments: argparse.Namespace) -> None:
    if arguments.json:
        print_json(users)
    else:
        print_table(["user", "uid", "gid", "sid", "peer"], [_row(user) for user in users])


def _row(user: dict[str, Any]) -> list[object]:
    return [*list(user.values())[:4], "yes" if user["peer"] else "no"]
