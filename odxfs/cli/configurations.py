"""What several commands do with the configuration of a pool."""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from odxfs.control.client import NotServed, ask, understood
from odxfs.errors import ExitCode, UserError

if TYPE_CHECKING:
    from odxfs.configuration import Configuration, SvmConfiguration

DEFAULT_SVM = "default"


@dataclass(frozen=True, slots=True)
class Known:
    """A configuration and its file, which need not exist; whether a process goes by it now."""

    configuration: "Configuration"
    file: Path
    is_served: bool = False


def add_svm_option(parser: argparse.ArgumentParser) -> None:
    """The `--svm` of commands that look after one SVM's users or shares."""
    parser.add_argument(
        "--svm", metavar="NAME", default=DEFAULT_SVM, help="the SVM (default: the default SVM)"
    )
    add_config_option(parser)


def add_config_option(parser: argparse.ArgumentParser) -> None:
    """The `--config` of commands that go by a pool's configuration."""
    parser.add_argument(
        "--config",
        metavar="FILE",
        type=Path,
        help="the configuration (default: the serving process's, or DIR/odxfs.toml)",
    )


def known_configuration(directory: Path, given: Path | None = None) -> Known:
    """The file `given`; else what the process that serves the pool goes by; else what DIR/odxfs.toml says, or would say.

    Raises UserError.
    """
    from odxfs.configuration import FILE_NAME, Configuration, parse_configuration, read_configuration
    from odxfs.configuration.source import with_default_svm

    if given is not None:
        return Known(read_configuration(given), given.absolute())
    try:
        answer = ask(directory, "config")
    except NotServed:
        file = directory / FILE_NAME
        found = read_configuration(file) if file.exists() else Configuration(pool=directory)
        return Known(with_default_svm(found), file)
    with understood(directory):
        file = Path(answer["file"])
        return Known(parse_configuration(answer["toml"], file), file, is_served=True)


def find_svm(known: Known, name: str) -> "SvmConfiguration":
    """The SVM of that name, the default one also where it is not served. Raises UserError(NOT_FOUND)."""
    from odxfs.configuration import SvmConfiguration

    found = known.configuration.svm.get(name)
    if found is not None:
        return found
    if name == DEFAULT_SVM:
        return SvmConfiguration()
    names = ", ".join(known.configuration.svm) or "none"
    raise UserError(f"there is no SVM {name!r} in {known.file} (there are: {names})", ExitCode.NOT_FOUND)


def state_of_svm(directory: Path, name: str, given: Path | None = None) -> Path:
    """The directory of an SVM's users and shares, made if need be. Raises UserError(NOT_FOUND)."""
    from odxfs.configuration.state import made_state_directory

    if name != DEFAULT_SVM:
        find_svm(known_configuration(directory, given), name)
    return made_state_directory(directory, name)
