"""The checks of FSCTL_OFFLOAD_READ and _WRITE in the order of MS-FSA 2.1.5.10.20 and 2.1.5.10.21.

The order is visible to clients: a request that breaks two rules gets the first one's status. Each check is one line of one
function, so that the functions read like the specification. The handle's access comes first, because the control codes
carry FILE_READ_ACCESS and FILE_WRITE_ACCESS and Windows' I/O manager looks at those before any file system does.

Steps without a line here: sparse, encrypted and compressed files (odxfs offloads sparse files and has neither of the others),
the USN record, and valid data length (a volume's valid data always ends at its file size).
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from odxfs.errors import LockConflict, OffloadRefused, Refusal
from odxfs.offload.counters import Mechanism
from odxfs.offload.recording import Caller
from odxfs.offload_policy import OffloadPolicy
from odxfs.offload_settings import OffloadSettings
from odxfs.types import MAX_FILE_BYTES, SECTOR_BYTES, Buffer
from odxfs.volume import Inode, Volume

READ_INPUT_BYTES = 32
READ_OUTPUT_BYTES = 528
WRITE_INPUT_BYTES = 544
WRITE_OUTPUT_BYTES = 16


def _never() -> bool:
    return False


@dataclass(frozen=True, slots=True)
class OffloadParty:
    """What the engine needs to know of the open that an offload call came in on.

    The two callables ask the open table about (offset, length) in bytes: would a byte-range lock of another open refuse
    this read, this write? `owner`, `client`, `svm` and `share` name who asks and where, for people and for the bounds on tokens;
    they are empty on the mount. `path` is the file's in its volume, as it was opened. `is_given_up`: whether the open has ended;
    a write then ends with what it has done.
    """

    volume: Volume
    inode: Inode
    readable: bool
    writable: bool
    read_only: bool
    enabled: bool
    read_conflicts: Callable[[int, int], bool]
    write_conflicts: Callable[[int, int], bool]
    owner: str
    client: str
    svm: str = ""
    share: str = ""
    path: str = ""
    settings: OffloadSettings = field(default_factory=OffloadSettings)
    policy: OffloadPolicy = field(default_factory=OffloadPolicy)
    mechanism: Mechanism = Mechanism.OFFLOAD
    is_given_up: Callable[[], bool] = _never

    @property
    def caller(self) -> Caller:
        """Who makes the call."""
        return Caller(self.svm, self.share, self.owner, self.client, self.path)

    def permit_write(self, offset: int, length: int) -> None:
        """Raise LockConflict when a lock stands against these bytes now. Asked in each step of a write: others lock meanwhile."""
        if self.write_conflicts(offset, length):
            raise LockConflict(f"inode {self.inode.number} is locked at {offset}")


@dataclass(frozen=True, slots=True)
class ReadCall:
    """FSCTL_OFFLOAD_READ_INPUT (MS-FSCC 2.3.41) with the sizes of the call; offsets and lengths in bytes.

    `input_bytes` is what the client sent, `output_room_bytes` what it takes; with a short input the fields are 0.
    """

    input_bytes: int
    output_room_bytes: int
    size: int = 0
    token_time_to_live_ms: int = 0
    file_offset: int = 0
    copy_length: int = 0


@dataclass(frozen=True, slots=True)
class ReadResult:
    """FSCTL_OFFLOAD_READ_OUTPUT (MS-FSCC 2.3.42): `token` stands for `transfer_length` bytes from the offset asked for."""

    all_zero_beyond: bool
    transfer_length: int
    token: bytes


@dataclass(frozen=True, slots=True)
class WriteCall:
    """FSCTL_OFFLOAD_WRITE_INPUT (MS-FSCC 2.3.43) with the sizes of the call; offsets and lengths in bytes."""

    input_bytes: int
    output_room_bytes: int
    size: int = 0
    file_offset: int = 0
    copy_length: int = 0
    transfer_offset: int = 0
    token: Buffer = b""


def round_up_to_sector(length: int) -> int:
    """`length` in bytes, rounded up to whole logical sectors."""
    return (length + SECTOR_BYTES - 1) // SECTOR_BYTES * SECTOR_BYTES


def check_read_call(party: OffloadParty, call: ReadCall) -> None:
    """Steps 1 to 8 of FSCTL_OFFLOAD_READ: what can be told from the call alone."""
    _refuse_unless(party.readable, Refusal.NOT_READABLE)
    _refuse_unless(party.enabled, Refusal.OFFLOAD_DISABLED)
    _refuse_unless(call.input_bytes >= READ_INPUT_BYTES, Refusal.BUFFER_TOO_SMALL)
    _refuse_unless(call.output_room_bytes >= READ_OUTPUT_BYTES, Refusal.BUFFER_TOO_SMALL)
    _refuse_unless(call.file_offset % SECTOR_BYTES == 0, Refusal.NOT_ALIGNED)
    _refuse_unless(call.copy_length % SECTOR_BYTES == 0, Refusal.NOT_ALIGNED)
    _refuse_unless(call.size == READ_INPUT_BYTES, Refusal.BAD_SIZE_FIELD)
    _refuse_unless(call.file_offset + call.copy_length < 1 << 64, Refusal.RANGE_OVERFLOW)


def check_read_file(party: OffloadParty, call: ReadCall) -> None:
    """Steps 10 to 16 of FSCTL_OFFLOAD_READ: the file, its locks and its end. A CopyLength of 0 never gets here."""
    _refuse_unless(party.inode.is_file, Refusal.READ_FILE_KIND)
    _refuse_unless(party.inode.size >= party.settings.smallest_file_bytes, Refusal.FILE_TOO_SMALL)
    _refuse_unless(party.inode.nlink > 0, Refusal.FILE_DELETED)
    _refuse_unless(call.file_offset < 1 << 63, Refusal.RANGE_OVERFLOW)
    _refuse_unless(not party.read_conflicts(call.file_offset, call.copy_length), Refusal.LOCKED)
    _refuse_unless(call.file_offset < party.inode.size, Refusal.BEYOND_END)


def check_write_call(party: OffloadParty, call: WriteCall) -> None:
    """Steps 1 to 10 of FSCTL_OFFLOAD_WRITE: what can be told from the call alone."""
    _refuse_unless(party.writable, Refusal.NOT_WRITABLE)
    _refuse_unless(not party.read_only, Refusal.VOLUME_READ_ONLY)
    _refuse_unless(party.enabled, Refusal.OFFLOAD_DISABLED)
    _refuse_unless(call.input_bytes >= WRITE_INPUT_BYTES, Refusal.BUFFER_TOO_SMALL)
    _refuse_unless(call.output_room_bytes >= WRITE_OUTPUT_BYTES, Refusal.BUFFER_TOO_SMALL)
    _refuse_unless(call.file_offset % SECTOR_BYTES == 0, Refusal.NOT_ALIGNED)
    _refuse_unless(call.copy_length % SECTOR_BYTES == 0, Refusal.NOT_ALIGNED)
    _refuse_unless(call.transfer_offset % SECTOR_BYTES == 0, Refusal.NOT_ALIGNED)
    _refuse_unless(call.size == WRITE_INPUT_BYTES, Refusal.BAD_SIZE_FIELD)
    _refuse_unless(call.file_offset + call.copy_length < 1 << 64, Refusal.RANGE_OVERFLOW)


def check_write_file(party: OffloadParty, call: WriteCall) -> None:
    """Steps 12 to 18 of FSCTL_OFFLOAD_WRITE. A CopyLength of 0 never gets here."""
    _refuse_unless(party.inode.is_file, Refusal.WRITE_FILE_KIND)
    _refuse_unless(party.inode.nlink > 0, Refusal.FILE_DELETED)
    _refuse_unless(call.file_offset < 1 << 63, Refusal.RANGE_OVERFLOW)
    _refuse_unless(call.file_offset + call.copy_length <= MAX_FILE_BYTES, Refusal.RANGE_OVERFLOW)
    _refuse_unless(not party.write_conflicts(call.file_offset, call.copy_length), Refusal.LOCKED)
    _refuse_unless(not party.settings.strict or call.file_offset < party.inode.size, Refusal.BEYOND_END)


def _refuse_unless(held: bool, reason: Refusal) -> None:
    if not held:
        raise OffloadRefused(reason)
