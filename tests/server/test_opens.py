"""The open table: share modes, delete pending and byte-range locks, as an application on Windows would see them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from odxfs.errors import SharingViolation
from odxfs.ntstatus import Status
from odxfs.opens import OpenTable
from odxfs.opens.byte_range_locks import ByteRangeLocks, TooManyLocks
from odxfs.opens.share_modes import (
    DELETE,
    FILE_APPEND_DATA,
    FILE_EXECUTE,
    FILE_READ_DATA,
    FILE_SHARE_ALL,
    FILE_SHARE_DELETE,
    FILE_SHARE_READ,
    FILE_SHARE_WRITE,
    FILE_WRITE_DATA,
    compatible,
)
from odxfs.types import InodeNumber

FILE = InodeNumber(7)
READ_ATTRIBUTES = 0x80
READ_WRITE = FILE_READ_DATA | FILE_WRITE_DATA


@pytest.mark.parametrize(
    ("access", "share", "second_access", "second_share", "allowed"),
    [
        (FILE_READ_DATA, FILE_SHARE_READ, FILE_READ_DATA, FILE_SHARE_READ, True),
        (FILE_READ_DATA, FILE_SHARE_READ, FILE_WRITE_DATA, FILE_SHARE_ALL, False),
        (FILE_WRITE_DATA, FILE_SHARE_ALL, FILE_READ_DATA, FILE_SHARE_READ, False),
        (FILE_EXECUTE, FILE_SHARE_READ, FILE_APPEND_DATA, FILE_SHARE_ALL, False),
        (FILE_READ_DATA, FILE_SHARE_WRITE, FILE_EXECUTE, FILE_SHARE_ALL, False),
        (FILE_READ_DATA, FILE_SHARE_READ | FILE_SHARE_WRITE, DELETE, FILE_SHARE_ALL, False),
        (FILE_READ_DATA, FILE_SHARE_DELETE, DELETE, FILE_SHARE_READ, True),
        (READ_ATTRIBUTES, 0, READ_WRITE | DELETE, 0, True),
        (READ_WRITE, 0, READ_ATTRIBUTES, 0, True),
        (READ_WRITE, 0, FILE_READ_DATA, FILE_SHARE_ALL, False),
    ],
)
def test_an_open_is_refused_what_another_does_not_share(
    access: int, share: int, second_access: int, second_share: int, allowed: bool
) -> None:
    opens = OpenTable()
    opens.open(FILE, access, share, "first")
    assert opens.check(FILE, second_access, second_share) is allowed
    if allowed:
        opens.open(FILE, second_access, second_share, "second")
    else:
        with pytest.raises(SharingViolation):
            opens.open(FILE, second_access, second_share, "second")
    assert len(opens) == 1 + allowed


@given(st.integers(0, 2**17), st.integers(0, 7), st.integers(0, 2**17), st.integers(0, 7))
def test_share_modes_do_not_depend_on_who_comes_first(
    access: int, share: int, other_access: int, other_share: int
) -> None:
    assert compatible(access, share, other_access, other_share) == compatible(
        other_access, other_share, access, share
    )


def test_only_the_last_close_tells_that_a_file_goes() -> None:
    opens = OpenTable()
    first = opens.open(FILE, READ_WRITE, FILE_SHARE_ALL, "first")
    second = opens.open(FILE, READ_WRITE, FILE_SHARE_ALL, "second")
    assert not opens.ended_deletions(first)
    opens.set_delete_pending(FILE, True)
    assert opens.is_delete_pending(FILE)
    assert not opens.is_last(first)
    assert not opens.ended_deletions(first)
    opens.close(first)
    assert opens.is_last(second)
    assert opens.ended_deletions(second) == {None}
    opens.close(second)
    assert not opens.is_open(FILE)
    assert not opens.is_delete_pending(FILE)


def test_no_deletion_waits_for_a_local_program() -> None:
    opens = OpenTable()
    local = opens.open(FILE, READ_WRITE, FILE_SHARE_ALL, "local", keeps_name=False)
    clients = opens.open(FILE, READ_WRITE, FILE_SHARE_ALL, "a client's")
    name = (InodeNumber(1), b"name")
    opens.set_delete_pending(FILE, True, name)
    assert not opens.ended_deletions(local)
    assert opens.ended_deletions(clients) == {name}
    opens.close(clients)
    assert not opens.is_delete_pending(FILE)  # it may have another name
    assert opens.is_last(local)


def test_each_name_of_a_file_is_deleted_for_itself() -> None:
    opens = OpenTable()
    a, b, c = ((InodeNumber(1), name) for name in (b"a", b"b", b"c"))
    by_a, again_by_a, by_b = (
        opens.open(FILE, READ_WRITE, FILE_SHARE_ALL, index, name=name) for index, name in enumerate((a, a, b))
    )
    opens.set_delete_pending(FILE, True, a)
    opens.set_delete_pending(FILE, True, b)
    opens.set_delete_pending(FILE, False, b)
    assert opens.is_delete_pending(FILE, a)
    assert not opens.is_delete_pending(FILE, b)
    assert not opens.ended_deletions(by_a)
    opens.close(again_by_a)
    assert opens.ended_deletions(by_a) == {a}
    opens.renamed(FILE, a, c)
    assert opens.ended_deletions(by_a) == {c}
    opens.close(by_a)
    assert not opens.is_delete_pending(FILE)
    assert not opens.ended_deletions(by_b)


def test_the_open_of_a_share_s_root_keeps_every_name() -> None:
    opens = OpenTable()
    name = (InodeNumber(1), b"name")
    root = opens.open(FILE, READ_WRITE, FILE_SHARE_ALL, "root")
    by_name = opens.open(FILE, READ_WRITE, FILE_SHARE_ALL, "by name", name=name)
    opens.set_delete_pending(FILE, True, name)
    assert not opens.ended_deletions(by_name)
    opens.close(by_name)
    assert opens.ended_deletions(root) == {name}


def test_delete_pending_can_be_taken_back_and_closing_twice_is_harmless() -> None:
    opens = OpenTable()
    entry = opens.open(FILE, READ_WRITE, FILE_SHARE_ALL, "first")
    opens.set_delete_pending(FILE, True)
    opens.set_delete_pending(FILE, False)
    opens.close(entry)
    opens.close(entry)
    assert not opens.is_open(FILE)


def test_an_exclusive_lock_keeps_others_out_and_its_owner_in() -> None:
    opens = OpenTable()
    mine, other = (opens.open(FILE, READ_WRITE, FILE_SHARE_ALL, name) for name in ("mine", "other"))
    assert opens.lock(mine, 100, 50, exclusive=True)
    assert opens.read_conflicts(FILE, 149, 1, other)
    assert opens.write_conflicts(FILE, 0, 101, other)
    assert opens.read_conflicts(FILE, 100, 1, None)
    assert not opens.read_conflicts(FILE, 150, 10, other)
    assert not opens.read_conflicts(FILE, 90, 10, other)
    assert not opens.write_conflicts(FILE, 100, 50, mine)
    assert not opens.lock(other, 149, 1, exclusive=False)
    assert not opens.lock(mine, 120, 1, exclusive=True)
    assert opens.lock(mine, 120, 1, exclusive=False)


def test_a_shared_lock_forbids_writing_to_everybody() -> None:
    opens = OpenTable()
    mine, other = (opens.open(FILE, READ_WRITE, FILE_SHARE_ALL, name) for name in ("mine", "other"))
    assert opens.lock(mine, 0, 10, exclusive=False)
    assert opens.lock(other, 5, 10, exclusive=False)
    assert not opens.read_conflicts(FILE, 0, 20, other)
    assert opens.write_conflicts(FILE, 3, 1, mine)
    assert not opens.lock(other, 0, 1, exclusive=True)


def test_empty_ranges_conflict_only_strictly_inside() -> None:
    opens = OpenTable()
    mine, other = (opens.open(FILE, READ_WRITE, FILE_SHARE_ALL, name) for name in ("mine", "other"))
    assert opens.lock(mine, 10, 10, exclusive=True)
    assert opens.lock(other, 10, 0, exclusive=True)
    assert opens.lock(other, 20, 0, exclusive=True)
    assert not opens.lock(other, 15, 0, exclusive=True)
    assert not opens.read_conflicts(FILE, 15, 0, other)
    assert opens.unlock(other, 10, 0)


def test_unlocking_wants_the_very_range_and_takes_the_exclusive_one_first() -> None:
    opens = OpenTable()
    mine, other = (opens.open(FILE, READ_WRITE, FILE_SHARE_ALL, name) for name in ("mine", "other"))
    assert opens.lock(mine, 0, 10, exclusive=True)
    assert opens.lock(mine, 0, 10, exclusive=False)
    assert not opens.unlock(mine, 0, 9)
    assert not opens.unlock(other, 0, 10)
    assert opens.unlock(mine, 0, 10)
    assert not opens.read_conflicts(FILE, 0, 10, other)
    assert opens.unlock(mine, 0, 10)
    assert not opens.unlock(mine, 0, 10)


def test_waiters_are_told_once_when_a_lock_or_an_open_goes() -> None:
    opens = OpenTable()
    mine, other = (opens.open(FILE, READ_WRITE, FILE_SHARE_ALL, name) for name in ("mine", "other"))
    told: list[str] = []
    opens.lock(mine, 0, 1, exclusive=True)
    opens.when_released(FILE, lambda: told.append("unlock"))
    withdraw = opens.when_released(FILE, lambda: told.append("withdrawn"))
    withdraw()
    opens.unlock(mine, 0, 1)
    opens.when_released(FILE, lambda: told.append("close"))
    opens.close(mine)
    opens.close(other)
    assert told == ["unlock", "close"]


def test_closing_gives_up_every_lock_of_that_open() -> None:
    opens = OpenTable()
    mine, other = (opens.open(FILE, READ_WRITE, FILE_SHARE_ALL, name) for name in ("mine", "other"))
    for offset in range(0, 1000, 10):
        assert opens.lock(mine, offset, 10, exclusive=True)
    opens.close(mine)
    assert not opens.write_conflicts(FILE, 0, 1000, other)


_RANGE = st.tuples(st.integers(0, 12), st.integers(0, 5), st.booleans(), st.integers(0, 2))


@given(st.lists(_RANGE, max_size=30), st.integers(0, 12), st.integers(1, 5))
def test_locks_agree_with_a_plain_list(
    wanted: list[tuple[int, int, bool, int]], offset: int, length: int
) -> None:
    """The sorted structure finds exactly the conflicts that a scan over all locks finds."""
    opens = OpenTable()
    entries = [opens.open(FILE, READ_WRITE, FILE_SHARE_ALL, str(index)) for index in range(3)]
    held: list[tuple[int, int, bool, int]] = []
    for start, size, exclusive, owner in wanted:
        blocked = any(
            _meet(start, size, other, other_size)
            and (exclusive or (other_exclusive and other_owner != owner))
            for other, other_size, other_exclusive, other_owner in held
        )
        assert opens.lock(entries[owner], start, size, exclusive=exclusive) is not blocked
        if not blocked:
            held.append((start, size, exclusive, owner))
    conflict = any(_meet(offset, length, start, size) and x and owner != 0 for start, size, x, owner in held)
    assert opens.read_conflicts(FILE, offset, length, entries[0]) is conflict


def _meet(start: int, length: int, other: int, other_length: int) -> bool:
    if length == 0 and other_length == 0:
        return False
    return start < other + other_length and other < start + length


class _Counted(int):
    """A number that knows how often numbers were compared with it."""

    compared = 0

    def __lt__(self, other: int) -> bool:
        _Counted.compared += 1
        return int(self) < other

    def __gt__(self, other: int) -> bool:
        _Counted.compared += 1
        return int(self) > other


@pytest.mark.parametrize("exclusive", [True, False])
def test_one_long_lock_does_not_make_every_check_walk_over_all_locks(exclusive: bool) -> None:
    opens = OpenTable()
    mine, other = (opens.open(FILE, READ_WRITE, FILE_SHARE_ALL, name) for name in ("mine", "other"))
    assert opens.lock(mine, 2**40, 2**62, exclusive=True)
    for index in range(4096):
        assert opens.lock(mine, index * 10, 10, exclusive=exclusive)
    _Counted.compared = 0
    assert not opens.read_conflicts(FILE, _Counted(2**30), 10, other)
    assert not opens.write_conflicts(FILE, _Counted(2**30), 10, other)
    assert opens.lock(other, _Counted(2**30), 10, exclusive=True)
    assert not opens.read_conflicts(FILE, _Counted(0), 40960, mine), "over all of its own locks"
    assert _Counted.compared < 200


def test_the_locks_of_one_file_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("odxfs.opens.byte_range_locks.MAX_LOCKS_PER_FILE", 2)
    opens = OpenTable()
    mine, other = (opens.open(FILE, READ_WRITE, FILE_SHARE_ALL, name) for name in ("mine", "other"))
    assert opens.lock(mine, 0, 1, exclusive=True)
    assert opens.lock(other, 1, 1, exclusive=True)
    with pytest.raises(TooManyLocks) as refused:
        opens.lock(mine, 2, 1, exclusive=True)
    assert refused.value.status == Status.INSUFFICIENT_RESOURCES
    assert mine.lock_count == 1
    opens.close(other)
    assert opens.lock(mine, 2, 1, exclusive=True)


class LocksAgainstLists(RuleBasedStateMachine):
    """Whatever is locked, unlocked and closed: exactly the conflicts that a scan over a plain list of all locks finds."""

    offsets = st.one_of(st.integers(0, 12), st.sampled_from([2**20, 2**63, 2**64 - 1]))
    lengths = st.one_of(st.integers(0, 5), st.sampled_from([2**20, 2**62, 2**64 - 1]))
    owners = st.integers(0, 2)

    def __init__(self) -> None:
        super().__init__()
        self.locks = ByteRangeLocks()
        self.held: list[tuple[int, int, bool, int]] = []

    @rule(offset=offsets, length=lengths, exclusive=st.booleans(), owner=owners)
    def add(self, offset: int, length: int, exclusive: bool, owner: int) -> None:
        blocked = any(exclusive or (x and whose != owner) for x, whose in self._meeting(offset, length))
        assert self.locks.add(offset, length, owner, exclusive=exclusive) is not blocked
        if not blocked:
            self.held.append((offset, length, exclusive, owner))

    @rule(offset=offsets, length=lengths, owner=owners)
    def remove(self, offset: int, length: int, owner: int) -> None:
        self._remove(offset, length, owner)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def remove_held(self, data: st.DataObject) -> None:
        offset, length, _, owner = data.draw(st.sampled_from(self.held))
        self._remove(offset, length, owner)

    @rule(owner=owners)
    def remove_owner(self, owner: int) -> None:
        kept = [lock for lock in self.held if lock[3] != owner]
        assert self.locks.remove_owner(owner) == len(self.held) - len(kept)
        self.held = kept

    @rule(offset=offsets, length=lengths, owner=owners)
    def access(self, offset: int, length: int, owner: int) -> None:
        meeting = self._meeting(offset, length) if length else []
        others = any(x and whose != owner for x, whose in meeting)
        assert self.locks.read_conflicts(offset, length, owner) is others
        assert self.locks.write_conflicts(offset, length, owner) is (others or any(not x for x, _ in meeting))

    @invariant()
    def count(self) -> None:
        assert len(self.locks) == len(self.held)

    def _remove(self, offset: int, length: int, owner: int) -> None:
        found = [lock for lock in self.held if lock[:2] == (offset, length) and lock[3] == owner]
        assert self.locks.remove(offset, length, owner) is bool(found)
        if found:
            self.held.remove(max(found, key=lambda lock: lock[2]))

    def _meeting(self, offset: int, length: int) -> list[tuple[bool, int]]:
        return [
            (exclusive, owner)
            for start, size, exclusive, owner in self.held
            if _meet(offset, length, start, size)
        ]


TestLocksAgainstLists = LocksAgainstLists.TestCase
