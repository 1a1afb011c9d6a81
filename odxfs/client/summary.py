"""What a command that copies one file or many came to. Pure."""

from collections import Counter
from dataclasses import dataclass, fields

from odxfs.client.metadata import Lost
from odxfs.client.result import CopyResult, Tally
from odxfs.errors import ExitCode, UserError


@dataclass(frozen=True, slots=True)
class Record:
    """One file, or a folder that failed: copied with a result, or not copied with an error."""

    source: str
    destination: str
    result: CopyResult | None = None
    error: UserError | None = None

    def as_json(self) -> dict[str, object]:
        """An element of `files` in the JSON document. Keys are never renamed."""
        told: dict[str, object] = {"source": self.source, "destination": self.destination, "error": None}
        if self.result is not None:
            told |= self.result.as_json()
        if self.error is not None:
            told |= {"error": str(self.error), "exit_code": int(self.error.exit_code)}
        return told


class Summary:
    """The sum of all records."""

    def __init__(self) -> None:
        self.tally = Tally()
        self.files = 0
        self.folders = 0
        self.failed = 0
        self.mechanisms = Counter[str]()
        self.reasons = Counter[str]()
        self.copychunk_reasons = Counter[str]()
        self.not_kept = set[Lost]()
        self.seconds = 0.0
        self.verified: bool | None = None
        self._codes = set[ExitCode]()

    def add(self, record: Record) -> None:
        """One more."""
        if record.error is not None:
            self.failed += 1
            self._codes.add(record.error.exit_code)
            if record.error.exit_code is ExitCode.MISMATCH:
                self.verified = False
        if record.result is not None:
            self._add_result(record.result)

    @property
    def mechanism(self) -> str:
        """The mechanisms that had a part in it, joined by `+`."""
        return self.tally.mechanism

    @property
    def exit_code(self) -> ExitCode:
        """A difference found by --verify weighs most; one kind of failure keeps its code only for a single file."""
        if ExitCode.MISMATCH in self._codes:
            return ExitCode.MISMATCH
        return ExitCode.INCOMPLETE if self.failed else ExitCode.OK

    def as_json(self) -> dict[str, object]:
        """The JSON document but for `files`. Keys are never renamed."""
        return {
            "mechanism": self.mechanism,
            "reason": _only(self.reasons),
            "copychunk_reason": _only(self.copychunk_reasons),
            **self.tally.counts(),
            "seconds": round(self.seconds, 6),
            "not_kept": sorted(lost.value for lost in self.not_kept),
            "verified": self.verified,
            "file_count": self.files,
            "directory_count": self.folders,
            "failed_count": self.failed,
            "reasons": dict(self.reasons),
            "copychunk_reasons": dict(self.copychunk_reasons),
        }

    def _add_result(self, result: CopyResult) -> None:
        self.files += 1
        add_counts(self.tally, result.tally)
        self.mechanisms[result.mechanism] += 1
        self.not_kept |= result.not_kept
        if result.reason is not None:
            self.reasons[result.reason] += 1
        if result.copychunk_reason is not None:
            self.copychunk_reasons[result.copychunk_reason] += 1
        if result.sha256 is not None and self.verified is None:
            self.verified = True


def add_counts(total: Tally, more: Tally, less: Tally | None = None) -> None:
    """Add the counts of `more` to `total`, and take off those of `less`; not the wire's, which are the connections' own."""
    for count in fields(Tally):
        if not count.name.startswith("wire_"):
            step = getattr(more, count.name) - (getattr(less, count.name) if less is not None else 0)
            setattr(total, count.name, getattr(total, count.name) + step)


def _only(reasons: Counter[str]) -> str | None:
    """The reason, when there is but one."""
    return next(iter(reasons)) if len(reasons) == 1 else None
