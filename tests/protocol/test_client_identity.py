"""What two opens are recognised by as one file."""

from dataclasses import replace

import pytest

from odxfs.client.identity import LOCAL, Identity, Likeness

ON_SHARE = Identity(b"server", (b"7",), is_exact=False, number=7, opening=b"pool", changed_ns=5)
ON_MOUNT = Identity(LOCAL, (1, 7), is_exact=True, number=7, opening=b"pool", changed_ns=5)
ELSEWHERE = replace(ON_SHARE, opening=None)


@pytest.mark.parametrize(
    ("first", "second", "likeness"),
    [
        (ON_SHARE, ON_MOUNT, Likeness.SAME),
        (ON_SHARE, replace(ON_SHARE, realm=b"another"), Likeness.SAME),
        (ON_SHARE, replace(ON_MOUNT, opening=b"copy of the pool"), Likeness.DIFFERENT),
        (ON_SHARE, replace(ON_MOUNT, number=8), Likeness.DIFFERENT),
        (ON_SHARE, replace(ON_SHARE, aspect=(None, "stream")), Likeness.DIFFERENT),
        (ON_SHARE, replace(ON_SHARE, aspect=(12, "")), Likeness.DIFFERENT),
        (ON_MOUNT, replace(ON_MOUNT, opening=None), Likeness.SAME),
        (ON_MOUNT, replace(ON_MOUNT, opening=None, key=(2, 7)), Likeness.DIFFERENT),
        (ELSEWHERE, ELSEWHERE, Likeness.PERHAPS),
        (ELSEWHERE, ON_MOUNT, Likeness.PERHAPS),
        (ELSEWHERE, replace(ELSEWHERE, realm=b"another"), Likeness.PERHAPS),
        (ELSEWHERE, replace(ELSEWHERE, key=(b"8",), number=8), Likeness.DIFFERENT),
        (replace(ELSEWHERE, number=None), replace(ON_MOUNT, number=None), Likeness.DIFFERENT),
    ],
)
def test_likeness(first: Identity, second: Identity, likeness: Likeness) -> None:
    assert first.compare(second) is likeness
    assert second.compare(first) is likeness
