"""The entries of QUERY_DIRECTORY, in every class that clients ask for (MS-FSCC 2.4.8, 2.4.10, 2.4.15, 2.4.22 to 2.4.24, 2.4.33).

The classes differ in which fields they carry, not in what the fields mean: one `DirectoryInformation` holds all of them and
each class has a `Form` that packs and unpacks what it carries.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from struct import Struct
from typing import Any

from odxfs.errors import ProtocolError
from odxfs.ntstatus import Status
from odxfs.types import Buffer
from odxfs.wire.cursor import decode_utf16, encode_utf16, pack_chain, pad, take, unpack_chain, unpack_fixed
from odxfs.wire.fscc import filetime
from odxfs.wire.fscc.classes import FileInformationClass
from odxfs.wire.fscc.filetime import Filetime

ENTRY_ALIGNMENT = 8
MAX_ENTRIES = 1 << 20
"""An 8 MiB answer of the shortest entries holds fewer."""

_SHORT_NAME_BYTES = 24


@dataclass(frozen=True, slots=True)
class DirectoryInformation:
    """One name in a directory. Times are FILETIMEs, sizes bytes; `file_id` has up to 128 bits in class ID_EXTD_DIRECTORY.

    `ea_size` is the reparse tag of an entry with attribute REPARSE_POINT, except in ID_EXTD_DIRECTORY, which has both.
    """

    file_name: str
    file_attributes: int = 0
    creation_time: Filetime = filetime.NONE
    last_access_time: Filetime = filetime.NONE
    last_write_time: Filetime = filetime.NONE
    change_time: Filetime = filetime.NONE
    end_of_file: int = 0
    allocation_size: int = 0
    file_id: int = 0
    file_index: int = 0
    ea_size: int = 0
    reparse_point_tag: int = 0
    short_name: str = ""


@dataclass(frozen=True, slots=True)
class Form:
    """How one class lays an entry out: `layout` is what stands before the name, next offset first."""

    layout: Struct
    values: Callable[[DirectoryInformation, int], tuple[Any, ...]]
    entry: Callable[[tuple[Any, ...], str], DirectoryInformation]
    name_length_at: int

    @property
    def minimum_bytes(self) -> int:
        """The size of an entry without a name; a smaller output buffer is INFO_LENGTH_MISMATCH (MS-FSA 2.1.5.6.3)."""
        return self.layout.size


def _common(entry: DirectoryInformation, name_length: int) -> tuple[Any, ...]:
    return (
        0,
        entry.file_index,
        entry.creation_time,
        entry.last_access_time,
        entry.last_write_time,
        entry.change_time,
        entry.end_of_file,
        entry.allocation_size,
        entry.file_attributes,
        name_length,
    )


def _entry(fields: tuple[Any, ...], name: str, **more: Any) -> DirectoryInformation:  # noqa: ANN401
    _, index, created, accessed, written, changed, end_of_file, allocation, attributes, _ = fields[:10]
    return DirectoryInformation(
        name,
        attributes,
        created,
        accessed,
        written,
        changed,
        end_of_file,
        allocation,
        file_index=index,
        **more,
    )


def _short_name(entry: DirectoryInformation) -> tuple[int, int, bytes]:
    encoded = encode_utf16(entry.short_name)
    if len(encoded) > _SHORT_NAME_BYTES:
        raise ValueError(f"a short name of {len(encoded)} bytes")
    return entry.ea_size, len(encoded), encoded


def _unpack_short_name(length: int, field: bytes) -> str:
    return decode_utf16(take(field, 0, length, 0, "ShortName"), "ShortName")


_COMMON = "<IIqqqqqqII"

_NAMES = Form(
    Struct("<III"),
    lambda entry, length: (0, entry.file_index, length),
    lambda fields, name: DirectoryInformation(name, file_index=fields[1]),
    2,
)
_DIRECTORY = Form(Struct(_COMMON), _common, _entry, 9)
_FULL = Form(
    Struct(_COMMON + "I"),
    lambda entry, length: (*_common(entry, length), entry.ea_size),
    lambda fields, name: _entry(fields, name, ea_size=fields[10]),
    9,
)
_ID_FULL = Form(
    Struct(_COMMON + "I4xQ"),
    lambda entry, length: (*_common(entry, length), entry.ea_size, entry.file_id),
    lambda fields, name: _entry(fields, name, ea_size=fields[10], file_id=fields[11]),
    9,
)
_BOTH = Form(
    Struct(_COMMON + "IBx24s"),
    lambda entry, length: (*_common(entry, length), *_short_name(entry)),
    lambda fields, name: _entry(
        fields, name, ea_size=fields[10], short_name=_unpack_short_name(fields[11], fields[12])
    ),
    9,
)
_ID_BOTH = Form(
    Struct(_COMMON + "IBx24s2xQ"),
    lambda entry, length: (*_common(entry, length), *_short_name(entry), entry.file_id),
    lambda fields, name: _entry(
        fields,
        name,
        ea_size=fields[10],
        short_name=_unpack_short_name(fields[11], fields[12]),
        file_id=fields[13],
    ),
    9,
)
_ID_EXTD = Form(
    Struct(_COMMON + "II16s"),
    lambda entry, length: (
        *_common(entry, length),
        entry.ea_size,
        entry.reparse_point_tag,
        entry.file_id.to_bytes(16, "little"),
    ),
    lambda fields, name: _entry(
        fields,
        name,
        ea_size=fields[10],
        reparse_point_tag=fields[11],
        file_id=int.from_bytes(fields[12], "little"),
    ),
    9,
)

FORMS: dict[int, Form] = {
    FileInformationClass.NAMES: _NAMES,
    FileInformationClass.DIRECTORY: _DIRECTORY,
    FileInformationClass.FULL_DIRECTORY: _FULL,
    FileInformationClass.ID_FULL_DIRECTORY: _ID_FULL,
    FileInformationClass.BOTH_DIRECTORY: _BOTH,
    FileInformationClass.ID_BOTH_DIRECTORY: _ID_BOTH,
    FileInformationClass.ID_EXTD_DIRECTORY: _ID_EXTD,
}
"""The classes that QUERY_DIRECTORY can be asked for."""


def form_of(information_class: int) -> Form:
    """The form of a class; ProtocolError (INVALID_INFO_CLASS) when it is none of QUERY_DIRECTORY."""
    form = FORMS.get(information_class)
    if form is None:
        raise ProtocolError(f"directory information class {information_class}", Status.INVALID_INFO_CLASS)
    return form


def pack_entry(information_class: int, entry: DirectoryInformation) -> bytes:
    """One entry, its next offset 0 and unpadded: `pack_chain(entries)` of cursor.py joins them."""
    form, name = form_of(information_class), encode_utf16(entry.file_name)
    return form.layout.pack(*form.values(entry, len(name))) + name


def pack_entries(
    information_class: int, entries: Iterable[DirectoryInformation], budget_bytes: int
) -> tuple[bytes, int]:
    """As many `entries` as fit into `budget_bytes`, chained, and their number; 0 when not even the first fits."""
    packed: list[bytes] = []
    used = 0
    for entry in entries:
        piece = pack_entry(information_class, entry)
        if used + len(piece) > budget_bytes:
            break
        packed.append(piece)
        used += len(pad(piece, ENTRY_ALIGNMENT))
    return pack_chain(packed, ENTRY_ALIGNMENT), len(packed)


def unpack_entries(information_class: int, data: Buffer) -> Sequence[DirectoryInformation]:
    """The entries of an answer in class `information_class`."""
    form = form_of(information_class)
    chain = unpack_chain(data, form.layout.size, MAX_ENTRIES, "directory", alignment=4)
    return [_unpack_entry(form, entry) for entry in chain]


def _unpack_entry(form: Form, data: memoryview) -> DirectoryInformation:
    fields = unpack_fixed(form.layout, data, "directory entry")
    start = form.layout.size
    name = decode_utf16(take(data, start, fields[form.name_length_at], start, "FileName"), "FileName")
    return form.entry(fields, name)
