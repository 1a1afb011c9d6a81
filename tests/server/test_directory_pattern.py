"""Search patterns as Windows matches them (MS-FSA 2.1.4.4)."""

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odxfs.smb.directory.names import shown_name
from odxfs.smb.directory.pattern import compile_pattern, has_wildcards

TraceFunction = Callable[[FrameType, str, Any], Any]


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [
        ("*", "anything.at.all", True),
        ("*.*", "nodot", True),
        ("*.txt", "a.TXT", True),
        ("*.txt", "a.txt.bak", False),
        ("a?c", "abc", True),
        ("a?c", "ac", False),
        ("a*b*c", "axxbyyc", True),
        ("???", "ab", False),
        ("<.txt", "a.b.txt", True),
        ("<.b", "a.b.c", False),
        ("<", "a.b", False),
        ("a>>>", "ab", True),
        ("a>>>", "abcde", False),
        (">>.t", "a.t", True),
        ('file"', "file", True),
        ('file"', "file.", True),
        ('<"*', "a.b.c", True),
        ('<"', "abc", True),
        ("stra\u00dfe", "STRA\u00dfE", True),
        ("\u00e4*", "\u00c4pfel", True),
        ("a" * 40 + "*", "a" * 39, False),
    ],
)
def test_patterns(pattern: str, name: str, matches: bool) -> None:
    assert compile_pattern(pattern).matches(name) is matches


def reference(pattern: str, name: str) -> bool:
    """The definition, word by word; exponential."""
    if not pattern:
        return not name
    head, rest = pattern[0], pattern[1:]
    skips_at_end = not name and head in '*<>"'
    if skips_at_end:
        return reference(rest, name)
    if head == "*":
        return reference(rest, name) or reference(pattern, name[1:])
    if head == "<":
        last_dot = name[0] == "." and "." not in name[1:]
        return reference(rest, name) or (not last_dot and reference(pattern, name[1:]))
    if head == ">":
        return reference(rest, name) if name[0] == "." else reference(rest, name[1:])
    if not name:
        return False
    if head == '"':
        return name[0] == "." and reference(rest, name[1:])
    return head in ("?", name[0]) and reference(rest, name[1:])


@given(st.text('*?<>".AB', max_size=8), st.text(".AB", min_size=1, max_size=8))
def test_against_the_definition(pattern: str, name: str) -> None:
    if pattern in ("", "*.*"):
        return
    assert compile_pattern(pattern).matches(name) is reference(pattern, name)


def lines_run(call: Callable[[], object]) -> int:
    """How many lines of Python `call` runs: what it costs, on whatever machine."""
    lines = 0

    def trace(frame: FrameType, event: str, arg: object) -> TraceFunction:
        nonlocal lines
        lines += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
    return lines


@pytest.mark.parametrize("repeated", ["*a", ">", "*>", "<", '"', "?>"])
def test_the_length_of_a_pattern_costs_nothing(repeated: str) -> None:
    short, long = (compile_pattern("*" + repeated * times + ".x") for times in (2, 500))
    name = "." * 120 + "a" * 120
    assert not long.matches(name)
    assert lines_run(lambda: long.matches(name)) <= lines_run(lambda: short.matches(name))


def test_only_names_that_lead_back_are_shown() -> None:
    assert shown_name(b"plain.txt") == "plain.txt"
    assert shown_name("\u00e4".encode()) == "\u00e4"
    assert shown_name(b"a:b") == "a\uf022b"
    assert shown_name(b"\xff\xfe") is None
    assert shown_name("a\uf022b".encode()) is None  # who asks for it means a:b
    assert shown_name("a\uf0ffb".encode()) == "a\uf0ffb"
    assert has_wildcards("a<")
    assert not has_wildcards("a.b")
