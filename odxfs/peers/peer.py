"""A peer: another server, whose pool's tokens may be written here."""

from dataclasses import dataclass, field
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Peer:
    """Where it is, as whom to log on, and by which pool its tokens are known. The password stays out of repr."""

    name: str
    address: str
    port: int
    user: str
    password: str = field(repr=False)
    pool: UUID

    @property
    def endpoint(self) -> str:
        """`address:port`, with an IPv6 address in brackets."""
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"
