"""The stream part of a path: `file:stream:$DATA`, as MS-FSCC 2.1.5 has it.

Only the last component may have one. `file::$DATA` is the file's own data, `folder::$INDEX_ALLOCATION` and
`folder:$I30:$INDEX_ALLOCATION` the folder itself; no other types exist here. Stream names keep their characters: what
Windows forbids in file names but not in these ("*", "?", control characters) is stored as it is.
"""

from __future__ import annotations

from dataclasses import dataclass

from odxfs.ntstatus import Status
from odxfs.smb.paths import SEPARATOR
from odxfs.smb.request import SmbError
from odxfs.volume import decode_name, encode_name, is_stream_name
from odxfs.wire.cursor import encode_utf16

DATA_TYPE = "$DATA"
_INDEX_TYPE = "$INDEX_ALLOCATION"
_INDEX_NAME = "$I30"
MAX_NAME_CHARACTERS = 255
"""MS-FSCC 2.1.5.3."""


@dataclass(frozen=True, slots=True)
class StreamSpecifier:
    """What a path says behind its file: the stored name of a stream, or b"" for the file's own data or the folder's index."""

    name: bytes
    is_index: bool = False


def split_stream(path: str) -> tuple[str, StreamSpecifier | None]:
    """A path without its stream part, and that part; None where there is none.

    Raises SmbError(OBJECT_NAME_INVALID) for a stream of a folder on the way, for a name or a type that no stream has.
    """
    if ":" not in path:
        return path, None
    above, separator, last = path.rpartition(SEPARATOR)
    if ":" in above or not last:
        raise SmbError(Status.OBJECT_NAME_INVALID)
    file_name, _, rest = last.partition(":")
    if not file_name and not separator:
        file_name = ""  # a stream of the share's root
    elif not file_name:
        raise SmbError(Status.OBJECT_NAME_INVALID)
    return above + separator + file_name, parse_specifier(rest)


def parse_specifier(text: str) -> StreamSpecifier:
    """`name`, `name:type` or `:type`, what stands behind the first colon. Raises SmbError(OBJECT_NAME_INVALID)."""
    name, colon, kind = text.partition(":")
    kind = kind.upper() if colon else DATA_TYPE
    if kind == _INDEX_TYPE and name.upper() in ("", _INDEX_NAME):
        return StreamSpecifier(b"", is_index=True)
    if kind != DATA_TYPE or (not name and not colon):
        raise SmbError(Status.OBJECT_NAME_INVALID)
    stored = encode_name(name)
    if name and (not is_stream_name(stored) or len(encode_utf16(name)) > 2 * MAX_NAME_CHARACTERS):
        raise SmbError(Status.OBJECT_NAME_INVALID)
    return StreamSpecifier(stored)


def wire_stream_name(stored: bytes) -> str:
    """A stored stream name as clients see it, without its type."""
    return decode_name(stored)
