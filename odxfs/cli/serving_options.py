"""The arguments that `odxfs mount` and `odxfs serve` have in common, and what they ask to be served."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from odxfs.errors import ExitCode, UserError

if TYPE_CHECKING:
    from odxfs.configuration import Configuration, SvmConfiguration, TokenBounds
    from odxfs.configuration.source import ConfigurationSource
    from odxfs.serving import ServingOptions

DEFAULT_VOLUME = "main"
MEBIBYTE = 1024 * 1024
MAX_TOKEN_MEBIBYTES = 256
MIN_LIFETIME_SECONDS, MAX_LIFETIME_SECONDS = 5, 600

_OPTIONS_OF_A_FILE = (
    "share",
    "smb_listen",
    "signing",
    "encryption",
    "keytab",
    "token_size",
    "token_lifetime",
)
"""What a configuration file says, so that no option may say otherwise."""


def add_serving_options(parser: argparse.ArgumentParser) -> None:
    """Which configuration, or else which volume, which share, where, and how SMB and tokens behave."""
    parser.add_argument(
        "--config",
        metavar="FILE",
        type=Path,
        help="serve what FILE says (default DIR/odxfs.toml if there is one; see 'odxfs help svms')",
    )
    parser.add_argument("--create", action="store_true", help="make the pool if DIR is empty or missing")
    parser.add_argument("--share", metavar="NAME", help="share the volume as NAME; the share is kept")
    parser.add_argument(
        "--smb-listen",
        metavar="ADDR:PORT",
        type=parse_endpoint,
        help="where to serve SMB (default 127.0.0.1:4450 once there is a share)",
    )
    parser.add_argument("--volume", metavar="NAME", help="the volume (default main)")
    smb = parser.add_argument_group("SMB and tokens")
    smb.add_argument(
        "--signing",
        choices=("required", "offered"),
        help="whether clients must sign (default required)",
    )
    smb.add_argument(
        "--encryption",
        choices=("off", "offered", "required"),
        help="whether clients may or must encrypt (default offered)",
    )
    smb.add_argument(
        "--keytab",
        metavar="FILE",
        type=Path,
        help="offer Kerberos, too, with the server's keys from FILE (see 'odxfs help kerberos')",
    )
    smb.add_argument(
        "--token-size",
        metavar="MIB",
        type=parse_token_size,
        help="what one copy token stands for at most, 1 to 256 MiB (default 8)",
    )
    smb.add_argument(
        "--token-lifetime",
        metavar="SECONDS",
        type=parse_token_lifetime,
        help="how long an unused token lives when the client does not say, 5 to 600 (default 60)",
    )


def serving_options(arguments: argparse.Namespace) -> "ServingOptions":
    """What the arguments ask to be served; the pool is made first where they allow it. Raises UserError."""
    from odxfs.serving import ServingOptions

    mountpoint: Path | None = getattr(arguments, "mountpoint", None)
    file = _configuration_file(arguments)
    if file is not None:
        _refuse_what_the_file_says(arguments, file, mountpoint)
        source = _source_of_file(arguments, file, mountpoint)
        _prepare_pool(source.read().pool, arguments.volume or DEFAULT_VOLUME, create=arguments.create)
        configuration = source.read()
        _require_same_pool(arguments, configuration)
        return ServingOptions(source, configuration)
    return _options_of_command_line(arguments, mountpoint)


def _configuration_file(arguments: argparse.Namespace) -> Path | None:
    """The file that counts, if any."""
    from odxfs.configuration import FILE_NAME

    if arguments.config is not None:
        file: Path = arguments.config
        return file.absolute()
    if arguments.directory is None:
        raise UserError("give the pool's DIR, or --config FILE")
    found: Path = arguments.directory / FILE_NAME
    return found.parent.resolve() / FILE_NAME if found.exists() else None


def _refuse_what_the_file_says(arguments: argparse.Namespace, file: Path, mountpoint: Path | None) -> None:
    options = [*_OPTIONS_OF_A_FILE, *(["volume"] if mountpoint is None else [])]
    for option in options:
        if getattr(arguments, option) is not None:
            raise UserError(f"--{option.replace('_', '-')} cannot be given beside {file}: change it there")


def _source_of_file(
    arguments: argparse.Namespace, file: Path, mountpoint: Path | None
) -> "ConfigurationSource":
    from odxfs.configuration.source import ConfigurationSource

    mounts = None if mountpoint is None else {arguments.volume or DEFAULT_VOLUME: mountpoint}
    return ConfigurationSource(file, mounts=mounts)


def _require_same_pool(arguments: argparse.Namespace, configuration: "Configuration") -> None:
    directory: Path | None = arguments.directory
    if directory is not None and directory.resolve() != configuration.pool:
        raise UserError(
            f"the configuration is for {configuration.pool}, not for {directory}", ExitCode.CONFIG
        )


def _options_of_command_line(arguments: argparse.Namespace, mountpoint: Path | None) -> "ServingOptions":
    from odxfs.configuration import DEFAULT_SVM, FILE_NAME, Configuration
    from odxfs.configuration.source import ConfigurationSource
    from odxfs.serving import ServingOptions
    from odxfs.smb.shares import Share, ShareStore

    volume = arguments.volume or DEFAULT_VOLUME
    directory = _prepare_pool(arguments.directory, volume, create=arguments.create)
    share = Share(arguments.share, volume=volume) if arguments.share is not None else None
    mounts = {volume: mountpoint} if mountpoint is not None else {}
    is_shared = not mounts or share or arguments.smb_listen or ShareStore(directory).list()
    default_svm = _default_svm(arguments)
    svms = {DEFAULT_SVM: default_svm} if is_shared else {}
    configuration = Configuration(pool=directory, mounts=mounts, svm=svms, tokens=_token_bounds(arguments))
    source = ConfigurationSource(directory / FILE_NAME, configuration, mounts or None, default_svm)
    return ServingOptions(source, source.read(), share)


def _default_svm(arguments: argparse.Namespace) -> "SvmConfiguration":
    from odxfs.configuration import Endpoint, Signing, SvmConfiguration
    from odxfs.smb.settings import Encryption

    given: dict[str, Any] = {"tokens": _token_bounds(arguments)}
    if arguments.smb_listen is not None:
        given["listen"] = (Endpoint(*arguments.smb_listen),)
    if arguments.signing is not None:
        given["signing"] = Signing(arguments.signing)
    if arguments.encryption is not None:
        given["encryption"] = Encryption(arguments.encryption)
    if arguments.keytab is not None:
        given["keytab"] = str(arguments.keytab.absolute())
    if arguments.token_size is not None:
        given["token_size"] = arguments.token_size
    return SvmConfiguration(**given)


def _token_bounds(arguments: argparse.Namespace) -> "TokenBounds":
    from odxfs.configuration import TokenBounds

    if arguments.token_lifetime is None:
        return TokenBounds()
    return TokenBounds(default_lifetime=arguments.token_lifetime)


def parse_token_size(text: str) -> int:
    """Whole mebibytes as bytes."""
    if not text.isdecimal() or not 1 <= int(text) <= MAX_TOKEN_MEBIBYTES:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of MiB from 1 to {MAX_TOKEN_MEBIBYTES}")
    return int(text) * MEBIBYTE


def parse_token_lifetime(text: str) -> float:
    """Seconds that an idle token lives."""
    if not text.isdecimal() or not MIN_LIFETIME_SECONDS <= int(text) <= MAX_LIFETIME_SECONDS:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a number of seconds from {MIN_LIFETIME_SECONDS} to {MAX_LIFETIME_SECONDS}"
        )
    return float(text)


def parse_endpoint(text: str) -> tuple[str, int]:
    """`ADDR:PORT`, `[ADDR]:PORT` for IPv6, or a port alone on 127.0.0.1."""
    from odxfs.configuration.endpoint import Endpoint

    try:
        return Endpoint.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _prepare_pool(directory: Path, volume: str, *, create: bool) -> Path:
    """The real path of the pool, made first where `create` allows it. Raises UserError."""
    from odxfs.cli.pools import check_volume_name, require_pool
    from odxfs.pool_file import is_pool

    if create and not is_pool(directory):
        from odxfs.volume import create_pool

        create_pool(directory, volume=check_volume_name(volume))
    return require_pool(directory)
