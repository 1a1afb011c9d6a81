"""The opens of a server that may be asked for again: by CreateGuid, by application, and those that wait for their client.

Pure state: moments come in as `now`, and whoever closes what is overdue does so outside (scavenger.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING
from uuid import UUID

from sortedcontainers import SortedList

from odxfs.smb.limits import MAX_PARKED_OPENS, MAX_PARKED_OPENS_PER_USER, MAX_PERSISTENT_OPENS_PER_USER

if TYPE_CHECKING:
    from odxfs.smb.durable.durability import Durability
    from odxfs.smb.opens import SmbOpen

CreateName = tuple[UUID, bytes]
"""A client and what it calls one of its CREATEs."""


class DurableOpens:
    """Holds every open that has a `Durability`, from `enter` to `forget`."""

    def __init__(self) -> None:
        self._by_create: dict[CreateName, SmbOpen] = {}
        self._creating: set[CreateName] = set()
        self._by_application: dict[bytes, dict[int, SmbOpen]] = {}
        self._parked: dict[int, SmbOpen] = {}
        self._deadlines: SortedList[tuple[float, int]] = SortedList()
        self._parked_of: Counter[str] = Counter()
        self._persistent_of: Counter[str] = Counter()
        self.on_parked: Callable[[], None] = lambda: None
        """Called when an open begins to wait."""

    def __iter__(self) -> Iterator[SmbOpen]:
        """The parked opens."""
        return iter(list(self._parked.values()))

    def __len__(self) -> int:
        """How many opens are parked."""
        return len(self._parked)

    def enter(self, opened: SmbOpen) -> None:
        """Make an open findable by what its durability says."""
        durability = _durability(opened)
        if durability.create_guid:
            self._by_create[durability.client_guid, durability.create_guid] = opened
        if durability.is_persistent:
            self._persistent_of[durability.owner] += 1
        if durability.app_instance is not None:
            self._by_application.setdefault(durability.app_instance.id, {})[opened.fid.persistent] = opened

    def forget(self, opened: SmbOpen) -> None:
        """The open is closed; harmless when it was not entered."""
        durability = opened.durability
        if durability is None:
            return
        self.unpark(opened)
        self._forget_create(opened, durability)
        if durability.is_persistent:
            _decrease(self._persistent_of, durability.owner)
        if durability.app_instance is not None:
            opens = self._by_application.get(durability.app_instance.id, {})
            opens.pop(opened.fid.persistent, None)
            if not opens:
                self._by_application.pop(durability.app_instance.id, None)

    def begin_create(self, name: CreateName) -> None:
        """A CREATE is at work from here on: if it has a CreateGuid its repetition can be told before there is an open."""
        if name[1]:
            self._creating.add(name)

    def end_create(self, name: CreateName) -> None:
        """It has an open, or none."""
        self._creating.discard(name)

    def is_creating(self, name: CreateName) -> bool:
        """Whether that CREATE is still at work."""
        return name in self._creating

    def find_create(self, name: CreateName) -> SmbOpen | None:
        """What that CREATE has opened, as long as it may be asked again: until the open is used, a persistent one ever."""
        return self._by_create.get(name)

    def note_use(self, opened: SmbOpen) -> None:
        """A request uses the open: its client has the answer to CREATE, who asks again means another open."""
        durability = opened.durability
        if durability is not None and durability.is_replay_eligible and not durability.is_persistent:
            durability.is_replay_eligible = False
            self._forget_create(opened, durability)

    def of_application(self, instance: bytes) -> list[SmbOpen]:
        """The opens of an application, wherever it runs."""
        return list(self._by_application.get(instance, {}).values())

    def may_persist(self, owner: str) -> bool:
        """Whether `owner` may have one more persistent open."""
        return self._persistent_of[owner] < MAX_PERSISTENT_OPENS_PER_USER

    def may_park(self, durability: Durability) -> bool:
        """Whether one more open may wait; what is persistent was counted when it was made."""
        owner = durability.owner
        within = self._parked_of[owner] < MAX_PARKED_OPENS_PER_USER and len(self._parked) < MAX_PARKED_OPENS
        return durability.is_persistent or within

    def park(self, opened: SmbOpen, now: float) -> None:
        """The open's session is lost: from here on it waits for its client."""
        durability = _durability(opened)
        durability.parked_until = now + durability.timeout
        self._parked[opened.fid.persistent] = opened
        self._deadlines.add((durability.parked_until, opened.fid.persistent))
        self._parked_of[durability.owner] += 1
        self.on_parked()

    def unpark(self, opened: SmbOpen) -> None:
        """The open waits no more; harmless when it does not."""
        durability = opened.durability
        if durability is None or durability.parked_until is None:
            return
        del self._parked[opened.fid.persistent]
        self._deadlines.remove((durability.parked_until, opened.fid.persistent))
        _decrease(self._parked_of, durability.owner)
        durability.parked_until = None

    def next_deadline(self) -> float | None:
        """When the first of those that wait has waited long enough; None when none waits."""
        return self._deadlines[0][0] if self._deadlines else None

    def overdue(self, now: float) -> list[SmbOpen]:
        """Those that have waited long enough."""
        found: list[SmbOpen] = []
        for deadline, persistent in self._deadlines:
            if deadline > now:
                break
            found.append(self._parked[persistent])
        return found

    def _forget_create(self, opened: SmbOpen, durability: Durability) -> None:
        name = (durability.client_guid, durability.create_guid)
        if self._by_create.get(name) is opened:
            del self._by_create[name]


def _durability(opened: SmbOpen) -> Durability:
    assert opened.durability is not None, "only opens with something to keep are entered"
    return opened.durability


def _decrease(counter: Counter[str], key: str) -> None:
    """Count one less; what is counted zero times is not kept."""
    counter[key] -= 1
    if counter[key] <= 0:
        del counter[key]
