"""An address and a port as people write them."""

from typing import NamedTuple, Self

DEFAULT_ADDRESS = "127.0.0.1"

MAX_PORT = 65535

_EVERYWHERE = frozenset({"0.0.0.0", "::"})  # noqa: S104 - only compared with


class Endpoint(NamedTuple):
    """Where one listens. Port 0 leaves the choice to the system."""

    address: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """`ADDR:PORT`, `[ADDR]:PORT` for IPv6, or a port alone on 127.0.0.1. Raises ValueError."""
        address, separator, port = text.rpartition(":")
        if not (port.isascii() and port.isdecimal()) or int(port) > MAX_PORT or (separator and not address):
            raise ValueError(f"{text!r} is not ADDR:PORT")
        address = address.strip("[]") or DEFAULT_ADDRESS
        if not _may_be_address(address):
            raise ValueError(f"{text!r} is not ADDR:PORT: {address!r} is neither an address nor a name")
        return cls(address, int(port))

    def __str__(self) -> str:
        """`ADDR:PORT`, with an IPv6 address in brackets."""
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"

    def collides(self, other: "Endpoint") -> bool:
        """Whether the two cannot both be listened on: one port on one address, or on all of a machine's addresses."""
        if self.port != other.port or self.port == 0:
            return False
        return self.address == other.address or bool({self.address, other.address} & _EVERYWHERE)


def _may_be_address(text: str) -> bool:
    """Whether the system can be asked for it: labels of 1 to 63 characters (RFC 1035 section 2.3.4)."""
    try:
        return text.isprintable() and bool(text.encode("idna"))
    except UnicodeError:
        return False
