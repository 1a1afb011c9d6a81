"""From the path of a CREATE to an inode, one component at a time, inside the share and nowhere else.

Names keep their case and are found without it. A symbolic link is never followed here: the client is told where it points
(STATUS_STOPPED_ON_SYMLINK) and decides. Names that POSIX allows and Windows does not travel in the private-use range that
macOS and Linux clients use too (U+F001 to U+F029), so that the mount's files can be reached over the share.
"""

from __future__ import annotations

import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from odxfs.errors import NameTooLong, NotADirectory, NotFound
from odxfs.ntstatus import Status
from odxfs.smb.access import may_traverse
from odxfs.smb.limits import MAX_PATH_CHARACTERS
from odxfs.smb.request import SmbError
from odxfs.types import MAX_NAME_BYTES
from odxfs.volume.tree.names import decode_name, encode_name
from odxfs.wire.cursor import encode_utf16
from odxfs.wire.error import SymbolicLinkErrorResponse

if TYPE_CHECKING:
    from odxfs.opens import DirectoryName
    from odxfs.smb.security.token import Token
    from odxfs.smb.trees import View
    from odxfs.types import InodeNumber
    from odxfs.volume import Inode, Volume

SEPARATOR = "\\"
UP = ".."
_SYMLINK_RELATIVE = 1
_TO_WIRE = {code: 0xF000 + code for code in range(1, 32)} | {
    ord(character): 0xF020 + index for index, character in enumerate('"*:<>?\\|')
}
_FROM_WIRE = {wire: stored for stored, wire in _TO_WIRE.items()} | {0xF028: ord(" "), 0xF029: ord(".")}
_STAND_INS = frozenset(map(chr, _FROM_WIRE))
_LAST_TO_WIRE = {" ": "\uf028", ".": "\uf029"}
"""Windows drops a trailing space or dot, so those are mapped too, but only at the end of a name."""

_PLAIN = frozenset(range(0x21, 0x7F)) - frozenset(_TO_WIRE) - {ord(".")}
_FORBIDDEN = frozenset('*?"<>|/:') | frozenset(map(chr, range(32)))


@dataclass(frozen=True, slots=True)
class ResolvedPath:
    """Where a path leads. `path` has the stored names; `inode` is None when only the last component is missing.

    `view` is what the path led through. `parent` is None and `name` empty for the share's root; else `name` is the stored name,
    or the wanted one of a missing entry.
    """

    view: View
    path: str
    parent: Inode | None
    name: bytes
    inode: Inode | None
    must_be_directory: bool = False

    @property
    def entry_name(self) -> DirectoryName | None:
        """The directory entry; None for the share's root."""
        return None if self.parent is None else (self.parent.number, self.name)


def wire_name(stored: bytes) -> str:
    """A stored name as clients see it; what is no UTF-8 looks odd and leads nowhere (listings hide such names)."""
    if _PLAIN.issuperset(stored):
        return stored.decode("ascii")
    text = decode_name(stored).translate(_TO_WIRE)
    return text[:-1] + _LAST_TO_WIRE[text[-1]] if text[-1:] in _LAST_TO_WIRE else text


def stored_name(name: str) -> bytes:
    """The stored form of one component of a client's path.

    Raises SmbError: OBJECT_NAME_INVALID for a name that no file can have, for one with wildcards and for a stream's;
    OBJECT_PATH_SYNTAX_BAD for the way up, which no client needs.
    """
    if name == UP:
        raise SmbError(Status.OBJECT_PATH_SYNTAX_BAD)
    if name in ("", ".") or not _FORBIDDEN.isdisjoint(name):
        raise SmbError(Status.OBJECT_NAME_INVALID)
    stored = encode_name(_stored_text(name))
    if stored in (b".", b"..") or b"/" in stored or b"\0" in stored or len(stored) > MAX_NAME_BYTES:
        raise SmbError(Status.OBJECT_NAME_INVALID)
    return stored


def leads_elsewhere(name: str) -> bool:
    """Whether a stored name has characters that stand for others on the wire: who asks for it by them means another name."""
    return not _STAND_INS.isdisjoint(name)


def _stored_text(name: str) -> str:
    return name if name.isascii() else name.translate(_FROM_WIRE)


