"""Names of directory entries: which are allowed, and how they are compared by clients that ignore case."""

from odxfs.errors import AlreadyExists, InvalidArgument, NameTooLong
from odxfs.types import MAX_NAME_BYTES
from odxfs.volume.tree.upcase import downcase

_RESERVED = frozenset((b"", b".", b".."))

SNAPSHOTS_FOLDER = b".snapshots"
"""The name in a volume's root by which the mount shows its snapshots. An entry that was called so would be out of its sight."""

ODXFS_FOLDER = b".odxfs"
"""The same for what the mount shows of the server itself."""


def check_name(name: bytes) -> None:
    """Raise unless `name` may be given to a new entry: InvalidArgument, NameTooLong (POSIX 4.13, NAME_MAX)."""
    if len(name) > MAX_NAME_BYTES:
        raise NameTooLong(f"a name of {len(name)} bytes; {MAX_NAME_BYTES} are possible")
    if name in _RESERVED or b"/" in name or b"\0" in name:
        raise InvalidArgument(f"{name.decode(errors='backslashreplace')!r} cannot be a name")


def check_not_reserved(name: bytes, *, in_root: bool) -> None:
    """Raise AlreadyExists for a new entry of a volume's root that would be called SNAPSHOTS_FOLDER or ODXFS_FOLDER."""
    if in_root and name in (SNAPSHOTS_FOLDER, ODXFS_FOLDER):
        raise AlreadyExists(f"the mount shows something else as {decode_name(name)}")


MAX_STREAM_NAME_BYTES = 765
"""The longest name of a stream: 255 UTF-16 units (MS-FSCC 2.1.5.3), of which none takes more than three bytes of UTF-8."""

_NOT_IN_STREAM_NAMES = frozenset(b"\0/:\\")


def is_stream_name(name: bytes) -> bool:
    """Whether `name` may be the name of a stream (MS-FSCC 2.1.5.3)."""
    return 0 < len(name) <= MAX_STREAM_NAME_BYTES and _NOT_IN_STREAM_NAMES.isdisjoint(name)


def is_name(name: bytes) -> bool:
    """Whether `name` may be the name of an entry."""
    return len(name) <= MAX_NAME_BYTES and name not in _RESERVED and b"/" not in name and b"\0" not in name


def encode_name(name: str) -> bytes:
    """A Unicode name as it is stored: UTF-8; what `decode_name` made of other bytes becomes these bytes again."""
    try:
        return name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return name.encode("utf-8", "surrogatepass")  # half a surrogate pair, which Windows allows in a name


def decode_name(name: bytes) -> str:
    """A stored name as Unicode; bytes that are not UTF-8 become lone surrogates (PEP 383)."""
    return name.decode("utf-8", "surrogateescape")


def fold(name: bytes) -> bytes:
    """The form in which names are equal that differ in case only (upcase.py). The catalog keeps it."""
    if name.isascii():
        return name.lower()
    return encode_name(downcase(decode_name(name)))
