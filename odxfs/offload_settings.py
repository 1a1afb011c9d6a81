"""What one SVM decides about copy offload. Immutable; an administrator's change is a new object."""

from dataclasses import dataclass

from odxfs.types import BLOCK_BYTES, LEAF_BYTES

GIBIBYTE = 1024**3

LARGEST_TOKEN_BYTES = 256 * 1024 * 1024
"""The configurable maximum: the step in which Windows' CopyFileEx writes tokens (MS-FSCC, product behaviour)."""


@dataclass(frozen=True, slots=True)
class TokenLimits:
    """Bounds on tokens; lifetimes in seconds. Where a bound is reached, the longest idle token ends."""

    default_lifetime: float = 60.0
    """What a client's TokenTimeToLive of 0 means. FreeBSD's CTL waits as long."""
    shortest_lifetime: float = 5.0
    """A hint below this is raised: a token must outlast the client's next round trip on a slow link."""
    longest_lifetime: float = 600.0
    """A hint above this is lowered: a client may ask for 49 days, and its tokens hold space."""
    tokens_per_volume: int = 16384
    """128 GiB in flight at 8 MiB a token; about 1 KiB of memory each."""
    tokens_per_svm: int = 32768
    """Two full volumes' worth."""
    tokens_per_client: int = 8192
    """Half of a volume's, so that no single client can push all others' tokens out."""
    pinned_bytes_per_volume: int = 64 * GIBIBYTE
    pinned_bytes_per_svm: int = 64 * GIBIBYTE
    pinned_bytes_per_client: int = 32 * GIBIBYTE
    pinned_only_bytes: int = 64 * GIBIBYTE
    """Space that nothing but tokens keeps from being freed, over the whole pool."""


@dataclass(frozen=True, slots=True)
class OffloadSettings:
    """Sizes in bytes. `token_bytes` bounds what one token stands for: whole blocks, at most LARGEST_TOKEN_BYTES.

    `smallest_file_bytes`: smaller files get no token. `strict`: an OFFLOAD_WRITE never extends a file (MS-FSA 2.1.5.10.21);
    without it, one that reaches past the end does, as one published test expects. `copychunk`: COPYCHUNK and
    DUPLICATE_EXTENTS are served beside tokens; ONTAP knows neither.
    """

    enabled: bool = True
    token_bytes: int = LEAF_BYTES
    smallest_file_bytes: int = 0
    strict: bool = True
    copychunk: bool = True
    limits: TokenLimits = TokenLimits()

    def __post_init__(self) -> None:
        if not BLOCK_BYTES <= self.token_bytes <= LARGEST_TOKEN_BYTES or self.token_bytes % BLOCK_BYTES:
            raise ValueError(
                f"token_bytes must be whole blocks up to {LARGEST_TOKEN_BYTES}, not {self.token_bytes}"
            )
