"""The locks of local programs: ranges against a model that knows each byte, and what the kinds of locks mean to each other."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from odxfs.opens import AdvisoryLock, LockRange, OpenEntry, OpenTable
from odxfs.opens.advisory_locks import WHOLE_FILE, RangeOwners
from odxfs.opens.byte_range_locks import TooManyLocks
from odxfs.opens.share_modes import FILE_READ_DATA, FILE_SHARE_ALL
from odxfs.types import InodeNumber

FILE = InodeNumber(7)
BYTES = 24
FIRST, SECOND = 101, 102
"""Owners."""


class RangesAgainstBytes(RuleBasedStateMachine):
    """Each owner's locks are, byte for byte, what fcntl(2) says, in as few ranges as can be."""

    starts = st.integers(0, BYTES - 1)
    lengths = st.integers(1, 8)
    owners = st.integers(0, 2)

    def __init__(self) -> None:
        super().__init__()
        self.locks = RangeOwners()
        self.model: dict[int, list[bool | None]] = {owner: [None] * (BYTES + 8) for owner in range(3)}

    @rule(start=starts, length=lengths, owner=owners, exclusive=st.booleans())
    def set(self, start: int, length: int, owner: int, exclusive: bool) -> None:
        wanted = LockRange(start, length)
        blocked = any(
            kind is not None and (exclusive or kind)
            for other, kinds in self.model.items()
            if other != owner
            for kind in kinds[start : start + length]
        )
        assert self.locks.conflicts(wanted, owner, exclusive=exclusive) is blocked
        found = self.locks.first_conflict(wanted, owner, exclusive=exclusive)
        assert (found is not None) is blocked
        if found is not None:
            self._assert_blocks(found, wanted, owner, exclusive)
        else:
            self.locks.set(owner, AdvisoryLock(wanted, exclusive, owner))
            self.model[owner][start : start + length] = [exclusive] * length

    @rule(start=starts, length=lengths, owner=owners)
    def clear(self, start: int, length: int, owner: int) -> None:
        had = any(kind is not None for kind in self.model[owner][start : start + length])
        assert self.locks.clear(owner, LockRange(start, length)) is had
        self.model[owner][start : start + length] = [None] * length

    @rule(owner=owners)
    def clear_owner(self, owner: int) -> None:
        had = any(kind is not None for kind in self.model[owner])
        assert self.locks.clear_owner(owner) is had
        self.model[owner] = [None] * (BYTES + 8)

    @rule(start=starts, length=st.integers(1, 8), exclusive=st.booleans())
    def meets(self, start: int, length: int, exclusive: bool) -> None:
        kinds = [kind for owner in self.model.values() for kind in owner[start : start + length]]
        expected = any(kind is True or (kind is False and not exclusive) for kind in kinds)
        assert self.locks.meets(LockRange(start, length), exclusive=exclusive) is expected

    @invariant()
    def as_few_as_can_be(self) -> None:
        runs = 0
        for kinds in self.model.values():
            runs += sum(
                kind is not None and kind is not before
                for before, kind in zip([None, *kinds], kinds, strict=False)
            )
        assert len(self.locks) == runs

    def _assert_blocks(self, found: AdvisoryLock, wanted: LockRange, owner: int, exclusive: bool) -> None:
        """The lock is there to the byte, somebody else's, and in the way."""
        assert found.pid != owner
        assert exclusive or found.exclusive
        assert found.range.offset < wanted.end
        assert wanted.offset < found.range.end
        kinds = self.model[found.pid]
        assert set(kinds[found.range.offset : found.range.end]) == {found.exclusive}
        assert kinds[found.range.end] is not found.exclusive


TestRangesAgainstBytes = RangesAgainstBytes.TestCase


def lock(offset: int, length: int, *, exclusive: bool = True, pid: int = 1) -> AdvisoryLock:
    return AdvisoryLock(LockRange(offset, length), exclusive, pid)


@pytest.fixture
def opens() -> OpenTable:
    return OpenTable()


def entry(opens: OpenTable, owner: str = "somebody") -> OpenEntry:
    return opens.open(FILE, FILE_READ_DATA, FILE_SHARE_ALL, owner)


def test_a_lock_to_the_end_has_every_byte_that_a_file_can_have(opens: OpenTable) -> None:
    mine = entry(opens)
    assert opens.lock_range(mine, FIRST, lock(10, WHOLE_FILE.end - 10))
    assert not opens.lock_range(mine, SECOND, lock(2**63 - 2, 1))
    opens.unlock_range(mine, FIRST, LockRange(20, 10))
    assert opens.count_locks() == 2
    assert opens.lock_range(mine, SECOND, lock(20, 10))


