"""What an open file or a folder is recognised by, whatever way it is reached: share, mount or path. Pure."""

from dataclasses import dataclass
from enum import Enum, auto

LOCAL = b"this machine"
"""The realm of local files."""


class Likeness(Enum):
    """How two compare."""

    SAME = auto()
    PERHAPS = auto()
    """Their numbers are the same, which those of different volumes may be by chance."""
    DIFFERENT = auto()


@dataclass(frozen=True, slots=True)
class Identity:
    """`key` names it in its `realm`, which is a server's GUID or LOCAL; `is_exact`: it alone there has this key.

    `number` is what stat(2) calls st_ino and SMB the index number; `opening` the pool that it lies in, on odxfs
    (`odxfs.pool_identity`); `aspect` which moment and which stream of it. `changed_ns`, the time of change in ns since 1970, is
    the same by every way, too.
    """

    realm: bytes
    key: tuple[object, ...]
    is_exact: bool
    number: int | None = None
    aspect: tuple[int | None, str] = (None, "")
    opening: bytes | None = None
    changed_ns: int | None = None

    def compare(self, other: "Identity") -> Likeness:
        """Whether both are of one file or folder."""
        if self.aspect != other.aspect:
            return Likeness.DIFFERENT
        if self.opening is not None and other.opening is not None:
            is_same = (self.opening, self.number) == (other.opening, other.number)
            return Likeness.SAME if is_same else Likeness.DIFFERENT
        if self.realm == other.realm:
            if self.key != other.key:
                return Likeness.DIFFERENT
            return Likeness.SAME if self.is_exact and other.is_exact else Likeness.PERHAPS
        is_like = self.number is not None and self.number == other.number
        return Likeness.PERHAPS if is_like else Likeness.DIFFERENT
