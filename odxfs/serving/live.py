"""What a serving process tells its caller once everything answers, and `odxfs status` later."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LiveSvm:
    """One SVM: its addresses as people write them, and its shares. `declared` shares are those of the configuration."""

    name: str
    server_name: str
    profile: str
    listen: list[str]
    volumes: list[str]
    shares: list[str]
    declared: bool


@dataclass(frozen=True, slots=True)
class Live:
    """What became of it. `smb` and `shares` are the first address and the shares of the first SVM, the default one if it is
    served; every SVM is in `svms`."""

    directory: str
    mountpoint: str | None
    smb: str | None
    shares: list[str]
    svms: list[LiveSvm]
    pid: int
