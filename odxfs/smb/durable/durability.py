"""What an open has beyond others when it may outlive its connection or be asked for again (MS-SMB2 3.3.1.10)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from uuid import UUID

    from odxfs.smb.request import RequestContext
    from odxfs.wire.create import CreateAction


class Kind(Enum):
    """What becomes of an open when its session is lost."""

    NONE = "none"
    """It is closed."""
    DURABLE = "durable"
    """Kept as long as nobody else wants what its client caches; version 1 (DHnQ)."""
    DURABLE_V2 = "durable 2"
    """The same, with a CreateGuid and a time of its own; version 2 (DH2Q)."""
    PERSISTENT = "persistent"
    """Kept in any case, and over a restart of the server."""
    RESILIENT = "resilient"
    """Kept in any case, as long as the server runs."""


class AppInstance(NamedTuple):
    """The application that an open belongs to, wherever it runs; its version, None where none was told (2.2.13.2.13, .15)."""

    id: bytes
    version: tuple[int, int] | None


@dataclass(slots=True, eq=False)
class Durability:
    """`client_guid` is of the connection that made the open, `owner` who may take it up again (MS-SMB2's DurableOwner).

    `timeout` is in seconds. `create_guid` is empty where the client sent none. `parked_until` is a moment of the server's clock,
    None while a session has the open. `action` is what CREATE answered, for a client that asks again. While
    `is_replay_eligible` no request but that CREATE has used the open. `durable_record` is the record of a persistent open that
    was committed last, the very object: one with the same bytes that was noted since may not be durable. `left_at_work` are the
    requests of the session that it was lost with last, those that have not ended yet.
    """

    client_guid: UUID
    owner: str
    action: CreateAction
    create_guid: bytes = b""
    app_instance: AppInstance | None = None
    kind: Kind = Kind.NONE
    timeout: float = 0.0
    parked_until: float | None = None
    is_replay_eligible: bool = True
    durable_record: bytes | None = None
    left_at_work: Mapping[int, RequestContext] = field(default_factory=dict)

    @property
    def is_parked(self) -> bool:
        """Whether its session is lost and it waits for its client."""
        return self.parked_until is not None

    @property
    def may_come_back(self) -> bool:
        """Whether its client may have it again: it is parked, and not about to be closed for somebody else."""
        return self.is_parked and self.outlives_connection

    @property
    def outlives_connection(self) -> bool:
        """Whether the loss of its session is not its end."""
        return self.kind is not Kind.NONE

    @property
    def is_persistent(self) -> bool:
        """Whether it outlives the server, too."""
        return self.kind is Kind.PERSISTENT

    @property
    def yields(self) -> bool:
        """Whether it is given up, parked, for somebody whom its oplock or lease is in the way (MS-SMB2 3.3.4.6)."""
        return self.kind in (Kind.DURABLE, Kind.DURABLE_V2)
