"""What a reload may change, and what it must refuse."""

from pathlib import Path

import pytest

from odxfs.configuration import parse_configuration
from odxfs.configuration.changes import Changes, find_changes
from odxfs.errors import ExitCode, UserError

OLD = """
[mounts]
main = "/mnt"
[svm.a]
listen = "127.0.0.1:1"
[svm.b]
listen = "127.0.0.1:2"
"""


def changes(old: str, new: str) -> Changes:
    first, second = (parse_configuration(text, Path("/srv/pool/odxfs.toml")) for text in (old, new))
    return find_changes(first, second)


def test_nothing_changes_when_only_the_text_does() -> None:
    assert changes(OLD, OLD + "\n# a comment") == Changes((), (), ())


def test_svms_come_go_and_change() -> None:
    new = OLD.replace("[svm.b]", "profile = 'ontap'\n[svm.c]").replace(":2", ":3")
    found = changes(OLD, new)
    assert found == Changes(("c",), ("b",), ("a",))
    assert found.sentences() == ["SVM c is served", "SVM b is served no more", "SVM a has new settings"]


@pytest.mark.parametrize("added", ['token-space = "1 GiB"', "tokens.default-lifetime = 99"])
def test_what_changes_for_no_svm_is_told_too(added: str) -> None:
    found = changes(OLD, f"{added}\n{OLD}")
    assert found == Changes((), (), (), has_other_bounds=True)
    assert found.sentences() == ["the tokens of the pool and of mounts have new bounds"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[mounts]", 'pool = "/other"\n[mounts]', "the pool's directory is /srv/pool, not /other"),
        ('main = "/mnt"', 'main = "/elsewhere"', "the mounts differ"),
        ("127.0.0.1:2", "127.0.0.1:3", "SVM b listens on 127.0.0.1:2, not on 127.0.0.1:3"),
        ("[svm.b]", "[svm.c]", "SVM c cannot listen on 127.0.0.1:2 while SVM b does"),
    ],
)
def test_what_needs_a_restart_is_refused(old: str, new: str, said: str) -> None:
    with pytest.raises(UserError, match=said) as refused:
        changes(OLD, OLD.replace(old, new))
    assert refused.value.exit_code is ExitCode.CONFIG
