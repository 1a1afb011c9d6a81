"""A clock for tests: each look is a nanosecond later than the one before."""


class Ticking:
    """`clock()` counts up; `last` is what it said last."""

    def __init__(self) -> None:
        self.last = 1_700_000_000_000_000_000

    def __call__(self) -> int:
        self.last += 1
        return self.last
