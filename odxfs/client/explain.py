"""Statuses and refusals in the words that a person reads.

Text only. A copy that is not made by token always has one `Cause`; its label goes to scripts, its sentence to people.
"""

from enum import Enum

from odxfs.ntstatus import Status

MIN_CHUNK_BYTES = 64 * 1024
"""Smaller files are not worth the two calls of COPYCHUNK: a read and a write do the same."""

MIN_OFFLOAD_BYTES = 256 * 1024
"""Smaller files are copied plainly: two offload calls cost more than they save. Windows draws the same line."""

_SENTENCES = {
    Status.ACCESS_DENIED: "access is denied",
    Status.OBJECT_NAME_NOT_FOUND: "there is no such file",
    Status.OBJECT_PATH_NOT_FOUND: "there is no such folder",
    Status.NO_SUCH_FILE: "there is no such file",
    Status.OBJECT_NAME_INVALID: "the server does not allow this name",
    Status.OBJECT_PATH_SYNTAX_BAD: "the server does not allow this path",
    Status.OBJECT_NAME_COLLISION: "the name is already taken",
    Status.BAD_NETWORK_NAME: "the server has no such share",
    Status.SHARING_VIOLATION: "another program has the file open and does not share it",
    Status.FILE_LOCK_CONFLICT: "another program holds a lock on this range",
    Status.DELETE_PENDING: "the file is being deleted",
    Status.FILE_IS_A_DIRECTORY: "it is a directory",
    Status.NOT_A_DIRECTORY: "a part of the path is not a directory",
    Status.DISK_FULL: "the disk is full",
    Status.MEDIA_WRITE_PROTECTED: "the share is read-only",
    Status.END_OF_FILE: "the file ends before this offset; it got shorter during the copy",
    Status.DATA_CHECKSUM_ERROR: "the stored data does not match its checksum",
    Status.IO_DEVICE_ERROR: "the server's disk failed",
    Status.INSUFFICIENT_RESOURCES: "the server is short of resources",
    Status.INSUFF_SERVER_RESOURCES: "the server is short of resources",
    Status.NOT_SUPPORTED: "the server does not support this",
    Status.INVALID_DEVICE_REQUEST: "the server does not know this request",
    Status.INVALID_PARAMETER: "the server takes the request for malformed",
    Status.INVALID_TOKEN: "the server does not take this token",
    Status.LOGON_FAILURE: "the user name or the password is wrong",
    Status.ACCOUNT_DISABLED: "the account is disabled",
    Status.ACCOUNT_RESTRICTION: "the account may not log on this way",
    Status.USER_SESSION_DELETED: "the server ended the session",
    Status.NETWORK_SESSION_EXPIRED: "the session has expired",
    Status.NETWORK_NAME_DELETED: "the server took the share away",
    Status.NAME_TOO_LONG: "the name is too long",
    Status.EA_TOO_LARGE: "an extended attribute is too long",
    Status.PATH_NOT_COVERED: "the path is on another server (DFS)",
    Status.STOPPED_ON_SYMLINK: "the path runs over a symbolic link",
}


class Reason(Enum):
    """Why something was done in a lesser way; a member's value is what a person reads."""

    @property
    def label(self) -> str:
        """The name for scripts and logs."""
        return self.name.lower()

    @property
    def sentence(self) -> str:
        """The words for people; no full stop, so that they fit into a line."""
        return str(self.value)


class Cause(Reason):
    """Why a copy, or a part of it, was not made by token."""

    NOT_WANTED = "offload was switched off by --no-offload"
    LOCAL_FILE = (
        "one side is a local file; tokens exist between SMB files and between files of one odxfs mount"
    )
    FILE_TOO_SMALL = "the file is under 256 KiB, where a token does not pay"
    DIALECT_TOO_OLD = "the connection is below SMB 3.0, and copy offload needs SMB 3.0"
    SOURCE_HAS_NO_OFFLOAD = "the source's server does no copy offload, or has it switched off for the share"
    DESTINATION_HAS_NO_OFFLOAD = (
        "the destination's server does no copy offload, or has it switched off for the share"
    )
    OTHER_SERVER = "the token is from another server, which the destination's server does not know"
    UNREACHABLE = "the token is from another server, whose data the destination's server does not get at"
    EXPIRED = "the token has expired or was withdrawn by the server"
    FILE_KIND = "the server does not offload this kind of file"
    LOCKED = "a byte-range lock stands in the way of the offload"
    SHORT_OF_RESOURCES = (
        "the server cannot serve the token now: it holds too many, or the server that issued it is away"
    )
    NO_PROGRESS = "the server took the token but copied nothing"
    SERVER_ERROR = "the server failed during the offload"


