"""How the requests of sessions came: what an administrator sees of who signs and who encrypts."""

from dataclasses import dataclass


@dataclass(slots=True)
class Traffic:
    """Counts of accepted requests, without logins and logoffs: the former cannot be encrypted, the latter carry nothing."""

    plain: int = 0
    signed: int = 0
    encrypted: int = 0

    def count(self, *, signed: bool, encrypted: bool) -> None:
        """One more request."""
        if encrypted:
            self.encrypted += 1
        elif signed:
            self.signed += 1
        else:
            self.plain += 1

    def add(self, other: "Traffic") -> None:
        """Those of another count, too."""
        self.plain += other.plain
        self.signed += other.signed
        self.encrypted += other.encrypted
