"""What a configuration holds: frozen values, complete with their defaults.

The names of fields are the keys of the file with "-" for "_"; their annotations say what a value may be and what it means
(`settings.py`). Sizes are bytes, times seconds.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Annotated

from odxfs.configuration.endpoint import Endpoint
from odxfs.configuration.kinds import Flag, Seconds, Several, Whole
from odxfs.configuration.settings import Doc, NamedTables, NamedValues, Table
from odxfs.configuration.sizes import Size
from odxfs.configuration.texts import ENDPOINT, POLICY, VOLUME_PATH, Choice, Folder, Text
from odxfs.offload_settings import LARGEST_TOKEN_BYTES, OffloadSettings, TokenLimits
from odxfs.smb.settings import Encryption
from odxfs.smb.shares import COMMENT_PATTERN, check_share_name
from odxfs.types import BLOCK_BYTES, MAX_FILE_BYTES

DEFAULT_SVM = "default"
"""The SVM whose users and shares lie in the pool's directory itself, and that has the volumes no other SVM claims."""

DEFAULT_ENDPOINT = Endpoint("127.0.0.1", 4450)
"""Where the default SVM listens. Not 445, which needs privileges and is often taken by another server."""

_OFFLOAD = OffloadSettings()
_LIMITS = TokenLimits()
_MOST_TOKENS = 1 << 20
"""A token takes about 1 KiB of memory."""
_MOST_BYTES = 1 << 60

_VOLUME = Text("[^/\x00-\x1f]{1,64}", "the name of a volume")
_SVM_NAME = re.compile("[A-Za-z0-9][A-Za-z0-9_-]{0,46}")


class Profile(Enum):
    """Whose behaviour an SVM shows."""

    WINDOWS = "windows"
    ONTAP = "ontap"


class Signing(Enum):
    """Whether clients may or must sign."""

    OFFERED = "offered"
    REQUIRED = "required"


class DialectName(Enum):
    """The SMB dialects that are served, oldest first."""

    SMB_2_1 = "2.1"
    SMB_3_0 = "3.0"
    SMB_3_0_2 = "3.0.2"
    SMB_3_1_1 = "3.1.1"

    @property
    def revision(self) -> int:
        """The number on the wire (MS-SMB2 2.2.3)."""
        major, minor, patch = (*map(int, self.value.split(".")), 0)[:3]
        return major << 8 | minor << 4 | patch


def check_svm_name(name: str) -> None:
    """Raise ValueError for a name that no SVM may have: it becomes the name of a directory."""
    if not _SVM_NAME.fullmatch(name):
        raise ValueError(f"{name!r} cannot be the name of an SVM (letters, digits, - and _)")


