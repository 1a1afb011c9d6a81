"""What a copy came to: the numbers that are shown while it runs and handed back when it is done."""

from collections.abc import Callable
from dataclasses import dataclass

from odxfs.client.explain import Cause, ChunkCause
from odxfs.client.metadata import Lost


@dataclass(slots=True)
class Tally:
    """The running count of one copy. Wire bytes are what the sockets really took and gave, frames and signatures included."""

    logical_bytes: int = 0
    """The size of the file."""
    done_bytes: int = 0
    """How much of it is in place, by whatever way."""
    offloaded_bytes: int = 0
    """By token."""
    copychunk_bytes: int = 0
    plain_bytes: int = 0
    hole_bytes: int = 0
    """Holes of the source that no mechanism had to move."""
    resumed_bytes: int = 0
    """In place already from an earlier run."""
    tokens: int = 0
    wire_sent_bytes: int = 0
    wire_received_bytes: int = 0

    @property
    def offloaded_percent(self) -> float:
        """The share of the bytes that have arrived which came by token."""
        return 100.0 * self.offloaded_bytes / self.done_bytes if self.done_bytes else 0.0

    @property
    def mechanism(self) -> str:
        """`token`, `copychunk`, `plain`, or those that had a part in it, in that order, joined by `+`.

        `none` where all was in place already from an earlier run.
        """
        parts = {"token": self.offloaded_bytes, "copychunk": self.copychunk_bytes, "plain": self.plain_bytes}
        nothing = "none" if self.resumed_bytes else "plain"
        return "+".join(name for name, count in parts.items() if count) or nothing

    def counts(self) -> dict[str, int]:
        """All counts by the keys of the JSON."""
        return {
            "logical_bytes": self.logical_bytes,
            "offloaded_bytes": self.offloaded_bytes,
            "copychunk_bytes": self.copychunk_bytes,
            "plain_bytes": self.plain_bytes,
            "hole_bytes": self.hole_bytes,
            "resumed_bytes": self.resumed_bytes,
            "tokens": self.tokens,
            "wire_sent_bytes": self.wire_sent_bytes,
            "wire_received_bytes": self.wire_received_bytes,
        }


Observer = Callable[[Tally], None]
"""Called from the copy whenever the tally has moved; must return quickly and not raise."""


@dataclass(frozen=True, slots=True)
class CopyResult:
    """One finished copy."""

    tally: Tally
    cause: Cause | None
    """Why (a part) was not copied by token; None for a copy by token alone."""
    chunk_cause: ChunkCause | None
    """Why (a part) of that was not copied by COPYCHUNK either; None when there was nothing left for a plain copy."""
    seconds: float
    """From the first request for the files to the last answer; not the connecting and logging on."""
    not_kept: frozenset[Lost] = frozenset()
    sha256: str | None = None
    """Of both files, when they were read back."""

    @property
    def mechanism(self) -> str:
        """See `Tally.mechanism`."""
        return self.tally.mechanism

    @property
    def logical_bytes(self) -> int:
        """The size of the file."""
        return self.tally.logical_bytes

    @property
    def offloaded_bytes(self) -> int:
        """What was copied by token."""
        return self.tally.offloaded_bytes

    @property
    def wire_sent_bytes(self) -> int:
        """What the sockets took meanwhile, for whatever file."""
        return self.tally.wire_sent_bytes

    @property
    def wire_received_bytes(self) -> int:
        """What the sockets gave meanwhile, for whatever file."""
        return self.tally.wire_received_bytes

    @property
    def tokens(self) -> int:
        """How many tokens were read."""
        return self.tally.tokens

    @property
    def reason(self) -> str | None:
        """The cause against tokens in words."""
        return self.cause.sentence if self.cause is not None else None

    @property
    def copychunk_reason(self) -> str | None:
        """The cause against COPYCHUNK in words."""
        return self.chunk_cause.sentence if self.chunk_cause is not None else None

    def as_json(self) -> dict[str, object]:
        """What `odxfs cp --json` tells of one file. Keys are never renamed."""
        return {
            "mechanism": self.mechanism,
            "reason": self.reason,
            "copychunk_reason": self.copychunk_reason,
            **self.tally.counts(),
            "seconds": round(self.seconds, 6),
            "not_kept": sorted(lost.value for lost in self.not_kept),
            "verified": True if self.sha256 else None,
            "sha256": self.sha256,
        }