def test_the_share_meets_locks_of_local_programs_and_they_each_other_only_when_they_ask(
    opens: OpenTable,
) -> None:
    local, client = entry(opens), entry(opens)
    assert opens.lock_range(local, FIRST, lock(10, 10))
    assert opens.read_conflicts(FILE, 19, 1, client)
    assert opens.write_conflicts(FILE, 0, 11, client)
    assert not opens.local_read_conflicts(FILE, 10, 10, local)
    assert not opens.local_write_conflicts(FILE, 10, 10, None)
    assert not opens.lock(client, 15, 0, exclusive=True), "strictly inside"
    assert opens.lock(client, 10, 0, exclusive=True)
    assert opens.lock(client, 20, 5, exclusive=True)
    assert not opens.lock_range(local, FIRST, lock(10, 11))
    assert opens.local_read_conflicts(FILE, 20, 1, local)


def test_a_shared_local_lock_keeps_the_share_from_writing_only(opens: OpenTable) -> None:
    local, client = entry(opens), entry(opens)
    assert opens.lock_range(local, FIRST, lock(0, 10, exclusive=False))
    assert not opens.read_conflicts(FILE, 0, 10, client)
    assert opens.write_conflicts(FILE, 0, 10, client)
    assert opens.lock(client, 0, 10, exclusive=False)
    assert not opens.lock(client, 0, 10, exclusive=True)


def test_flock_is_for_the_share_a_lock_of_all_bytes(opens: OpenTable) -> None:
    local, client = entry(opens), entry(opens)
    assert opens.lock_whole(local, exclusive=True)
    assert not opens.lock(client, 2**62, 1, exclusive=False)
    assert opens.lock(client, 2**63, 1, exclusive=True), "no byte of a file is there"
    assert opens.read_conflicts(FILE, 5, 1, client)
    assert not opens.local_write_conflicts(FILE, 5, 1, local)
    assert opens.lock_range(local, FIRST, lock(0, 10)), "fcntl knows nothing of flock"


def test_closing_an_open_gives_up_what_was_locked_through_it(opens: OpenTable) -> None:
    local, other = entry(opens), entry(opens)
    told = []
    assert opens.lock_whole(local, exclusive=True)
    assert opens.lock_range(local, FIRST, lock(0, 10))
    opens.when_released(FILE, lambda: told.append(True))
    opens.close(local)
    assert told == [True]
    assert opens.count_locks() == 0
    assert opens.lock_range(other, SECOND, lock(0, 10))


def test_a_process_that_closed_one_open_keeps_what_it_locks_through_another_then(opens: OpenTable) -> None:
    first, second = entry(opens), entry(opens)
    assert opens.lock_range(first, FIRST, lock(0, 10))
    opens.unlock_range(first, FIRST, LockRange(0, 10))
    opens.forget_lock_owner(FILE, FIRST)
    assert opens.lock_range(second, FIRST, lock(0, 10))
    opens.close(first)  # the kernel tells of it later than of close(2)
    assert opens.count_locks() == 1


def test_a_downgrade_and_a_lost_flock_wake_who_waits(opens: OpenTable) -> None:
    one, two = entry(opens), entry(opens)
    told: list[str] = []
    assert opens.lock_range(one, FIRST, lock(0, 10))
    opens.when_released(FILE, lambda: told.append("downgrade"))
    assert opens.lock_range(one, FIRST, lock(0, 10, exclusive=False))
    assert opens.lock_whole(one, exclusive=False)
    assert opens.lock_whole(two, exclusive=False)
    opens.when_released(FILE, lambda: told.append("lost"))
    assert not opens.lock_whole(one, exclusive=True)
    assert told == ["downgrade", "lost"]
    opens.when_released(FILE, lambda: told.append("nothing was given up"))
    assert not opens.lock_whole(one, exclusive=True)
    assert told == ["downgrade", "lost"]


def test_more_locks_than_allowed_change_nothing(opens: OpenTable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("odxfs.opens.advisory_locks.MAX_ADVISORY_LOCKS_PER_FILE", 1)
    mine = entry(opens)
    assert opens.lock_range(mine, FIRST, lock(0, 10))
    with pytest.raises(TooManyLocks):
        opens.lock_range(mine, FIRST, lock(4, 2, exclusive=False))
    with pytest.raises(TooManyLocks):
        opens.unlock_range(mine, FIRST, LockRange(4, 2))
    assert opens.range_conflict(mine, SECOND, lock(0, 99)) == lock(0, 10)
