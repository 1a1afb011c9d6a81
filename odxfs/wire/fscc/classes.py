"""The numbers of MS-FSCC: information classes (2.4, 2.5) and file attributes (2.6)."""

from enum import IntEnum


class FileInformationClass(IntEnum):
    """FileInfoClass of QUERY_INFO and SET_INFO with InfoType FILE, and of QUERY_DIRECTORY (MS-FSCC 2.4)."""

    DIRECTORY = 1
    FULL_DIRECTORY = 2
    BOTH_DIRECTORY = 3
    BASIC = 4
    STANDARD = 5
    INTERNAL = 6
    EA = 7
    ACCESS = 8
    NAME = 9
    RENAME = 10
    LINK = 11
    NAMES = 12
    DISPOSITION = 13
    POSITION = 14
    FULL_EA = 15
    MODE = 16
    ALIGNMENT = 17
    ALL = 18
    ALLOCATION = 19
    END_OF_FILE = 20
    ALTERNATE_NAME = 21
    STREAM = 22
    PIPE = 23
    PIPE_LOCAL = 24
    PIPE_REMOTE = 25
    COMPRESSION = 28
    QUOTA = 32
    REPARSE_POINT = 33
    NETWORK_OPEN = 34
    ATTRIBUTE_TAG = 35
    ID_BOTH_DIRECTORY = 37
    ID_FULL_DIRECTORY = 38
    VALID_DATA_LENGTH = 39
    SHORT_NAME = 40
    HARD_LINK = 46
    NORMALIZED_NAME = 48
    STANDARD_LINK = 54
    ID = 59
    ID_EXTD_DIRECTORY = 60
    DISPOSITION_EX = 64
    RENAME_EX = 65


class FileSystemInformationClass(IntEnum):
    """FileInfoClass of QUERY_INFO and SET_INFO with InfoType FILESYSTEM (MS-FSCC 2.5)."""

    VOLUME = 1
    LABEL = 2
    SIZE = 3
    DEVICE = 4
    ATTRIBUTE = 5
    CONTROL = 6
    FULL_SIZE = 7
    OBJECT_ID = 8
    SECTOR_SIZE = 11


class FileAttributes:
    """FileAttributes bits (MS-FSCC 2.6)."""

    READONLY = 0x00000001
    HIDDEN = 0x00000002
    SYSTEM = 0x00000004
    DIRECTORY = 0x00000010
    ARCHIVE = 0x00000020
    NORMAL = 0x00000080
    TEMPORARY = 0x00000100
    SPARSE_FILE = 0x00000200
    REPARSE_POINT = 0x00000400
    COMPRESSED = 0x00000800
    OFFLINE = 0x00001000
    NOT_CONTENT_INDEXED = 0x00002000
    ENCRYPTED = 0x00004000
    INTEGRITY_STREAM = 0x00008000
    NO_SCRUB_DATA = 0x00020000


class ReparseTag(IntEnum):
    """Reparse tags (MS-FSCC 2.1.2.1)."""

    NONE = 0
    MOUNT_POINT = 0xA0000003
    SYMLINK = 0xA000000C
