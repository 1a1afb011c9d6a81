"""The configuration of a serving process, one TOML file: check it, show it, have it read again.

'odxfs help svms' has a complete example. 'schema' prints a JSON Schema, with which editors complete and check the file.
"""

import argparse
import sys
from pathlib import Path

from odxfs.cli.output import print_json, say
from odxfs.cli.pools import add_directory, require_pool
from odxfs.errors import ExitCode


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verbs."""
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    check = verbs.add_parser(
        "check", help="say everything that is wrong in a file", description="Check a file."
    )
    check.add_argument("file", metavar="FILE", type=Path, help="the file")
    show = verbs.add_parser(
        "show",
        help="the configuration with all defaults",
        description="Print a configuration with all defaults: a file's, or the one a served pool goes by.",
    )
    show.add_argument("file", metavar="FILE|DIR", type=Path, help="the file, or the pool's directory")
    verbs.add_parser("schema", help="a JSON Schema for editors", description="Print the file's JSON Schema.")
    reload = verbs.add_parser(
        "reload",
        help="have the serving process read its file again",
        description="Have the serving process read its file again. Sessions and opens stay. What cannot be done, or a mistake in "
        "the file, leaves the old configuration in force.",
    )
    add_directory(reload)


def run(arguments: argparse.Namespace) -> int:
    """Do what the verb says."""
    verbs = {"check": _check, "show": _show, "schema": _schema, "reload": _reload}
    return verbs[arguments.verb](arguments)


def _check(arguments: argparse.Namespace) -> int:
    from odxfs.configuration import ConfigurationError, read_configuration

    try:
        configuration = read_configuration(arguments.file)
    except ConfigurationError as error:
        for problem in error.problems:
            sys.stderr.write(f"odxfs: {problem}\n")
        return ExitCode.CONFIG
    names = ", ".join(configuration.svm) or "the default one"
    say(f"{arguments.file} is right; SVMs: {names}")
    return ExitCode.OK


def _show(arguments: argparse.Namespace) -> int:
    from odxfs.cli.configurations import known_configuration
    from odxfs.configuration.source import ConfigurationSource
    from odxfs.configuration.writing import write_configuration

    if arguments.file.is_dir():
        configuration = known_configuration(require_pool(arguments.file)).configuration
    else:
        configuration = ConfigurationSource(arguments.file).read()
    say(write_configuration(configuration).rstrip("\n"))
    return ExitCode.OK


def _schema(_: argparse.Namespace) -> int:
    from odxfs.configuration.schema import make_schema

    print_json(make_schema())
    return ExitCode.OK


def _reload(arguments: argparse.Namespace) -> int:
    from odxfs.control.client import ask, understood

    directory = require_pool(arguments.directory)
    answer = ask(directory, "reload", timeout=None)
    with understood(directory):
        for sentence in answer["changes"] or ["nothing has changed"]:
            say(sentence)
    return ExitCode.OK
