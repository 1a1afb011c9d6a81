"""How fast passwords can be tried: attempts on one account from one address are answered one after the other.

MS-SMB2 leaves this to the server. A delay that only the connection of a failed login sits out stops nobody: whoever hears
nothing at once knows that the guess was wrong, drops the connection and tries again on another.
"""

from __future__ import annotations

from odxfs.smb.auth.users import fold

MAX_DELAYED_ACCOUNTS = 4096
"""Pairs of address and account that are remembered, about 1 MiB. Each counts for some seconds, and more logins than these fit
into such a time cannot be made: so nobody gets rid of an entry by failing under other names."""

MAX_WAITING_ATTEMPTS = 8
"""Delays that one attempt waits at most: 16 seconds, less than LOGIN_SECONDS, after which nobody would hear the answer.

It is also how long an attack from the same address, once it is over, can keep the account's own user waiting."""

_MAX_NAME_CHARACTERS = 256
"""No account has a longer name (64, folded), so what differs behind it may share an entry."""

_Key = tuple[str, str]


class LoginDelays:
    """When each attempt may be answered. Times are seconds of any one clock; `delay_seconds` follow a failed attempt."""

    def __init__(self, delay_seconds: float) -> None:
        self._delay_seconds = delay_seconds
        self._free: dict[_Key, float] = {}

    def __len__(self) -> int:
        return len(self._free)

    def right(self, address: str, account: str, now: float) -> float | None:
        """When a right password may be answered; None when so many wait that it has to count as a failed attempt."""
        free = self._free.get(_key(address, account), now)
        return None if self._is_full(free, now) else max(free, now)

    def wrong(self, address: str, account: str, now: float) -> float:
        """When a failed attempt may be answered: a delay after its turn. The next one's turn comes then."""
        key = _key(address, account)
        free = self._free.pop(key, now)
        if not self._is_full(free, now):
            free = max(free, now) + self._delay_seconds
        self._make_room(now)
        self._free[key] = free
        return free

    def _is_full(self, free: float, now: float) -> bool:
        return free - now > MAX_WAITING_ATTEMPTS * self._delay_seconds

    def _make_room(self, now: float) -> None:
        """Entries whose time has passed say nothing any more; if there are none, the one that failed longest ago goes."""
        if len(self._free) < MAX_DELAYED_ACCOUNTS:
            return
        self._free = {key: free for key, free in self._free.items() if free > now}
        if len(self._free) >= MAX_DELAYED_ACCOUNTS:
            del self._free[next(iter(self._free))]


def _key(address: str, account: str) -> _Key:
    """The same for every way to write a name that leads to one account: case and a realm do not count."""
    return address, fold(account.partition("@")[0])[:_MAX_NAME_CHARACTERS]
