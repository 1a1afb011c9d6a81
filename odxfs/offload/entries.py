"""One live token, what people are shown of it, and what is remembered of those that have ended."""

from collections import OrderedDict
from dataclasses import dataclass

from odxfs.errors import Refusal
from odxfs.offload.token import TokenId, label_of_id
from odxfs.types import InodeNumber
from odxfs.volume import Inode, Pin

MOST_REMEMBERED = 16384
"""Ended tokens of which the reason is kept: about 200 bytes each."""


@dataclass(frozen=True, slots=True)
class TokenOrigin:
    """Which bytes a token stands for, and who asked for it where; offset and lengths in bytes.

    `length` is in whole sectors, `data_length` as far as the source reached then. `svm` and `share` are empty for a token of
    the mount.
    """

    volume: str
    source: InodeNumber
    offset: int
    length: int
    data_length: int
    owner: str
    client: str
    svm: str = ""
    share: str = ""
    path: str = ""


@dataclass(slots=True, eq=False)
class TokenEntry:
    """One live token. `last_used` and `deadline` move with each use; everything else stays what it was."""

    id: TokenId
    pin: Pin
    origin: TokenOrigin
    lifetime: float
    created: float
    last_used: float
    deadline: float
    dies_at: float | None = None
    """The end of its life however often it is used, if its share's policy sets one."""
    watched: Inode | None = None
    """The source, if a change of it is to end the token."""
    uses: int = 0
    writers: int = 0
    """Writes and reads under way from this token; its pin outlives them even if the token ends."""
    ended: bool = False

    @property
    def label(self) -> str:
        """What people call the token: enough to find it, too little to redeem it."""
        return label_of_id(self.id)

    @property
    def length(self) -> int:
        """Bytes that it stands for."""
        return self.origin.length

    def is_over(self, now: float) -> bool:
        """Whether its time is up: that of inactivity does not run while it is in use."""
        if self.dies_at is not None and self.dies_at <= now:
            return True
        return self.deadline <= now and not self.writers

    def renew(self, now: float) -> None:
        """Start its time of inactivity anew."""
        self.last_used = now
        self.deadline = now + self.lifetime
        if self.dies_at is not None:
            self.deadline = min(self.deadline, self.dies_at)


@dataclass(frozen=True, slots=True)
class TokenChoice:
    """Which tokens an administrator means: those that fit all that is given, or `all`. Nothing given means none."""

    label: str = ""
    svm: str = ""
    volume: str = ""
    client: str = ""
    all: bool = False

    def includes(self, entry: TokenEntry) -> bool:
        """Whether the token is meant."""
        origin = entry.origin
        wanted = (
            (self.label, entry.label),
            (self.svm, origin.svm),
            (self.volume, origin.volume),
            (self.client, origin.client),
        )
        given = [(asked, found) for asked, found in wanted if asked]
        return (bool(given) or self.all) and all(asked == found for asked, found in given)


@dataclass(frozen=True, slots=True)
class TokenInfo:
    """A live token as shown to people; ages in seconds. Holds nothing that would let its reader redeem the token."""

    label: str
    volume: str
    source: int
    offset: int
    length: int
    owner: str
    client: str
    age: float
    remaining: float
    uses: int
    svm: str
    share: str
    path: str

    @classmethod
    def of(cls, entry: TokenEntry, now: float) -> "TokenInfo":
        """What there is to tell of `entry` at this moment."""
        origin = entry.origin
        return cls(
            label=entry.label,
            volume=origin.volume,
            source=origin.source,
            offset=origin.offset,
            length=origin.length,
            owner=origin.owner,
            client=origin.client,
            age=now - entry.created,
            remaining=max(0.0, entry.deadline - now),
            uses=entry.uses,
            svm=origin.svm,
            share=origin.share,
            path=origin.path,
        )


class EndedTokens:
    """Why tokens of this life ended, of the last MOST_REMEMBERED of them."""

    def __init__(self, most: int = MOST_REMEMBERED) -> None:
        self._most = most
        self._reasons: OrderedDict[TokenId, Refusal] = OrderedDict()

    def __len__(self) -> int:
        return len(self._reasons)

    def note(self, identifier: TokenId, reason: Refusal) -> None:
        """The token has ended, for good."""
        self._reasons[identifier] = reason
        if len(self._reasons) > self._most:
            self._reasons.popitem(last=False)

    def reason(self, identifier: TokenId) -> Refusal:
        """Why it ended; FORGOTTEN_TOKEN for what is not remembered."""
        return self._reasons.get(identifier, Refusal.FORGOTTEN_TOKEN)
