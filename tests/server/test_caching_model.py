"""What may be cached of a file beside others, and what each use of it takes from them: the tables of MS-FSA, without a server."""

from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from odxfs.opens import Break, Grant, OpenTable, Use
from odxfs.opens.caching import ALL, HANDLE, READ, WRITE, NotAccepted, NotBreaking
from odxfs.opens.share_modes import FILE_READ_DATA, FILE_SHARE_ALL
from odxfs.opens.table import OpenEntry
from odxfs.types import InodeNumber

FILE = InodeNumber(7)
STATES = {"": 0, "R": READ, "RH": READ | HANDLE, "RW": READ | WRITE, "RWH": ALL}
FILE_READ_ATTRIBUTES, READ_CONTROL = 0x80, 0x20000


@dataclass
class Client:
    """Remembers what it was told."""

    breaks: list[Break] = field(default_factory=list)
    ended_grants: int = 0

    def broken(self, grant: Grant, change: Break) -> None:
        self.breaks.append(change)

    def ended(self, grant: Grant) -> None:
        self.ended_grants += 1


def _open(table: OpenTable, access: int = FILE_READ_DATA) -> OpenEntry:
    return table.open(FILE, access, FILE_SHARE_ALL, "owner")


def _lease(table: OpenTable, state: str) -> tuple[Client, Grant]:
    client = Client()
    grant = Grant(FILE, True, client)
    table.grant_lease(_open(table), grant, STATES[state])
    return client, grant


def _oplock(table: OpenTable, state: int) -> tuple[Client, Grant | None]:
    client = Client()
    return client, table.grant_oplock(_open(table), state, client)


@pytest.mark.parametrize(
    ("held", "use", "kept", "acknowledged", "waits"),
    [
        ("R", Use.OPEN, None, False, False),
        ("RH", Use.OPEN, None, False, False),
        ("RW", Use.OPEN, "R", True, True),
        ("RWH", Use.OPEN, "RH", True, True),
        ("R", Use.OVERWRITE, "", False, False),
        ("RH", Use.OVERWRITE, "", True, False),
        ("RWH", Use.OVERWRITE, "", True, True),
        ("RWH", Use.OPEN_UNSHARED, "RW", True, True),
        ("RH", Use.RENAME, "R", True, True),
        ("RW", Use.RENAME, None, False, False),
        ("RWH", Use.READ, "RH", True, True),
        ("RH", Use.READ, None, False, False),
        ("R", Use.CHANGE, "", False, False),
        ("RH", Use.CHANGE, "", True, False),
        ("RWH", Use.CHANGE, "", True, True),
        ("RH", Use.CHANGE_FOLDER, "", True, False),
    ],
)
def test_a_use_takes_from_a_lease_what_it_disturbs(
    held: str, use: Use, kept: str | None, acknowledged: bool, waits: bool
) -> None:
    table = OpenTable()
    client, grant = _lease(table, held)
    waited_for = table.grants.contend(FILE, use)
    expected = [] if kept is None else [Break(STATES[held], STATES[kept], acknowledged)]
    assert client.breaks == expected
    assert waited_for == ([grant] if waits else [])
    assert grant.state == (STATES[held] if acknowledged or kept is None else STATES[kept])


@pytest.mark.parametrize(
    ("held", "use", "kept"),
    [
        (ALL, Use.OPEN, READ),
        (READ | WRITE, Use.OPEN, READ),
        (ALL, Use.OPEN_UNSHARED, READ),
        (READ | WRITE, Use.OPEN_UNSHARED, None),
        (ALL, Use.OVERWRITE, 0),
        (READ, Use.OPEN, None),
        (READ, Use.CHANGE, 0),
    ],
)
def test_an_oplock_is_broken_to_level_two_or_to_nothing(held: int, use: Use, kept: int | None) -> None:
    table = OpenTable()
    client, _ = _oplock(table, held)
    table.grants.contend(FILE, use)
    assert [change.after for change in client.breaks] == ([] if kept is None else [kept])


def test_nobody_is_disturbed_by_his_own_lease_but_a_writer_by_his_own_level_two_oplock() -> None:
    table = OpenTable()
    client, lease = _lease(table, "RWH")
    assert table.grants.contend(FILE, Use.CHANGE, lease) == []
    assert client.breaks == []
    table = OpenTable()
    client, oplock = _oplock(table, READ)
    table.grants.contend(FILE, Use.CHANGE, oplock)
    assert client.breaks == [Break(READ, 0, acknowledged=False)]


def test_who_looks_at_attributes_disturbs_nobody_and_takes_no_lease_by_reading_the_descriptor() -> None:
    table = OpenTable()
    client, _ = _lease(table, "RWH")
    table.grants.contend(FILE, Use.OPEN, access=FILE_READ_ATTRIBUTES | READ_CONTROL)
    assert client.breaks == []
    table = OpenTable()
    client, _ = _oplock(table, ALL)
    table.grants.contend(FILE, Use.OPEN, access=FILE_READ_ATTRIBUTES)
    assert client.breaks == []
    table.grants.contend(FILE, Use.OPEN, access=FILE_READ_ATTRIBUTES | READ_CONTROL)
    assert [change.after for change in client.breaks] == [READ]


