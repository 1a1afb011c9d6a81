"""What was copied without moving bytes, by mechanism, and what was refused, by reason."""

from collections import Counter
from dataclasses import dataclass, field
from enum import Enum

from odxfs.errors import Refusal


class Mechanism(Enum):
    """The door through which a copy asked for shared extents."""

    OFFLOAD = "offload"
    COPYCHUNK = "copychunk"
    DUPLICATE_EXTENTS = "duplicate_extents"
    COPY_FILE_RANGE = "copy_file_range"


@dataclass(slots=True)
class MechanismCounter:
    """`logical_bytes` were copied in `calls`; of them `shared_bytes` by sharing extents, the rest byte by byte."""

    calls: int = 0
    logical_bytes: int = 0
    shared_bytes: int = 0


@dataclass(slots=True)
class OffloadCounters:
    """Counts since the engine was made."""

    mechanisms: dict[Mechanism, MechanismCounter] = field(
        default_factory=lambda: {mechanism: MechanismCounter() for mechanism in Mechanism}
    )
    refusals: Counter[Refusal] = field(default_factory=Counter)

    def copied(self, mechanism: Mechanism, logical_bytes: int, shared_bytes: int) -> None:
        """Count one successful copy."""
        counter = self.mechanisms[mechanism]
        counter.calls += 1
        counter.logical_bytes += logical_bytes
        counter.shared_bytes += shared_bytes

    def as_json(self) -> dict[str, object]:
        """For the control socket: plain values only."""
        return {
            "mechanisms": {
                mechanism.value: {
                    "calls": counter.calls,
                    "logical_bytes": counter.logical_bytes,
                    "shared_bytes": counter.shared_bytes,
                }
                for mechanism, counter in self.mechanisms.items()
            },
            "refusals": {refusal.label: count for refusal, count in self.refusals.items()},
        }
