"""File information classes that carry a name (MS-FSCC 2.4)."""

from collections.abc import Iterable
from dataclasses import dataclass
from struct import Struct
from typing import ClassVar, Self

from odxfs.types import Buffer
from odxfs.wire.cursor import (
    decode_counted_utf16,
    encode_utf16,
    fitting,
    pack_chain,
    unpack_chain,
    unpack_fixed,
)
from odxfs.wire.fscc.classes import FileInformationClass
from odxfs.wire.fscc.file_information import (
    FileAccessInformation,
    FileAlignmentInformation,
    FileBasicInformation,
    FileEaInformation,
    FileInternalInformation,
    FileModeInformation,
    FilePositionInformation,
    FileStandardInformation,
)

_NAME = Struct("<I")
_TARGET = Struct("<B7xQI")
_TARGET_EX = Struct("<I4xQI")
_TARGET_MINIMUM = 24  # peers refuse a shorter rename buffer, whatever its name's length
_STREAM = Struct("<IIqq")

MAX_STREAMS = 4096
"""Streams of one file that an answer may list; more is nonsense."""


@dataclass(frozen=True, slots=True)
class _NameInformation:
    """A counted name, absolute from the volume's or the share's root."""

    file_name: str

    @classmethod
    def unpack(cls, data: Buffer) -> Self:
        (length,) = unpack_fixed(_NAME, data, cls.__name__)
        return cls(decode_counted_utf16(data, _NAME.size, length, "FileName"))

    def pack(self) -> bytes:
        name = encode_utf16(self.file_name)
        return _NAME.pack(len(name)) + name


@dataclass(frozen=True, slots=True)
class FileNameInformation(_NameInformation):
    """The name (2.4.32), with a leading backslash."""

    INFO_CLASS: ClassVar[int] = FileInformationClass.NAME


@dataclass(frozen=True, slots=True)
class FileNormalizedNameInformation(_NameInformation):
    """The name as it is stored (2.4.35), relative to the share's root and without a leading backslash."""

    INFO_CLASS: ClassVar[int] = FileInformationClass.NORMALIZED_NAME


@dataclass(frozen=True, slots=True)
class FileAlternateNameInformation(_NameInformation):
    """The 8.3 name (2.4.5)."""

    INFO_CLASS: ClassVar[int] = FileInformationClass.ALTERNATE_NAME


@dataclass(frozen=True, slots=True)
class _TargetInformation:
    """Where a rename or link leads (the SMB2 form, type 2); `root_directory` is always 0 over SMB2."""

    file_name: str
    replace_if_exists: bool = False
    root_directory: int = 0

    @classmethod
    def unpack(cls, data: Buffer) -> Self:
        replace, root, length = unpack_fixed(_TARGET, data, cls.__name__)
        return cls(decode_counted_utf16(data, _TARGET.size, length, "FileName"), bool(replace), root)

    def pack(self) -> bytes:
        name = encode_utf16(self.file_name)
        head = _TARGET.pack(self.replace_if_exists, self.root_directory, len(name))
        return (head + name).ljust(_TARGET_MINIMUM, b"\0")


@dataclass(frozen=True, slots=True)
class FileRenameInformation(_TargetInformation):
    """Rename to `file_name`, relative to the share's root (2.4.42.2)."""

    INFO_CLASS: ClassVar[int] = FileInformationClass.RENAME


@dataclass(frozen=True, slots=True)
class FileLinkInformation(_TargetInformation):
    """Make a further link called `file_name`, relative to the share's root (2.4.28.2)."""

    INFO_CLASS: ClassVar[int] = FileInformationClass.LINK


class RenameFlags:
    """Flags of FileRenameInformationEx (2.4.43)."""

    REPLACE_IF_EXISTS = 0x00000001
    POSIX_SEMANTICS = 0x00000002
    IGNORE_READONLY_ATTRIBUTE = 0x00000040


@dataclass(frozen=True, slots=True)
class FileRenameInformationEx:
    """Rename with flags (2.4.43)."""

    INFO_CLASS: ClassVar[int] = FileInformationClass.RENAME_EX

    file_name: str
    flags: int = 0
    root_directory: int = 0

    @classmethod
    def unpack(cls, data: Buffer) -> Self:
        flags, root, length = unpack_fixed(_TARGET_EX, data, cls.__name__)
        return cls(decode_counted_utf16(data, _TARGET_EX.size, length, "FileName"), flags, root)

    def pack(self) -> bytes:
        name = encode_utf16(self.file_name)
        head = _TARGET_EX.pack(self.flags, self.root_directory, len(name))
        return (head + name).ljust(_TARGET_MINIMUM, b"\0")


@dataclass(frozen=True, slots=True)
class FileStreamInformation:
    """One stream of a file (2.4.49): the unnamed one is called ::$DATA. Sizes are bytes."""

    INFO_CLASS: ClassVar[int] = FileInformationClass.STREAM

    stream_name: str
    stream_size: int
    stream_allocation_size: int

    @classmethod
    def unpack(cls, data: Buffer) -> Self:
        _, length, size, allocation = unpack_fixed(_STREAM, data, cls.__name__)
        return cls(decode_counted_utf16(data, _STREAM.size, length, "StreamName"), size, allocation)

    def pack(self) -> bytes:
        """One entry, its next offset 0."""
        name = encode_utf16(self.stream_name)
        return _STREAM.pack(0, len(name), self.stream_size, self.stream_allocation_size) + name


def unpack_streams(data: Buffer) -> tuple[FileStreamInformation, ...]:
    """A chain of streams; an empty buffer is a directory's answer."""
    chain = unpack_chain(data, _STREAM.size, MAX_STREAMS, "stream", alignment=8)
    return tuple(FileStreamInformation.unpack(entry) for entry in chain)


def pack_streams(streams: Iterable[FileStreamInformation], room: int | None = None) -> bytes:
    """The chain of all `streams`, or of as many as fit whole into `room` bytes."""
    entries = [stream.pack() for stream in streams]
    return pack_chain(entries if room is None else fitting(entries, room))


@dataclass(frozen=True, slots=True)
class FileAllInformation:
    """Nine classes in one (2.4.2)."""

    INFO_CLASS: ClassVar[int] = FileInformationClass.ALL

    basic: FileBasicInformation
    standard: FileStandardInformation
    internal: FileInternalInformation
    ea: FileEaInformation
    access: FileAccessInformation
    position: FilePositionInformation
    mode: FileModeInformation
    alignment: FileAlignmentInformation
    name: FileNameInformation

    @classmethod
    def unpack(cls, data: Buffer) -> Self:
        view = memoryview(data)
        return cls(
            FileBasicInformation.unpack(view),
            FileStandardInformation.unpack(view[40:]),
            FileInternalInformation.unpack(view[64:]),
            FileEaInformation.unpack(view[72:]),
            FileAccessInformation.unpack(view[76:]),
            FilePositionInformation.unpack(view[80:]),
            FileModeInformation.unpack(view[88:]),
            FileAlignmentInformation.unpack(view[92:]),
            FileNameInformation.unpack(view[96:]),
        )

    def pack(self) -> bytes:
        return b"".join(
            (
                self.basic.pack(),
                self.standard.pack(),
                self.internal.pack(),
                self.ea.pack(),
                self.access.pack(),
                self.position.pack(),
                self.mode.pack(),
                self.alignment.pack(),
                self.name.pack(),
            )
        )
