"""What was copied without moving bytes, and what was refused, by mechanism and reason."""

from collections import Counter
from dataclasses import dataclass, field
from enum import Enum


class Mechanism(Enum):
    """The door through which a copy asked for shared extents."""

    OFFLOAD = "offload"
    COPYCHUNK = "copychunk"
    DUPLICATE_EXTENTS = "duplicate_extents"
    COPY_FILE_RANGE = "copy_file_range"
    TOKEN_ATTRIBUTE = "token_attribute"  # noqa: S105 (tokens of data, no secret)


@dataclass(slots=True)
class MechanismCounter:
    """`logical_bytes` were copied in `calls`; of them `shared_bytes` by sharing extents, the rest byte by byte.

    `tokens` were read. `refusals` counts by reason: the label of a Refusal, or an NTSTATUS's name in lower case.
    """

    calls: int = 0
    logical_bytes: int = 0
    shared_bytes: int = 0
    tokens: int = 0
    refusals: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class OffloadCounters:
    """Counts since the engine was made."""

    mechanisms: dict[Mechanism, MechanismCounter] = field(
        default_factory=lambda: {mechanism: MechanismCounter() for mechanism in Mechanism}
    )

    def copied(self, mechanism: Mechanism, logical_bytes: int, shared_bytes: int) -> None:
        """Count one successful copy."""
        counter = self.mechanisms[mechanism]
        counter.calls += 1
        counter.logical_bytes += logical_bytes
        counter.shared_bytes += shared_bytes

    @property
    def refusals(self) -> Counter[str]:
        """By reason, of all mechanisms together."""
        return sum((counter.refusals for counter in self.mechanisms.values()), Counter[str]())

    def as_json(self) -> dict[str, object]:
        """For the control socket: plain values only."""
        return {
            "mechanisms": {
                mechanism.value: {
                    "calls": counter.calls,
                    "logical_bytes": counter.logical_bytes,
                    "shared_bytes": counter.shared_bytes,
                    "tokens": counter.tokens,
                    "refusals": dict(counter.refusals),
                }
                for mechanism, counter in self.mechanisms.items()
            },
            "refusals": dict(self.refusals),
        }
