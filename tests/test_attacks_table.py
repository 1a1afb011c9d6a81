"""The table of attacks names lines that are there; `scripts/attacks/run` takes its time to see that a test misses each."""

import tomllib
from pathlib import Path

PROJECT = Path(__file__).parent.parent


def test_each_guard_stands_where_the_table_says() -> None:
    rows = tomllib.loads((PROJECT / "tests" / "attacks.toml").read_text())["attack"]
    edits = [(row["name"], edit) for row in rows for edit in row["without"]]
    stale = [name for name, edit in edits if (PROJECT / edit["file"]).read_text().count(edit["guard"]) != 1]
    assert stale == []


def test_each_test_that_the_table_names_is_there() -> None:
    rows = tomllib.loads((PROJECT / "tests" / "attacks.toml").read_text())["attack"]
    for row in rows:
        for test in row["tests"]:
            file, _, names = test.partition("::")
            name = names.split("::")[-1].partition("[")[0]
            text = (PROJECT / file).read_text()
            assert not name or f" {name}" in text, (row["name"], test)
