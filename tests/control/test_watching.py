"""Tokens that come and go, as `odxfs tokens --watch` tells of them."""

from odxfs.cli.watching import changes


def tokens(**uses: int) -> dict[str, dict[str, object]]:
    return {label: {"label": label, "uses": count} for label, count in uses.items()}


def test_each_change_is_told_once() -> None:
    def row(token: dict[str, object]) -> list[object]:
        return [token["label"], token["uses"]]

    assert changes({}, tokens(a=0, b=0), row) == ["came\ta\t0", "came\tb\t0"]
    assert changes(tokens(a=0, b=0), tokens(a=0, b=0), row) == []
    assert changes(tokens(a=0, b=0), tokens(b=2, c=0), row) == ["ended\ta\t0", "used\tb\t2", "came\tc\t0"]
