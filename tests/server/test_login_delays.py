"""How fast passwords can be tried, without a clock: every call is told what time it is."""

from hypothesis import given
from hypothesis import strategies as st

from odxfs.smb.auth import login_delays
from odxfs.smb.auth.login_delays import MAX_DELAYED_ACCOUNTS, MAX_WAITING_ATTEMPTS, LoginDelays

HERE, ELSEWHERE = "192.0.2.1", "192.0.2.2"


def test_attempts_on_one_account_are_answered_one_after_the_other() -> None:
    delays = LoginDelays(2.0)
    assert delays.wrong(HERE, "alice", 10.0) == 12.0
    assert delays.wrong(HERE, "ALICE", 10.1) == 14.0
    assert delays.right(HERE, "alice@realm", 10.2) == 14.0
    assert delays.right(HERE, "alice", 15.0) == 15.0
    assert delays.wrong(HERE, "alice", 15.0) == 17.0


def test_nobody_else_is_held_up() -> None:
    delays = LoginDelays(2.0)
    delays.wrong(HERE, "alice", 10.0)
    assert delays.right(HERE, "bob", 10.0) == 10.0
    assert delays.right(ELSEWHERE, "alice", 10.0) == 10.0


@given(st.lists(st.tuples(st.floats(0.0, 5.0), st.booleans()), max_size=60))
def test_never_more_than_one_guess_a_delay(attempts: list[tuple[float, bool]]) -> None:
    """An attempt that is weighed is answered a delay after the last failed one, and waits no longer than the bound."""
    delays, now, free = LoginDelays(2.0), 0.0, 0.0
    for pause, is_right in attempts:
        now += pause
        if is_right:
            answer = delays.right(HERE, "alice", now)
            assert (answer is None) is (free - now > MAX_WAITING_ATTEMPTS * 2.0)
            assert answer is None or answer == max(now, free)
            continue
        answer = delays.wrong(HERE, "alice", now)
        assert answer in {free, max(now, free) + 2.0}
        assert answer - now <= (MAX_WAITING_ATTEMPTS + 1) * 2.0
        free = answer


def test_past_the_bound_a_right_password_looks_like_a_wrong_one() -> None:
    delays = LoginDelays(2.0)
    answers = [delays.wrong(HERE, "alice", 0.0) for _ in range(MAX_WAITING_ATTEMPTS + 5)]
    assert delays.right(HERE, "alice", 0.0) is None
    assert answers[-1] == answers[-2] == delays.wrong(HERE, "alice", 0.0)
    assert delays.right(HERE, "alice", answers[-1]) == answers[-1]


def test_without_a_delay_nobody_waits() -> None:
    delays = LoginDelays(0.0)
    for _ in range(100):
        assert delays.wrong(HERE, "alice", 1.0) == 1.0
        assert delays.right(HERE, "alice", 1.0) == 1.0


def test_the_table_is_bounded_and_keeps_the_latest() -> None:
    delays = LoginDelays(2.0)
    for number in range(MAX_DELAYED_ACCOUNTS + 10):
        delays.wrong(HERE, f"nobody{number}", 0.0)
    assert len(delays) == MAX_DELAYED_ACCOUNTS
    assert delays.right(HERE, "nobody0", 0.0) == 0.0
    assert delays.right(HERE, f"nobody{MAX_DELAYED_ACCOUNTS + 9}", 0.0) == 2.0
    delays.wrong(HERE, "late", 2.0)
    assert len(delays) == 1, "what has passed went first"


def test_an_endless_name_is_not_kept() -> None:
    delays = LoginDelays(2.0)
    delays.wrong(HERE, "x" * 8000, 0.0)
    assert delays.right(HERE, "x" * login_delays._MAX_NAME_CHARACTERS, 0.0) == 2.0
