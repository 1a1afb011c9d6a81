"""Shares: the names under which a pool's volume, or a folder of it, is served over SMB.

A running server notices changes by itself: a new share can be connected to at once, a removed one by nobody any more. Only a
mount that had no share listens nowhere yet: 'odxfs config reload' has it begin.
"""

import argparse
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from odxfs.cli.administering import find_volume
from odxfs.cli.configurations import add_svm_option, find_svm, known_configuration, state_of_svm
from odxfs.cli.output import add_json_option, print_json, print_table, say
from odxfs.cli.pools import add_directory, require_pool
from odxfs.cli.serving_options import DEFAULT_VOLUME
from odxfs.cli.withdrawing import end_withdrawn
from odxfs.errors import ExitCode, UserError

if TYPE_CHECKING:
    from odxfs.cli.configurations import Known
    from odxfs.configuration import SvmConfiguration
    from odxfs.smb.shares import Share, ShareStore


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verbs."""
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    add = verbs.add_parser("add", help="add a share", description="Add a share.")
    _add_share_arguments(add)
    add.add_argument(
        "--volume", metavar="NAME", help="the volume to serve (default: the SVM's first, or main)"
    )
    add.add_argument("--path", default="", metavar="FOLDER", help="serve only this folder of the volume")
    add.add_argument("--comment", default="", help="what clients show beside the name")
    add.add_argument("--read-only", action="store_true", help="let nobody write through this share")
    add.add_argument("--no-copy-offload", action="store_true", help="refuse copy offload on this share")
    _add_policy_option(add, default="pin")
    add.add_argument("--encrypt", action="store_true", help="serve only encrypted (SMB 3) sessions")
    add.add_argument(
        "--continuously-available",
        action="store_true",
        help="let clients keep files open over a restart of the server (persistent handles)",
    )
    add.add_argument(
        "--access-based-enumeration",
        action="store_true",
        help="leave out of listings what the user may not read",
    )
    change = verbs.add_parser(
        "set", help="change a share", description="Change a share; open sessions follow."
    )
    _add_share_arguments(change)
    change.add_argument(
        "--copy-offload",
        action=argparse.BooleanOptionalAction,
        help="serve or refuse copy offload on this share",
    )
    change.add_argument(
        "--continuously-available",
        action=argparse.BooleanOptionalAction,
        help="whether clients may keep files open over a restart of the server; for tree connects from here on",
    )
    change.add_argument(
        "--access-based-enumeration",
        action=argparse.BooleanOptionalAction,
        help="whether listings leave out what the user may not read; for tree connects from here on",
    )
    _add_policy_option(change)
    _add_share_arguments(
        verbs.add_parser(
            "del",
            help="remove a share",
            description="Remove a share; what clients have open on it is closed.",
        )
    )
    listing = verbs.add_parser("list", help="list the shares", description="List the shares.")
    add_directory(listing)
    add_svm_option(listing)
    add_json_option(listing)


def _add_share_arguments(parser: argparse.ArgumentParser) -> None:
    add_directory(parser)
    parser.add_argument("name", metavar="NAME", help="the share's name; compared without case")
    add_svm_option(parser)


def _add_policy_option(parser: argparse.ArgumentParser, default: str | None = None) -> None:
    parser.add_argument(
        "--offload-policy",
        metavar="POLICY",
        type=_policy,
        default=default,
        help="what becomes of tokens when their source changes, and faults for tests (see 'odxfs help offload-policies')",
    )


def _policy(text: str) -> str:
    from odxfs.offload_policy import OffloadPolicy

    OffloadPolicy.parse(text)
    return text


def run(arguments: argparse.Namespace) -> int:
    """Do what the verb says."""
    from odxfs.smb.shares import ShareStore

    directory = require_pool(arguments.directory)
    known = known_configuration(directory, arguments.config)
    svm = find_svm(known, arguments.svm)
    store = ShareStore(state_of_svm(directory, arguments.svm, arguments.config))
    if arguments.verb == "list":
        _print_shares([asdict(share) for share in _shares(svm, store)], arguments)
        return 0
    if svm.share:
        raise UserError(
            f"the shares of SVM {arguments.svm} are declared in {known.file}: change them there",
            ExitCode.REFUSED,
        )
    if arguments.verb == "del":
        store.delete(arguments.name)
        say(f"share {arguments.name} is removed")
        end_withdrawn(directory)
    elif arguments.verb == "set":
        store.change(arguments.name, _changed(arguments))
        say(f"share {arguments.name} is changed")
    else:
        share = _new_share(arguments, known, svm)
        find_volume(directory, share.volume)
        store.add(share)
        say(f"share {arguments.name} is added")
        if known.is_served and arguments.svm not in known.configuration.svm:
            say(f"nobody listens for it yet; now run: odxfs config reload {directory}")
    return 0


def _shares(svm: "SvmConfiguration", store: "ShareStore") -> "list[Share]":
    from odxfs.configuration.effects import declared_shares

    return declared_shares(svm) or store.list()


def _volume(arguments: argparse.Namespace, known: "Known", svm: "SvmConfiguration") -> str:
    """The volume to share, one of the SVM's."""
    volume: str = arguments.volume or (svm.volumes[0] if svm.volumes else DEFAULT_VOLUME)
    owner = known.configuration.owner_of(volume)
    if owner != arguments.svm:
        raise UserError(f"volume {volume!r} belongs to SVM {owner!r}, not to {arguments.svm!r}")
    return volume


def _changed(arguments: argparse.Namespace) -> dict[str, Any]:
    names = ("copy_offload", "continuously_available", "access_based_enumeration", "offload_policy")
    given = {name: getattr(arguments, name) for name in names}
    changed = {name: value for name, value in given.items() if value is not None}
    if not changed:
        raise UserError(
            "nothing to change: give --copy-offload, --continuously-available, --access-based-enumeration (or --no-...) "
            "or --offload-policy"
        )
    return changed


def _new_share(arguments: argparse.Namespace, known: "Known", svm: "SvmConfiguration") -> "Share":
    from odxfs.smb.shares import Share

    if {".", ".."} & set(arguments.path.split("/")):
        raise UserError(f"{arguments.path!r} is not a path from the volume's root")
    return Share(
        arguments.name,
        volume=_volume(arguments, known, svm),
        path=arguments.path.strip("/"),
        comment=arguments.comment,
        read_only=arguments.read_only,
        copy_offload=not arguments.no_copy_offload,
        encrypt_required=arguments.encrypt,
        offload_policy=arguments.offload_policy,
        continuously_available=arguments.continuously_available,
        access_based_enumeration=arguments.access_based_enumeration,
    )


def _print_shares(shares: list[dict[str, Any]], arguments: argparse.Namespace) -> None:
    if arguments.json:
        print_json(shares)
        return
    columns = [
        "share",
        "volume",
        "path",
        "read-only",
        "copy offload",
        "encrypted",
        "continuously available",
        "offload policy",
        "comment",
    ]
    print_table(columns, [_row(share) for share in shares])


def _row(share: dict[str, Any]) -> list[object]:
    names = ("read_only", "copy_offload", "encrypt_required", "continuously_available")
    flags = ["yes" if share[key] else "no" for key in names]
    return [
        share["name"],
        share["volume"],
        "/" + share["path"],
        *flags,
        share["offload_policy"],
        share["comment"],
    ]
