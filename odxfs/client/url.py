"""Where a file is: a path of this machine, or smb://user@host:port/share/path.

Parsing only. Percent escapes are decoded; `?` and `#` are ordinary letters, because they are so in file names.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote

from odxfs.errors import UserError
from odxfs.wire.gmt_token import split_gmt_token

SCHEME = "smb://"
DEFAULT_PORT = 445
LONGEST_SHARE_NAME = 80
"""Letters (MS-FSCC 2.1.6)."""


@dataclass(frozen=True, slots=True)
class SmbUrl:
    """One file or folder of a share."""

    user: str
    """`user` or `DOMAIN;user` as it was written; empty when the URL names none."""
    host: str
    port: int
    share: str
    path: str
    """Relative to the share, parts joined by backslashes, as MS-SMB2 2.2.13 wants it; empty for the share itself.

    A part of the form @GMT-YYYY.MM.DD-HH.MM.SS asks for a previous version.
    """
    trailing_slash: bool = False

    def __str__(self) -> str:
        user = f"{self.user}@" if self.user else ""
        port = "" if self.port == DEFAULT_PORT else f":{self.port}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        path = "/" + self.path.replace("\\", "/") if self.path else ""
        return f"{SCHEME}{user}{host}{port}/{self.share}{path}"

    @property
    def name(self) -> str:
        """The last part of the path, which a copy into a folder keeps."""
        return split_gmt_token(self.path)[1].rpartition("\\")[2]

    def inside(self, name: str) -> "SmbUrl":
        """The file `name` in the folder that this URL names."""
        path = f"{self.path}\\{name}" if self.path else name
        return replace(self, path=path, trailing_slash=False)


Location = SmbUrl | Path


def is_unicode(text: str) -> bool:
    """Whether it was UTF-8 on the command line: Python keeps other bytes as lone surrogates."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def is_host(name: str) -> bool:
    """Whether somebody can be asked for the address of that name: the resolver wants it in IDNA."""
    try:
        name.encode("idna")
    except UnicodeError:
        return False
    return True


def parse_location(text: str) -> Location:
    """An SMB URL or a local path. Raises UserError for a URL that is not one."""
    if text[: len(SCHEME)].lower() == SCHEME:
        return _parse_url(text)
    if not text:
        raise UserError("a path is empty")
    return Path(text)


def _parse_url(text: str) -> SmbUrl:
    authority, _, rest = text[len(SCHEME) :].partition("/")
    user, host, port = _parse_authority(authority, text)
    parts = [_decode(part, text) for part in rest.split("/") if part]
    if not parts:
        raise UserError(f"{text}: the share is missing; write smb://user@host/share/path")
    for part in parts:
        _check_part(part, text)
    if len(parts[0]) > LONGEST_SHARE_NAME:
        raise UserError(f"{text}: no share has a name of {len(parts[0])} letters")
    return SmbUrl(user, host, port, parts[0], "\\".join(parts[1:]), trailing_slash=rest.endswith("/"))


def _parse_authority(authority: str, text: str) -> tuple[str, str, int]:
    user, _, address = authority.rpartition("@")
    if ":" in user:
        raise UserError(
            "a password does not belong into the URL, where every process can read it; "
            "use the prompt, --password-file or ODXFS_PASSWORD"
        )
    host, port = _split_port(address, text)
    if not host:
        raise UserError(f"{text}: the host is missing")
    if not is_host(host):
        raise UserError(f"{text}: {host!r} is no host's name")
    return _decode(user, text), host, port


def _split_port(address: str, text: str) -> tuple[str, int]:
    if address.startswith("["):
        host, bracket, rest = address[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise UserError(f"{text}: the bracket around the address is not closed")
        digits = rest[1:]
    else:
        host, _, digits = address.partition(":")
    if not digits:
        return host, DEFAULT_PORT
    if not digits.isascii() or not digits.isdigit() or not 0 < int(digits) < 65536:
        raise UserError(f"{text}: {digits!r} is not a port")
    return host, int(digits)


def _decode(part: str, text: str) -> str:
    try:
        decoded = unquote(part, errors="strict")
    except UnicodeDecodeError as error:
        raise UserError(f"{text}: the percent escapes are not UTF-8") from error
    if not is_unicode(decoded):
        raise UserError(f"{text}: it is not UTF-8, and SMB names are Unicode")
    return decoded


def _check_part(part: str, text: str) -> None:
    if part in {".", ".."}:
        raise UserError(f"{text}: a share's path has no '.' or '..'")
    if any(letter in part for letter in "\\/\0"):
        raise UserError(f"{text}: a name cannot hold a slash, a backslash or a zero")
