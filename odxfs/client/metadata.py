"""What a file has beside its bytes: times, attributes, permission bits; and what of it the other side cannot hold. Pure."""

from dataclasses import dataclass
from enum import Enum

from odxfs.wire.fscc import filetime
from odxfs.wire.fscc.classes import FileAttributes
from odxfs.wire.fscc.file_information import FileBasicInformation
from odxfs.wire.fscc.filetime import Filetime, from_ns, to_ns

KEPT_ATTRIBUTES = (
    FileAttributes.READONLY
    | FileAttributes.HIDDEN
    | FileAttributes.SYSTEM
    | FileAttributes.ARCHIVE
    | FileAttributes.NOT_CONTENT_INDEXED
)
"""The attributes that a user sets; the others say what a file is, and sparseness has a request of its own."""

_TELLING_ATTRIBUTES = KEPT_ATTRIBUTES & ~FileAttributes.ARCHIVE
"""Nearly every file has ARCHIVE; its loss is not worth a word."""

_KEPT_BY_SERVERS = (b"DOSATTRIB", b"DosStream.", b"odxfs.")
"""Beginnings of extended attributes by which servers keep other things; on an odxfs mount such a one acts on the file."""


class Lost(Enum):
    """What a copy may fail to keep."""

    CREATION_TIME = "creation time"
    TIMES = "times"
    ATTRIBUTES = "attributes"
    MODE = "mode"
    STREAMS = "named streams"
    EXTENDED_ATTRIBUTES = "extended attributes"
    SPARSENESS = "sparse mark"


@dataclass(frozen=True, slots=True)
class Metadata:
    """Times are nanoseconds since 1970, None where the side does not tell. A local file has a mode, an SMB file attributes."""

    written_ns: int | None = None
    accessed_ns: int | None = None
    created_ns: int | None = None
    changed_ns: int | None = None
    attributes: int | None = None
    mode: int | None = None

    def lost_on_local(self) -> set[Lost]:
        """What a file of this machine cannot hold."""
        lost = set[Lost]()
        if self.attributes is not None:
            lost.add(Lost.CREATION_TIME)
            if self.attributes & _TELLING_ATTRIBUTES:
                lost.add(Lost.ATTRIBUTES)
        return lost

    def lost_on_smb(self) -> set[Lost]:
        """What an SMB file cannot hold."""
        return set() if self.mode is None else {Lost.MODE}

    def as_basic_information(self) -> FileBasicInformation:
        """For a SET_INFO; what is not known stays as it is. The change time is the server's own."""
        attributes = 0
        if self.attributes is not None:
            attributes = self.attributes & KEPT_ATTRIBUTES or FileAttributes.NORMAL
        return FileBasicInformation(
            _filetime(self.created_ns),
            _filetime(self.accessed_ns),
            _filetime(self.written_ns),
            filetime.KEEP,
            attributes,
        )


NO_METADATA = Metadata()
"""Nothing is known."""


def is_users_own(attribute: bytes) -> bool:
    """Whether an extended attribute of this name, without `user.`, is one to copy."""
    return not attribute.startswith(_KEPT_BY_SERVERS)


def is_same_time(first: int | None, second: int | None) -> bool:
    """Whether two times are one, as far as SMB can tell them (100 ns)."""
    return first is not None and second is not None and first // 100 == second // 100


def smb_metadata(
    created: Filetime, accessed: Filetime, written: Filetime, changed: Filetime, attributes: int
) -> Metadata:
    """Of the fields that CREATE and QUERY_DIRECTORY answer."""
    return Metadata(_ns(written), _ns(accessed), _ns(created), _ns(changed), attributes)


def _ns(time: Filetime) -> int | None:
    return to_ns(time) if time > filetime.NONE else None


def _filetime(nanoseconds: int | None) -> Filetime:
    return filetime.KEEP if nanoseconds is None else from_ns(nanoseconds)
