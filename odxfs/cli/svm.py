"""Storage virtual machines (SVMs): virtual SMB servers over one pool, each with its own address, users, shares and settings.

Changes the configuration file, whose comments stay, and has the process that serves the pool go by it at once; what that
refuses is not kept. KEY=VALUE sets a key of the SVM's table, KEY= takes it away: listen=127.0.0.1:4451 volumes=vms,iso
profile=ontap tokens.per-client=100. 'odxfs help svms' tells the keys.
"""

import argparse
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from odxfs.cli.configurations import add_config_option, known_configuration
from odxfs.cli.output import add_json_option, print_json, print_table, say
from odxfs.cli.pools import add_directory, require_pool
from odxfs.errors import ExitCode, UserError

if TYPE_CHECKING:
    from odxfs.cli.configurations import Known
    from odxfs.configuration import SvmConfiguration


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verbs."""
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for verb, what, count in (("add", "add an SVM", "*"), ("set", "change an SVM", "+")):
        added = verbs.add_parser(verb, help=what, description=f"{what[0].upper()}{what[1:]}.")
        _add_svm_arguments(added)
        added.add_argument(
            "assignments",
            metavar="KEY=VALUE",
            nargs=count,
            type=parse_assignment,
            help="a key of the SVM's table and its value; no value takes the key away",
        )
    _add_svm_arguments(
        verbs.add_parser(
            "del", help="remove an SVM", description="Remove an SVM; its users and shares stay on the disk."
        )
    )
    listing = verbs.add_parser("list", help="list the SVMs", description="List the SVMs.")
    add_directory(listing)
    add_config_option(listing)
    add_json_option(listing)


def _add_svm_arguments(parser: argparse.ArgumentParser) -> None:
    add_directory(parser)
    parser.add_argument("name", metavar="NAME", help="the SVM's name")
    add_config_option(parser)


def parse_assignment(text: str) -> tuple[str, str]:
    """`KEY=VALUE`."""
    key, separator, value = text.partition("=")
    if not separator or not all(key.split(".")):
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE")
    return key, value


def run(arguments: argparse.Namespace) -> int:
    """Do what the verb says."""
    from odxfs.configuration.editing import add_svm, delete_svm, set_svm

    directory, name = require_pool(arguments.directory), getattr(arguments, "name", "")
    if arguments.verb == "list":
        _list(known_configuration(directory, arguments.config), arguments)
        return ExitCode.OK
    if arguments.verb == "del":
        said = f"SVM {name} is removed; its users and shares stay for when there is one of that name again"
        return _change(directory, arguments, lambda text: delete_svm(text, name), said)
    edit, done = (add_svm, "added") if arguments.verb == "add" else (set_svm, "changed")
    given = dict(arguments.assignments)
    return _change(directory, arguments, lambda text: edit(text, name, given), f"SVM {name} is {done}")


def _change(directory: Path, arguments: argparse.Namespace, edit: Callable[[str], str], said: str) -> int:
    """Edit the file, if what it says then is right and the serving process, if any, accepts it."""
    from odxfs.configuration.editing import real_file, replace_file
    from odxfs.configuration.reading import read_text
    from odxfs.record_file import locked_directory

    known = known_configuration(directory, arguments.config)
    other = None if arguments.config is None else _other_file_in_force(directory, known.file)
    with locked_directory(real_file(known.file).parent):
        before = read_text(known.file) if known.file.exists() else None
        edited = edit(_text_to_edit(before, known))
        _require_no_other_svm(edited, known)
        _require_same_pool(edited, known.file, directory)
        if other is None:
            _put_in_force(directory, known.file, before, edited)
        else:
            replace_file(known.file, edited)
    say(said)
    if other is not None:
        say(f"nobody goes by that yet: the process that serves {directory} goes by {other}")
    return ExitCode.OK


def _other_file_in_force(directory: Path, file: Path) -> Path | None:
    """What the process that serves the pool reads at a reload, if that is not `file`."""
    from odxfs.configuration.editing import real_file
    from odxfs.control.client import NotServed, ask, understood

    try:
        answer = ask(directory, "config")
    except NotServed:
        return None
    with understood(directory):
        found = Path(answer["file"])
    return None if real_file(found) == real_file(file) else found


def _require_same_pool(edited: str, file: Path, directory: Path) -> None:
    from odxfs.configuration import parse_configuration
    from odxfs.configuration.source import with_real_paths

    if with_real_paths(parse_configuration(edited, file)).pool != directory:
        raise UserError(f"{file} is for another pool than {directory}", ExitCode.CONFIG)


def _require_no_other_svm(edited: str, known: "Known") -> None:
    """Raise UserError(REFUSED) when the last SVM is to go and another one would come, with other users and another address."""
    from odxfs.configuration import parse_configuration
    from odxfs.configuration.source import with_default_svm

    left = replace(parse_configuration(edited, known.file), mounts=known.configuration.mounts)
    if not left.svm and with_default_svm(left).svm:
        raise UserError(
            "this is the last SVM, and without any the default one is served: add another first",
            ExitCode.REFUSED,
        )


def _put_in_force(directory: Path, file: Path, before: str | None, edited: str) -> None:
    """Write the file, and have it reloaded; the file is as `before` when that is refused."""
    from odxfs.configuration.editing import replace_file
    from odxfs.control.client import NotServed, Unanswered, ask

    try:
        replace_file(file, edited)
        ask(directory, "reload", timeout=None)
    except UserError as error:
        if isinstance(error, NotServed) and not isinstance(error, Unanswered):
            return
        _restore(file, before)
        raise
    except KeyboardInterrupt:
        _restore(file, before)
        with suppress(UserError):
            ask(directory, "reload")  # it may go by the other file already
        raise


def _text_to_edit(before: str | None, known: "Known") -> str:
    """The file, or one that says what is in force. Raises ConfigurationError when it is wrong before anything is changed."""
    from odxfs.configuration import parse_configuration
    from odxfs.configuration.writing import write_differences

    text = before if before is not None else write_differences(known.configuration, known.file)
    parse_configuration(text, known.file)
    return _with_default(text, known)


def _with_default(text: str, known: "Known") -> str:
    """A file without SVMs means that there is the default one; beside others it has to be named."""
    import tomllib

    from odxfs.cli.configurations import DEFAULT_SVM
    from odxfs.configuration.editing import add_svm

    if tomllib.loads(text).get("svm") or DEFAULT_SVM not in known.configuration.svm:
        return text
    return add_svm(text, DEFAULT_SVM, {})


def _restore(file: Path, before: str | None) -> None:
    from odxfs.configuration.editing import real_file, replace_file

    if before is None:
        real_file(file).unlink(missing_ok=True)
    else:
        replace_file(file, before)


def _list(known: "Known", arguments: argparse.Namespace) -> None:
    rows = [_as_json(name, svm) for name, svm in known.configuration.svm.items()]
    if arguments.json:
        print_json(rows)
        return
    columns = ["svm", "listen", "volumes", "profile", "signing", "encryption", "dialects", "copy offload"]
    print_table(columns, [_row(row) for row in rows])


def _as_json(name: str, svm: "SvmConfiguration") -> dict[str, Any]:
    """The table as the file has it, with all defaults."""
    import tomllib

    from odxfs.configuration import Configuration
    from odxfs.configuration.writing import write_configuration

    written = write_configuration(Configuration(svm={name: svm}))
    table: dict[str, Any] = tomllib.loads(written)["svm"][name]
    return {"name": name} | table


def _row(svm: dict[str, Any]) -> list[object]:
    return [
        svm["name"],
        ", ".join(svm["listen"]),
        ", ".join(svm["volumes"]) or ("the others" if svm["name"] == "default" else "none"),
        svm["profile"],
        svm["signing"],
        svm["encryption"],
        f"{svm['min-dialect']} to {svm['max-dialect']}",
        f"up to {svm['token-size']}" if svm["copy-offload"] else "no",
    ]
