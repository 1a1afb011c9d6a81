"""Every error that odxfs raises on purpose, in four families.

`UserError` is somebody's mistake at the command line: one line and an exit code, no traceback. `VolumeError` is the
store's answer and knows both tongues it is told in, errno (the mount) and NTSTATUS (the share). `ProtocolError` is a peer
that breaks the protocol. `OffloadRefused` is a refusal of copy offload with its reason. Anything else that is raised is a
bug.
"""

import errno as _errno
from enum import Enum, IntEnum

from odxfs.ntstatus import Status


class ExitCode(IntEnum):
    """The exit codes of the `odxfs` command, the same for every subcommand. Numbers are never given a new meaning."""

    OK = 0
    BUG = 1
    USAGE = 2
    CONFIG = 3
    NOT_A_POOL = 4
    BUSY = 5
    MOUNT_POINT = 6
    FUSE = 7
    NEEDS_FSCK = 8
    CORRUPT = 9
    NO_SPACE = 10
    AUTHENTICATION = 11
    NETWORK = 12
    REFUSED = 13
    NOT_OFFLOADED = 14
    NOT_FOUND = 15
    EXISTS = 16
    FORMAT = 17
    MISMATCH = 18
    INCOMPLETE = 19
    FSCK_FOUND = 20
    INTERRUPTED = 130


SYSTEM_EXIT_CODES = {
    _errno.ENOSPC: ExitCode.NO_SPACE,
    _errno.EDQUOT: ExitCode.NO_SPACE,
    _errno.EACCES: ExitCode.NOT_A_POOL,
    _errno.EPERM: ExitCode.NOT_A_POOL,
    _errno.EROFS: ExitCode.NOT_A_POOL,
}
"""What the system refuses on a pool's files: no room, or the directory is not usable as a pool by this user."""


class OdxfsError(Exception):
    """The root of the four families."""


class UserError(OdxfsError):
    """A mistake of the person at the command line; `str(error)` is one line that says what to do."""

    def __init__(self, message: str, exit_code: ExitCode = ExitCode.USAGE) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class VolumeError(OdxfsError):
    """The store's refusal or failure; each class fixes the errno and the NTSTATUS it is reported as."""

    errno: int = _errno.EIO
    status: Status = Status.UNEXPECTED_IO_ERROR


class NotFound(VolumeError):
    errno, status = _errno.ENOENT, Status.OBJECT_NAME_NOT_FOUND


class AlreadyExists(VolumeError):
    errno, status = _errno.EEXIST, Status.OBJECT_NAME_COLLISION


class NotADirectory(VolumeError):
    errno, status = _errno.ENOTDIR, Status.NOT_A_DIRECTORY


class IsADirectory(VolumeError):
    errno, status = _errno.EISDIR, Status.FILE_IS_A_DIRECTORY


class NotAFile(VolumeError):
    """Only a regular file or a named stream holds data: not a directory, a symbolic link or a special file."""

    errno, status = _errno.EINVAL, Status.INVALID_DEVICE_REQUEST


class NotEmpty(VolumeError):
    errno, status = _errno.ENOTEMPTY, Status.DIRECTORY_NOT_EMPTY


class NoSpace(VolumeError):
    errno, status = _errno.ENOSPC, Status.DISK_FULL


class SegmentBeingMade(NoSpace):
    """There is no room at this moment, and a thread is making some: who can wait for it does, and tries again."""


class QuotaExceeded(VolumeError):
    """A volume's quota leaves no room. Clients are told of a full disk: they know what to do then, and Samba says so, too."""

    errno, status = _errno.EDQUOT, Status.DISK_FULL


class ReadOnly(VolumeError):
    """The volume is, or has latched itself, read-only; `str(error)` says since when and why."""

    errno, status = _errno.EROFS, Status.MEDIA_WRITE_PROTECTED


class Corrupt(VolumeError):
    """A checksum or an invariant of the store does not hold. The data is never returned."""

    errno, status = _errno.EIO, Status.DATA_CHECKSUM_ERROR


class StoreFailed(VolumeError):
    """The disk below answered an error other than a full disk."""

    errno, status = _errno.EIO, Status.IO_DEVICE_ERROR


class NameTooLong(VolumeError):
    errno, status = _errno.ENAMETOOLONG, Status.NAME_TOO_LONG


class InvalidArgument(VolumeError):
    errno, status = _errno.EINVAL, Status.INVALID_PARAMETER


class FileTooBig(VolumeError):
    errno, status = _errno.EFBIG, Status.INVALID_PARAMETER


class NoAttribute(VolumeError):
    """An extended attribute that is not there."""

    errno, status = _errno.ENODATA, Status.NONEXISTENT_EA_ENTRY


class AttributeTooLarge(VolumeError):
    """Extended attributes past the bound of one inode."""

    errno, status = _errno.ENOSPC, Status.EA_TOO_LARGE


class NotPermitted(VolumeError):
    errno, status = _errno.EPERM, Status.ACCESS_DENIED


class TooManyLinks(VolumeError):
    errno, status = _errno.EMLINK, Status.TOO_MANY_LINKS


class TooManyStreams(VolumeError):
    """A file has as many named streams as it may have."""

    errno, status = _errno.ENOSPC, Status.INSUFFICIENT_RESOURCES


class CrossVolume(VolumeError):
    errno, status = _errno.EXDEV, Status.NOT_SAME_DEVICE


class Stale(VolumeError):
    """An inode that was deleted for good, or an owner whose epoch has passed."""

    errno, status = _errno.ESTALE, Status.FILE_DELETED


class SharingViolation(VolumeError):
    """Another open does not share the access that is asked for (MS-FSA 2.1.5.1.2.2)."""

    errno, status = _errno.EBUSY, Status.SHARING_VIOLATION


