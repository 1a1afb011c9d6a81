"""What an administrator chooses for one SMB server."""

from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from odxfs.offload_settings import OffloadSettings

MEBIBYTE = 1024 * 1024


class Encryption(Enum):
    """Whether SMB 3 encryption is unavailable, at the client's or the share's choice, or demanded of every session."""

    OFF = "off"
    OFFERED = "offered"
    REQUIRED = "required"


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """A change is a new object, which new connections and calls go by; dialects are MS-SMB2 revision numbers, sizes are bytes.

    `failed_login_seconds` is how long a client waits after a failed login, and with it every further attempt on the account
    from its address, so that passwords cannot be tried by the thousand; Windows waits as long.
    With a `keytab` Kerberos is offered, too.
    """

    server_name: str = "ODXFS"
    signing_required: bool = True
    encryption: Encryption = Encryption.OFFERED
    min_dialect: int = 0x0210
    max_dialect: int = 0x0311
    failed_login_seconds: float = 2.0
    keytab: Path | None = None
    offload: OffloadSettings = field(default_factory=OffloadSettings)
    max_transact_bytes: int = 8 * MEBIBYTE
    max_read_bytes: int = 8 * MEBIBYTE
    max_write_bytes: int = 8 * MEBIBYTE