def _check_volume(name: str) -> None:
    try:
        _VOLUME.read(name)
    except ValueError as error:
        raise ValueError(f"{name!r} {error}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenBounds:
    """The life of tokens read on an SVM, and how many it may hold."""

    default_lifetime: Annotated[
        float, Seconds(1, 86400), Doc("Seconds an unused token lives when the client does not say.")
    ] = _LIMITS.default_lifetime
    shortest_lifetime: Annotated[
        float, Seconds(0, 86400), Doc("A client's TokenTimeToLive below this is raised to it; seconds.")
    ] = _LIMITS.shortest_lifetime
    longest_lifetime: Annotated[
        float, Seconds(1, 86400), Doc("A client's TokenTimeToLive above this is lowered to it; seconds.")
    ] = _LIMITS.longest_lifetime
    per_volume: Annotated[
        int, Whole(1, _MOST_TOKENS), Doc("Tokens of one volume; past it the longest idle one ends.")
    ] = _LIMITS.tokens_per_volume
    per_svm: Annotated[int, Whole(1, _MOST_TOKENS), Doc("Tokens of the whole SVM.")] = _LIMITS.tokens_per_svm
    per_client: Annotated[int, Whole(1, _MOST_TOKENS), Doc("Tokens of one client's address.")] = (
        _LIMITS.tokens_per_client
    )
    pinned_per_volume: Annotated[
        int, Size(0, _MOST_BYTES), Doc("Bytes that the tokens of one volume may keep alive.")
    ] = _LIMITS.pinned_bytes_per_volume
    pinned_per_svm: Annotated[
        int, Size(0, _MOST_BYTES), Doc("Bytes that the tokens of the SVM may keep alive.")
    ] = _LIMITS.pinned_bytes_per_svm
    pinned_per_client: Annotated[
        int, Size(0, _MOST_BYTES), Doc("Bytes that the tokens of one client may keep alive.")
    ] = _LIMITS.pinned_bytes_per_client


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareConfiguration:
    """A name under which the SVM serves a volume, or a folder of it."""

    volume: Annotated[
        str,
        _VOLUME,
        Doc("The volume: one of the SVM's. Default: the first of them, of the default SVM main."),
    ] = ""
    path: Annotated[str, VOLUME_PATH, Doc("Serve only this folder of the volume.")] = ""
    comment: Annotated[str, Text(COMMENT_PATTERN, "a line of text"), Doc("Shown beside the name.")] = ""
    read_only: Annotated[bool, Flag(), Doc("Let nobody write through this share.")] = False
    copy_offload: Annotated[bool, Flag(), Doc("Serve copy offload on this share.")] = True
    encrypt: Annotated[bool, Flag(), Doc("Serve only encrypted (SMB 3) sessions.")] = False
    continuously_available: Annotated[
        bool,
        Flag(),
        Doc("Let clients keep files open over a restart of the server; each open costs a disk write."),
    ] = False
    access_based_enumeration: Annotated[
        bool, Flag(), Doc("Leave out of listings what the user may not read.")
    ] = False
    offload_policy: Annotated[
        str, POLICY, Doc("What becomes of tokens when their source changes, and faults for test labs.")
    ] = "pin"


@dataclass(frozen=True, slots=True, kw_only=True)
class SvmConfiguration:
    """One storage virtual machine: a virtual SMB server with users, shares and settings of its own."""

    listen: Annotated[
        tuple[Endpoint, ...],
        Several(ENDPOINT),
        Doc(
            "Where clients connect: ADDR:PORT or a list of them. Default of the default SVM: 127.0.0.1:4450."
        ),
    ] = ()
    server_name: Annotated[
        str,
        Text("[A-Za-z0-9][A-Za-z0-9_-]{0,62}", "the name of a server"),
        Doc("The name that clients are told. Default: the SVM's in capitals, of the default SVM ODXFS."),
    ] = ""
    volumes: Annotated[
        tuple[str, ...],
        Several(_VOLUME),
        Doc("The volumes that belong to this SVM. What no SVM names belongs to the default SVM."),
    ] = ()
    profile: Annotated[
        Profile,
        Choice(Profile),
        Doc(
            "Whose behaviour: ontap means tokens of 8 MiB, files from 256 KiB, offload from SMB 3.0 on, no COPYCHUNK and no "
            "DUPLICATE_EXTENTS. Other keys override it."
        ),
    ] = Profile.WINDOWS
    signing: Annotated[Signing, Choice(Signing), Doc("Whether clients may or must sign.")] = Signing.REQUIRED
    encryption: Annotated[
        Encryption, Choice(Encryption), Doc("Whether clients cannot, may or must encrypt (SMB 3).")
    ] = Encryption.OFFERED
    keytab: Annotated[
        str,
        Text("(/[^\x00]+)?", "an absolute path"),
        Doc("The keytab with the server's keys, with which Kerberos is offered, too. Default: none."),
    ] = ""
    min_dialect: Annotated[
        DialectName, Choice(DialectName), Doc("The oldest SMB dialect that is spoken.")
    ] = DialectName.SMB_2_1
    max_dialect: Annotated[
        DialectName, Choice(DialectName), Doc("The newest SMB dialect that is spoken.")
    ] = DialectName.SMB_3_1_1
    copy_offload: Annotated[bool, Flag(), Doc("Serve copy offload (ODX) at all.")] = _OFFLOAD.enabled
    token_size: Annotated[
        int,
        Size(BLOCK_BYTES, LARGEST_TOKEN_BYTES, BLOCK_BYTES),
        Doc("What one token stands for at most."),
    ] = _OFFLOAD.token_bytes
    smallest_file: Annotated[int, Size(0, MAX_FILE_BYTES), Doc("Smaller files get no token.")] = (
        _OFFLOAD.smallest_file_bytes
    )
    strict_offload: Annotated[
        bool,
        Flag(),
        Doc("An offload write never extends a file; without this, one that reaches past the end does."),
    ] = _OFFLOAD.strict
    copychunk: Annotated[
        bool, Flag(), Doc("Serve COPYCHUNK, RESUME_KEY and DUPLICATE_EXTENTS beside tokens.")
    ] = _OFFLOAD.copychunk
    tokens: Annotated[TokenBounds, Table(TokenBounds), Doc("Lifetimes and bounds of tokens.")] = field(
        default_factory=TokenBounds
    )
    share: Annotated[
        Mapping[str, ShareConfiguration],
        NamedTables(ShareConfiguration, check_share_name),
        Doc("The shares, if they are declared here: then 'odxfs share' changes none of this SVM's."),
    ] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """What one process serves: a pool, its mounts and its SVMs."""

    pool: Annotated[
        Path, Folder(), Doc("The pool's directory. Default: the directory that the file is in.")
    ] = Path()
    mounts: Annotated[
        Mapping[str, Path],
        NamedValues(Folder(), _check_volume),
        Doc("Volume = mount point. One process mounts one volume."),
    ] = field(default_factory=dict)
    token_space: Annotated[
        int, Size(0, _MOST_BYTES), Doc("Space of the pool that nothing but tokens may keep from being freed.")
    ] = _LIMITS.pinned_only_bytes
    tokens: Annotated[
        TokenBounds, Table(TokenBounds), Doc("Lifetimes and bounds of the tokens that are read on mounts.")
    ] = field(default_factory=TokenBounds)
    svm: Annotated[
        Mapping[str, SvmConfiguration],
        NamedTables(SvmConfiguration, check_svm_name),
        Doc("The storage virtual machines. Without any there is the default SVM with its defaults."),
    ] = field(default_factory=dict)

    def owner_of(self, volume: str) -> str:
        """The SVM that the volume belongs to: who names it, else the default SVM, whether that is served or not."""
        for name, svm in self.svm.items():
            if volume in svm.volumes:
                return name
        return DEFAULT_SVM