class LockConflict(VolumeError):
    """A byte-range lock of another open stands in the way of a read or a write (MS-FSA 2.1.4.10)."""

    errno, status = _errno.EAGAIN, Status.FILE_LOCK_CONFLICT


class ProtocolError(OdxfsError):
    """A peer's bytes break the protocol; `status` is what an answer would carry where one is still possible."""

    def __init__(self, message: str, status: Status = Status.INVALID_PARAMETER) -> None:
        super().__init__(message)
        self.status = status


class CutShort(ProtocolError):
    """A structure is not all there."""


class Refusal(Enum):
    """Why an offload call is refused: the NTSTATUS it becomes and the sentence a person reads.

    The member's name in lower case is the label in metrics and logs.
    """

    OFFLOAD_DISABLED = (Status.NOT_SUPPORTED, "copy offload is switched off for this share")
    DIALECT_TOO_OLD = (Status.INVALID_DEVICE_REQUEST, "copy offload needs SMB 3.0 or later")
    NOT_A_FILE_SHARE = (Status.INVALID_DEVICE_REQUEST, "the share holds no files")
    BUFFER_TOO_SMALL = (Status.BUFFER_TOO_SMALL, "the request or the room for its answer is too small")
    NOT_ALIGNED = (Status.INVALID_PARAMETER, "an offset or length is not a multiple of the 512-byte sector")
    BAD_SIZE_FIELD = (Status.INVALID_PARAMETER, "the structure's Size field is wrong")
    RANGE_OVERFLOW = (Status.INVALID_PARAMETER, "the range runs past the largest file")
    NOT_READABLE = (Status.ACCESS_DENIED, "the open was not granted read access")
    NOT_WRITABLE = (Status.ACCESS_DENIED, "the open was not granted write access")
    FILE_TOO_SMALL = (
        Status.OFFLOAD_READ_FILE_NOT_SUPPORTED,
        "the file is smaller than what this server makes tokens for",
    )
    READ_FILE_KIND = (Status.OFFLOAD_READ_FILE_NOT_SUPPORTED, "only regular files can be read by token")
    WRITE_FILE_KIND = (Status.OFFLOAD_WRITE_FILE_NOT_SUPPORTED, "only regular files can be written by token")
    FILE_DELETED = (Status.FILE_DELETED, "the file is deleted")
    LOCKED = (Status.FILE_LOCK_CONFLICT, "a byte-range lock stands in the way")
    BEYOND_END = (Status.END_OF_FILE, "the offset is at or past the end of the file")
    VOLUME_READ_ONLY = (Status.MEDIA_WRITE_PROTECTED, "the destination is read-only")
    UNKNOWN_TOKEN = (Status.INVALID_TOKEN, "the token is unknown to this server")
    FORGED_TOKEN = (Status.INVALID_TOKEN, "the token was altered or not made by this server")
    EXPIRED_TOKEN = (Status.INVALID_TOKEN, "the token has expired")
    CANCELLED_TOKEN = (Status.INVALID_TOKEN, "the token was cancelled by an administrator")
    SOURCE_CHANGED = (Status.INVALID_TOKEN, "the source has changed since the token was read")
    FORGOTTEN_TOKEN = (Status.INVALID_TOKEN, "the token ended so long ago that nobody remembers why")
    EVICTED_TOKEN = (
        Status.INSUFFICIENT_RESOURCES,
        "the token was ended to keep within the bounds on tokens",
    )
    EARLIER_LIFE = (Status.INSUFFICIENT_RESOURCES, "the server was restarted since the token was read")
    UNKNOWN_PEER = (Status.DEVICE_UNREACHABLE, "the token is of a pool that is no configured peer")
    PEER_REFUSES = (Status.DEVICE_UNREACHABLE, "the server that made the token does not let this server in")
    PEER_UNREACHABLE = (
        Status.INSUFFICIENT_RESOURCES,
        "the server that made the token cannot be reached at the moment",
    )
    PEER_BUSY = (
        Status.INSUFFICIENT_RESOURCES,
        "the server that made the token has not sent its bytes in time",
    )
    PEER_FAILED = (
        Status.INSUFFICIENT_RESOURCES,
        "the server that made the token cannot give its bytes at the moment",
    )
    PEER_REFUSED_TOKEN = (
        Status.INVALID_TOKEN,
        "the server that made the token does not take it: it has expired, was cancelled or is altered",
    )
    OFFSET_BEYOND_TOKEN = (Status.INVALID_PARAMETER, "TransferOffset lies past what the token holds")
    NO_SPACE = (Status.DISK_FULL, "the disk is full")
    QUOTA_EXCEEDED = (Status.DISK_FULL, "the volume's quota is used up")
    DAMAGED = (Status.DATA_CHECKSUM_ERROR, "the data is damaged")
    STORE_FAILED = (Status.IO_DEVICE_ERROR, "the disk failed")
    INJECTED = (Status.INSUFFICIENT_RESOURCES, "the share's offload policy refuses this call")
    TOO_MANY_TOKENS = (Status.INSUFFICIENT_RESOURCES, "no further token can be held")

    def __init__(self, status: Status, sentence: str) -> None:
        self.status = status
        self.sentence = sentence

    @property
    def label(self) -> str:
        """The name for metrics, logs and JSON."""
        return self.name.lower()


class OffloadRefused(OdxfsError):
    """An offload call is refused; `reason` says why, in every form that is needed.

    `status` is what the client is told: the reason's, unless a share's policy chose another.
    """

    def __init__(self, reason: Refusal, status: Status | None = None) -> None:
        super().__init__(reason.sentence)
        self.reason = reason
        self.status = reason.status if status is None else status