def test_who_asks_for_more_than_others_leave_gets_less() -> None:
    table = OpenTable()
    _lease(table, "RH")
    _, second = _lease(table, "RWH")
    assert second.state == READ | HANDLE
    _, oplock = _oplock(table, ALL)
    assert oplock is None, "a level II oplock does not stand beside who caches handles"
    table = OpenTable()
    _, oplock = _oplock(table, READ)
    _, lease = _lease(table, "RH")
    assert lease.state == READ


def test_a_later_use_during_a_break_is_asked_for_after_the_first_acknowledgement() -> None:
    table = OpenTable()
    client, grant = _lease(table, "RWH")
    settled: list[str] = []
    assert table.grants.contend(FILE, Use.OPEN) == [grant]
    grant.when_settled(lambda: settled.append("first"))
    assert table.grants.contend(FILE, Use.OVERWRITE) == [grant]
    assert len(client.breaks) == 1
    with pytest.raises(NotAccepted):
        table.grants.acknowledge(grant, ALL)
    table.grants.acknowledge(grant, READ | HANDLE)
    assert client.breaks[-1] == Break(READ | HANDLE, READ, acknowledged=True, first=False)
    assert not settled
    table.grants.acknowledge(grant, READ)
    assert client.breaks[-1] == Break(READ, 0, acknowledged=False, first=False)
    assert settled == ["first"]
    with pytest.raises(NotBreaking):
        table.grants.acknowledge(grant, 0)
    assert not table.cached


def test_a_break_that_is_not_acknowledged_takes_everything() -> None:
    table = OpenTable()
    _, grant = _lease(table, "RWH")
    table.grants.contend(FILE, Use.OPEN)
    table.grants.expire(grant)
    assert (grant.state, grant.breaking) == (0, False)
    assert table.grants.contend(FILE, Use.CHANGE) == []


def test_closing_the_last_open_ends_a_grant_and_whoever_waits_goes_on() -> None:
    table = OpenTable()
    client = Client()
    grant = Grant(FILE, True, client)
    entries = [_open(table), _open(table)]
    for entry in entries:
        table.grant_lease(entry, grant, ALL)
    assert grant.state == ALL, "opens of one lease do not count against each other"
    settled: list[bool] = []
    table.grants.contend(FILE, Use.OPEN)
    grant.when_settled(lambda: settled.append(True))
    table.close(entries[0])
    assert not settled
    table.close(entries[1])
    assert settled == [True]
    assert client.ended_grants == 1
    assert not table.cached


class Clients(RuleBasedStateMachine):
    """Whatever three clients and a local program do with a file, nobody caches what another may change unasked."""

    def __init__(self) -> None:
        super().__init__()
        self.table = OpenTable()
        self.leases: dict[int, Grant] = {}
        self.opens: list[OpenEntry] = []
        self.waiting = 0

    @rule(
        client=st.integers(0, 2),
        wanted=st.sampled_from(sorted(STATES.values())),
        use=st.sampled_from([Use.OPEN, Use.OVERWRITE]),
    )
    def open_leased(self, client: int, wanted: int, use: Use) -> None:
        grant = self.leases.get(client)
        if self.table.grants.contend(FILE, use, grant):
            return
        entry = _open(self.table)
        if grant is None or not grant.entries:
            grant = self.leases[client] = Grant(FILE, True, Client())
        self.table.grant_lease(entry, grant, wanted)
        self.opens.append(entry)

    @rule(level=st.sampled_from([0, READ, READ | WRITE, ALL]))
    def open_with_an_oplock(self, level: int) -> None:
        if self.table.grants.contend(FILE, Use.OPEN):
            return
        entry = _open(self.table)
        if level:
            self.table.grant_oplock(entry, level, Client())
        self.opens.append(entry)

    @precondition(lambda self: self.opens)
    @rule(data=st.data(), use=st.sampled_from([Use.READ, Use.CHANGE, Use.RENAME]))
    def use_an_open(self, data: st.DataObject, use: Use) -> None:
        entry = data.draw(st.sampled_from(self.opens))
        for grant in self.table.grants.contend(FILE, use, entry.grant):
            self.waiting += 1
            grant.when_settled(self._go_on)
        if use is Use.CHANGE:
            others = [grant for grant in self.table.grants.of(FILE) if grant is not entry.grant]
            assert all(grant.breaking and grant.required == 0 for grant in others)

    def _go_on(self) -> None:
        self.waiting -= 1

    @rule(data=st.data(), late=st.booleans())
    def answer(self, data: st.DataObject, late: bool) -> None:
        asked = [grant for grant in self.table.grants.of(FILE) if grant.breaking]
        if not asked:
            return
        grant = data.draw(st.sampled_from(asked))
        if late:
            self.table.grants.expire(grant)
        else:
            self.table.grants.acknowledge(
                grant, data.draw(st.sampled_from([0, grant.asked & READ, grant.asked]))
            )

    @precondition(lambda self: self.opens)
    @rule(data=st.data())
    def close(self, data: st.DataObject) -> None:
        entry = data.draw(st.sampled_from(self.opens))
        self.opens.remove(entry)
        self.table.close(entry)

    @invariant()
    def states_make_sense_beside_each_other(self) -> None:
        held = self.table.grants.of(FILE)
        assert all(grant.state in STATES.values() and grant.entries for grant in held)
        if any(grant.state & WRITE for grant in held):
            (writer,) = held
            assert writer.entries.keys() == set(self.opens)
        if not any(grant.breaking for grant in held):
            assert self.waiting == 0
        if not self.opens:
            assert not self.table.cached


TestClients = Clients.TestCase
TestClients.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