def split_path(path: str) -> tuple[list[str], bool]:
    """The components of a path relative to a share, and whether it ends in a separator and so must be a directory.

    A component `..` takes the one before it away, whether that exists or not, as Windows' server does before it looks at
    anything. Raises SmbError: INVALID_PARAMETER for a leading separator (MS-SMB2 3.3.5.9), OBJECT_PATH_SYNTAX_BAD for a way
    out of the share, OBJECT_NAME_INVALID for the rest.
    """
    if len(path) > MAX_PATH_CHARACTERS:
        raise SmbError(Status.OBJECT_NAME_INVALID)
    if path.startswith(SEPARATOR):
        raise SmbError(Status.INVALID_PARAMETER)
    trailing = path.endswith(SEPARATOR)
    components: list[str] = []
    for component in path.removesuffix(SEPARATOR).split(SEPARATOR) if path else []:
        if component == UP and components:
            components.pop()
        else:
            stored_name(component)
            components.append(component)
    return components, trailing and bool(components)


async def share_root(volume: Volume, path: str, token: Token | None) -> InodeNumber:
    """The folder `path` ("/" separates) of a volume, for a share to serve; symbolic links on the way lead nowhere.

    `token` is whose use it is; None when nobody uses it yet.
    Raises NotFound, NotADirectory and, where the user may not pass through the folder, SmbError(ACCESS_DENIED).
    """
    number = volume.root
    for name in [part for part in path.split("/") if part]:
        inode = await volume.lookup(number, name.encode())
        if not stat.S_ISDIR(inode.mode):
            raise NotADirectory(f"{path!r} is no folder")
        number = inode.number
    root = await volume.inode(number)
    await volume.security(root)
    if token is not None and not may_traverse(root, token):
        raise SmbError(Status.ACCESS_DENIED)
    return number


async def resolve(view: View, path: str, token: Token) -> ResolvedPath:
    """Walk `path` from the root of what the share shows, as that user. The security of folder and inode is at hand then.

    Raises SmbError: OBJECT_PATH_NOT_FOUND when a folder on the way is missing or no folder, ACCESS_DENIED when one may not be
    passed, STOPPED_ON_SYMLINK when one is a symbolic link, and what split_path raises.
    """
    components, must_be_directory = split_path(path)
    volume = view.volume
    directory = await volume.inode(view.root)
    if not components:
        await volume.security(directory)
        return ResolvedPath(view, "", None, b"", directory)
    walked: list[str] = []
    for index, component in enumerate(components[:-1]):
        found = await _enter(volume, directory, component, token)
        walked.append(wire_name(found[0]))
        directory = found[1]
        if stat.S_ISLNK(directory.mode):
            rest = SEPARATOR + SEPARATOR.join(components[index + 1 :])
            raise stopped_on_symlink(directory, rest)
    stored, inode = await _find_last(volume, directory, components[-1], token)
    while inode is not None and inode.security is None:
        await volume.security(inode)
        # Nobody holds it, and what had the name may be deleted for good by now.
        stored, inode = await _find_last(volume, directory, components[-1], token)
    walked.append(wire_name(stored))
    return ResolvedPath(view, SEPARATOR.join(walked), directory, stored, inode, must_be_directory)


async def _enter(volume: Volume, directory: Inode, component: str, token: Token) -> tuple[bytes, Inode]:
    if directory.security is None:
        await volume.security(directory)
    _check_traverse(directory, token)
    try:
        return await volume.lookup_ignoring_case(directory.number, _stored_text(component))
    except (NotFound, NotADirectory, NameTooLong) as error:
        raise SmbError(Status.OBJECT_PATH_NOT_FOUND) from error


async def _find_last(
    volume: Volume, directory: Inode, component: str, token: Token
) -> tuple[bytes, Inode | None]:
    if directory.security is None:
        await volume.security(directory)
    _check_traverse(directory, token)
    try:
        return await volume.lookup_ignoring_case(directory.number, _stored_text(component))
    except NotFound:
        return stored_name(component), None


def _check_traverse(directory: Inode, token: Token) -> None:
    if not stat.S_ISDIR(directory.mode):
        raise SmbError(Status.OBJECT_PATH_NOT_FOUND)
    if not may_traverse(directory, token):
        raise SmbError(Status.ACCESS_DENIED)


def stopped_on_symlink(link: Inode, unparsed: str) -> SmbError:
    """The refusal that names a link's target and the rest of the path (MS-SMB2 2.2.2.2.1), for the client to go on with."""
    target = link.target.decode("utf-8", "replace")
    name = target.replace("/", SEPARATOR)
    flags = 0 if target.startswith("/") else _SYMLINK_RELATIVE
    data = SymbolicLinkErrorResponse(name, name, len(encode_utf16(unparsed)), flags).pack()
    return SmbError(Status.STOPPED_ON_SYMLINK, data=data)
