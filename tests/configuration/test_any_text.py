"""Whatever a file says, it is a configuration that survives being written, or a list of mistakes; nothing else is raised."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomlkit
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from odxfs.configuration import Configuration, ConfigurationError, parse_configuration
from odxfs.configuration.model import ShareConfiguration, SvmConfiguration, TokenBounds
from odxfs.configuration.settings import settings_of
from odxfs.configuration.writing import write_configuration, write_differences

FILE = Path("/srv/pool/odxfs.toml")

WORDS = st.sampled_from(
    [
        "default",
        "b",
        "main",
        "127.0.0.1:0",
        "4450",
        "ontap",
        "required",
        "off",
        "3.0",
        "8 MiB",
        "/m",
        "pin",
        "é\n",
    ]
)
VALUES = st.one_of(
    WORDS,
    st.text(max_size=8),
    st.booleans(),
    st.integers(-1, 1 << 40),
    st.floats(),
    st.datetimes(),
    st.lists(WORDS, max_size=3),
    st.dictionaries(WORDS, st.integers(), max_size=2),
)


def tables(model: type, **inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Tables with any of a model's keys, now and then with another."""
    keys = {setting.key: inner.get(setting.name, VALUES) for setting in settings_of(model)}
    return st.fixed_dictionaries({}, optional={**keys, "other": VALUES})


SHARES = st.dictionaries(WORDS, tables(ShareConfiguration), max_size=2)
SVMS = st.dictionaries(
    WORDS, tables(SvmConfiguration, tokens=tables(TokenBounds), share=SHARES | VALUES), max_size=3
)
FILES = tables(Configuration, svm=SVMS, mounts=st.dictionaries(WORDS, WORDS, max_size=2))


def judge(text: str) -> None:
    found, problems = None, ()
    try:
        found = parse_configuration(text, FILE)
    except ConfigurationError as error:
        problems = error.problems
    assert all(str(problem).startswith(str(FILE)) and "\n" not in str(problem) for problem in problems)
    if found is None:
        assert problems
        return
    assert parse_configuration(write_configuration(found), FILE) == found
    assert parse_configuration(write_differences(found, FILE), FILE) == found


QUICK = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@QUICK
@given(FILES)
def test_tables_of_any_kind(content: Mapping[str, Any]) -> None:
    judge(tomlkit.dumps(content))


@settings(deadline=None)
@given(st.text())
@example("svm.default.x.y = 1")
@example("[[svm]]\n")
@example('[svm."a\\nb"]\n= 3')
def test_any_text(text: str) -> None:
    judge(text)
