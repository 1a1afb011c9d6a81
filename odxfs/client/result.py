"""What a copy came to: the numbers that are shown while it runs and handed back when it is done."""

from collections.abc import Callable
from dataclasses import dataclass

from odxfs.client.explain import Cause


@dataclass(slots=True)
class Tally:
    """The running count of one copy. Wire bytes are what the sockets really took and gave, frames and signatures included."""

    logical_bytes: int = 0
    """The size of the file."""
    done_bytes: int = 0
    """How much of it has arrived, by whatever way."""
    offloaded_bytes: int = 0
    tokens: int = 0
    wire_sent_bytes: int = 0
    wire_received_bytes: int = 0

    @property
    def offloaded_percent(self) -> float:
        """The share of the bytes that have arrived which came by token."""
        return 100.0 * self.offloaded_bytes / self.done_bytes if self.done_bytes else 0.0


Observer = Callable[[Tally], None]
"""Called from the copy whenever the tally has moved; must return quickly and not raise."""


@dataclass(frozen=True, slots=True)
class CopyResult:
    """One finished copy."""

    mechanism: str
    """`token`, `plain`, or `token+plain` when a refusal came on the way."""
    cause: Cause | None
    """Why (a part) was copied plainly; None for a copy by token alone."""
    logical_bytes: int
    offloaded_bytes: int
    wire_sent_bytes: int
    wire_received_bytes: int
    tokens: int
    seconds: float
    """From the first request for the files to the last answer; not the connecting and logging on."""

    @property
    def reason(self) -> str | None:
        """The cause in words."""
        return self.cause.sentence if self.cause is not None else None

    def as_json(self) -> dict[str, object]:
        """The object that `odxfs cp --json` prints. Keys are never renamed."""
        return {
            "mechanism": self.mechanism,
            "reason": self.reason,
            "logical_bytes": self.logical_bytes,
            "offloaded_bytes": self.offloaded_bytes,
            "wire_sent_bytes": self.wire_sent_bytes,
            "wire_received_bytes": self.wire_received_bytes,
            "tokens": self.tokens,
            "seconds": round(self.seconds, 6),
        }