class ChunkCause(Reason):
    """Why what was not copied by token was not, or not all, copied by the server's COPYCHUNK."""

    NOT_WANTED = "server-side copying was switched off by --no-offload"
    LOCAL_FILE = "one side is a local file"
    OTHER_SERVER = "the two files are not on one server under one user"
    FILE_TOO_SMALL = "the file is under 64 KiB, where the server's copying does not pay"
    NOT_SUPPORTED = "the server does no COPYCHUNK"
    LOCKED = "a byte-range lock stands in the way of the server's copying"
    LIMITS = "the server refuses COPYCHUNK by limits of its own"
    NO_PROGRESS = "the server's COPYCHUNK copied nothing"
    SERVER_ERROR = "the server failed during COPYCHUNK"


_NO_OFFLOAD = {
    Status.NOT_SUPPORTED,
    Status.NOT_IMPLEMENTED,
    Status.INVALID_DEVICE_REQUEST,
    Status.DEVICE_FEATURE_NOT_SUPPORTED,
    Status.OFFLOAD_READ_FLT_NOT_SUPPORTED,
    Status.OFFLOAD_WRITE_FLT_NOT_SUPPORTED,
}
_CAUSES = {
    Status.OFFLOAD_READ_FILE_NOT_SUPPORTED: Cause.FILE_KIND,
    Status.OFFLOAD_WRITE_FILE_NOT_SUPPORTED: Cause.FILE_KIND,
    Status.FILE_LOCK_CONFLICT: Cause.LOCKED,
    Status.INSUFFICIENT_RESOURCES: Cause.SHORT_OF_RESOURCES,
    Status.INSUFF_SERVER_RESOURCES: Cause.SHORT_OF_RESOURCES,
    Status.DEVICE_UNREACHABLE: Cause.UNREACHABLE,
}


def sentence_of(status: int) -> str:
    """What an error status says, in a few words."""
    try:
        return _SENTENCES.get(Status(status), "the server refused")
    except ValueError:
        return "the server refused"


def cause_of_read(status: int) -> Cause:
    """Why FSCTL_OFFLOAD_READ was refused (MS-FSCC 2.3.42)."""
    if status in _NO_OFFLOAD:
        return Cause.SOURCE_HAS_NO_OFFLOAD
    return _CAUSES.get(_known(status), Cause.SERVER_ERROR)


def cause_of_write(status: int, *, same_server: bool) -> Cause:
    """Why FSCTL_OFFLOAD_WRITE was refused (MS-FSCC 2.3.44)."""
    if status == Status.INVALID_TOKEN:
        return Cause.EXPIRED if same_server else Cause.OTHER_SERVER
    if status in _NO_OFFLOAD:
        return Cause.DESTINATION_HAS_NO_OFFLOAD
    return _CAUSES.get(_known(status), Cause.SERVER_ERROR)


def cause_of_chunk(status: int) -> ChunkCause:
    """Why FSCTL_SRV_COPYCHUNK_WRITE, or the question for a resume key, was refused (MS-SMB2 3.3.5.15.5 and .6)."""
    if status in _NO_OFFLOAD or status in {Status.OBJECT_NAME_NOT_FOUND, Status.INVALID_PARAMETER}:
        return ChunkCause.NOT_SUPPORTED
    if status == Status.FILE_LOCK_CONFLICT:
        return ChunkCause.LOCKED
    return ChunkCause.SERVER_ERROR


def _known(status: int) -> Status:
    try:
        return Status(status)
    except ValueError:
        return Status.UNSUCCESSFUL
