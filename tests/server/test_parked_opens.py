"""The table of opens that may be asked for again: deadlines, bounds, and what is forgotten when."""

from typing import Any
from uuid import UUID

import pytest

from odxfs.smb.durable.durability import AppInstance, Durability, Kind
from odxfs.smb.durable.table import DurableOpens
from odxfs.smb.opens import SmbOpen
from odxfs.wire.create import CreateAction
from odxfs.wire.file_id import FileId

CLIENT, OTHER = UUID(int=1), UUID(int=2)
NOBODY: Any = None


def opened(number: int, owner: str = "alice", **fields: Any) -> SmbOpen:
    values = {"kind": Kind.RESILIENT, "timeout": 10.0, **fields}
    durability = Durability(CLIENT, owner, CreateAction.CREATED, **values)
    return SmbOpen(FileId(number, number), NOBODY, NOBODY, "file", 0, durability=durability)


def test_opens_are_overdue_in_the_order_of_their_deadlines() -> None:
    table = DurableOpens()
    first, second, third = opened(1, timeout=30.0), opened(2, timeout=5.0), opened(3, timeout=5.0)
    told = []
    table.on_parked = lambda: told.append(len(table))
    table.park(first, 100.0)
    table.park(second, 101.0)
    table.park(third, 102.0)
    assert told == [1, 2, 3]
    assert table.next_deadline() == 106.0
    assert table.overdue(105.9) == []
    assert table.overdue(107.0) == [second, third]
    table.unpark(second)
    table.unpark(second)
    assert (table.next_deadline(), second.is_parked, third.is_parked) == (107.0, False, True)
    table.forget(third)
    assert table.next_deadline() == 130.0
    assert list(table) == [first]


def test_a_create_is_known_until_its_open_is_used() -> None:
    table = DurableOpens()
    used, persistent = (
        opened(1, create_guid=b"a" * 16),
        opened(2, create_guid=b"b" * 16, kind=Kind.PERSISTENT),
    )
    for each in (used, persistent):
        table.enter(each)
        table.note_use(each)
    assert table.find_create((CLIENT, b"a" * 16)) is None
    assert table.find_create((CLIENT, b"b" * 16)) is persistent
    assert table.find_create((OTHER, b"b" * 16)) is None
    table.forget(persistent)
    assert table.find_create((CLIENT, b"b" * 16)) is None


def test_a_later_open_of_the_same_create_is_not_forgotten_with_the_earlier() -> None:
    table = DurableOpens()
    earlier, later = opened(1, create_guid=b"a" * 16), opened(2, create_guid=b"a" * 16)
    table.enter(earlier)
    table.note_use(earlier)
    table.enter(later)
    table.forget(earlier)
    assert table.find_create((CLIENT, b"a" * 16)) is later


def test_a_create_is_at_work_until_it_ends() -> None:
    table, name, nameless = DurableOpens(), (CLIENT, b"a" * 16), (CLIENT, b"")
    for each in (name, nameless):
        table.begin_create(each)
    assert table.is_creating(name)
    assert not table.is_creating((OTHER, b"a" * 16))
    assert not table.is_creating(nameless)
    for each in (name, nameless):
        table.end_create(each)
    assert not table.is_creating(name)


def test_the_opens_of_an_application_are_found_by_it() -> None:
    table = DurableOpens()
    instance = AppInstance(b"i" * 16, None)
    first, second = opened(1, app_instance=instance), opened(2, app_instance=instance)
    table.enter(first)
    table.enter(second)
    table.forget(first)
    assert table.of_application(b"i" * 16) == [second]
    table.forget(second)
    assert table.of_application(b"i" * 16) == []


def test_a_user_and_all_together_have_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("odxfs.smb.durable.table.MAX_PARKED_OPENS_PER_USER", 2)
    monkeypatch.setattr("odxfs.smb.durable.table.MAX_PARKED_OPENS", 3)
    table = DurableOpens()
    for number in (1, 2):
        table.park(opened(number), 0.0)
    assert not table.may_park(opened(3).durability or NOBODY)
    assert table.may_park(opened(3, "bob").durability or NOBODY)
    table.park(opened(3, "bob"), 0.0)
    assert not table.may_park(opened(4, "carol").durability or NOBODY)
    assert table.may_park(opened(4, "carol", kind=Kind.PERSISTENT).durability or NOBODY)
    for each in table:
        table.unpark(each)
    assert table.may_park(opened(5).durability or NOBODY)
