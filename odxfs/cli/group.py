"""Groups of the users who may log in over SMB.

An access list may name a group by its SID; on files without one a group counts by its gid, like a group of this machine.
Groups are the SVM's own and are kept in DIR/groups.json, or DIR/svms/NAME/groups.json.
A running server notices changes by itself: they count from a user's next login.
"""

import argparse
from typing import TYPE_CHECKING, Any

from odxfs.cli.configurations import add_svm_option, state_of_svm
from odxfs.cli.output import add_json_option, print_json, print_table, say
from odxfs.cli.pools import add_directory, require_pool

if TYPE_CHECKING:
    from odxfs.smb.auth.users import UserStore


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verbs."""
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    add = verbs.add_parser("add", help="add a group", description="Add a group without members.")
    _add_group_arguments(add)
    add.add_argument("--gid", type=int, required=True, help="the gid that members have on the volume")
    member = verbs.add_parser(
        "member", help="put a user into a group, or take one out", description="Change who is in a group."
    )
    _add_group_arguments(member)
    member.add_argument("user", metavar="USER", help="the user's name")
    member.add_argument("--remove", action="store_true", help="take the user out of the group")
    _add_group_arguments(verbs.add_parser("del", help="remove a group", description="Remove a group."))
    listing = verbs.add_parser("list", help="list the groups", description="List the groups.")
    add_directory(listing)
    add_svm_option(listing)
    add_json_option(listing)


def _add_group_arguments(parser: argparse.ArgumentParser) -> None:
    add_directory(parser)
    parser.add_argument("name", metavar="NAME", help="the group's name; compared without case")
    add_svm_option(parser)


def run(arguments: argparse.Namespace) -> int:
    """Do what the verb says."""
    from odxfs.smb.auth.users import UserStore

    store = UserStore(state_of_svm(require_pool(arguments.directory), arguments.svm, arguments.config))
    if arguments.verb == "list":
        _print_groups(_as_json(store), arguments)
    elif arguments.verb == "del":
        store.groups.delete(arguments.name)
        say(f"group {arguments.name} is removed")
    elif arguments.verb == "member":
        store.set_member(arguments.name, arguments.user, member=not arguments.remove)
        say(f"user {arguments.user} is {'out of' if arguments.remove else 'in'} group {arguments.name}")
    else:
        store.add_group(arguments.name, arguments.gid)
        say(f"group {arguments.name} is added")
    return 0


def _as_json(store: "UserStore") -> list[dict[str, Any]]:
    names = {user.sid: user.name for user in store.list()}
    return [
        {
            "name": group.name,
            "gid": group.gid,
            "sid": group.sid,
            "members": sorted(names.get(sid, sid) for sid in group.members),
        }
        for group in store.groups.list()
    ]


def _print_groups(groups: list[dict[str, Any]], arguments: argparse.Namespace) -> None:
    if arguments.json:
        print_json(groups)
    else:
        rows = [[group["name"], group["gid"], group["sid"], ", ".join(group["members"])] for group in groups]
        print_table(["group", "gid", "sid", "members"], rows)
