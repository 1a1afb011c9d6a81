"""Commands change one thing of a file; comments and everything else stay where they are."""

import tomllib
from pathlib import Path

import pytest

from odxfs.configuration.editing import add_svm, delete_svm, replace_file, set_svm
from odxfs.errors import ExitCode, UserError

TEXT = """\
# of the whole file
pool = "/srv/pool"   # here

# the first
[svm.default]
listen = "127.0.0.1:4450" # loopback

# the second
[svm.b] # b
listen = "127.0.0.1:4451"

# about its tokens
[svm.b.tokens]
per-client = 3

[mounts]
main = "/mnt"
"""


def test_a_key_is_added_where_its_table_is() -> None:
    edited = set_svm(TEXT, "default", {"profile": "ontap"})
    assert edited == TEXT.replace("# loopback\n", '# loopback\nprofile = "ontap"\n')


def test_a_key_is_changed_and_keeps_its_comment() -> None:
    edited = set_svm(TEXT, "default", {"listen": "127.0.0.1:1"})
    assert edited == TEXT.replace('"127.0.0.1:4450"', '["127.0.0.1:1"]')


def test_a_key_is_taken_away() -> None:
    assert set_svm(TEXT, "b", {"tokens.per-client": ""}) == TEXT.replace("per-client = 3\n", "")
    assert set_svm(TEXT, "b", {"profile": ""}) == TEXT


def test_a_table_inside_is_made_behind_what_belongs_to_the_svm() -> None:
    edited = set_svm(TEXT, "default", {"share.vms.read-only": "true"})
    added = "[svm.default.share.vms]\nread-only = true\n\n"
    assert edited == TEXT.replace("# the second\n", f"{added}# the second\n")


def test_an_svm_is_added_behind_the_others_and_removed_with_its_comments() -> None:
    edited = add_svm(TEXT, "c", {"listen": "127.0.0.1:4452"})
    added = '[svm.c]\nlisten = ["127.0.0.1:4452"]\n\n'
    assert edited == TEXT.replace("[mounts]\n", f"{added}[mounts]\n")
    assert delete_svm(edited, "c") == TEXT
    without = delete_svm(TEXT, "b")
    assert "second" not in without
    assert "about" not in without
    assert tomllib.loads(without)["mounts"] == {"main": "/mnt"}


def test_values_are_written_as_their_keys_want_them() -> None:
    given = {
        "volumes": "a,b",
        "min-dialect": "3.0",
        "copychunk": "false",
        "token-size": "4 MiB",
        "smallest-file": "4096",
        "server-name": "2024",
        "tokens.default-lifetime": "7.5",
        "share.x.comment": '"quoted"',
    }
    assert tomllib.loads(add_svm("", "b", given))["svm"]["b"] == {
        "volumes": ["a", "b"],
        "min-dialect": "3.0",
        "copychunk": False,
        "token-size": "4 MiB",
        "smallest-file": 4096,
        "server-name": "2024",
        "tokens": {"default-lifetime": 7.5},
        "share": {"x": {"comment": "quoted"}},
    }


@pytest.mark.parametrize("written", ["a,b", "a, b", " a ,b,", '["a", "b"]'])
def test_blanks_beside_commas_belong_to_no_name(written: str) -> None:
    added = add_svm("", "x", {"volumes": written})
    assert tomllib.loads(added)["svm"]["x"]["volumes"] == ["a", "b"]


@pytest.mark.parametrize(
    "text",
    [
        "svm = { b = { listen = '1:1' } } # inline\n",
        "svm.b.listen = '1:1' # dotted\n",
        "[svm]\nb.listen = '1:1' # half dotted\n",
        "[svm.b] # multi-line\nvolumes = [\n  'v',\n]\nlisten = '''1:1'''\nserver-name = '''\n[svm.b]\n'''\n",
        "[svm.\"b\"]  # quoted\nlisten = '1:1'\n[other]",
    ],
)
def test_every_way_to_write_a_table_can_be_edited(text: str) -> None:
    wanted = tomllib.loads(text)
    wanted["svm"]["b"] |= {"listen": ["1:2"], "tokens": {"per-svm": 1}}
    edited = set_svm(text, "b", {"listen": "1:2", "tokens.per-svm": "1"})
    assert tomllib.loads(edited) == wanted
    assert text.partition("#")[2].partition("\n")[0] in edited
    del wanted["svm"]["b"]
    assert tomllib.loads(delete_svm(edited, "b")).get("svm", {}) == wanted["svm"]
    assert tomllib.loads(add_svm(text, "c", {"listen": "1:3"}))["svm"]["c"] == {"listen": ["1:3"]}


def test_mistakes_are_told() -> None:
    for change, code in (
        (lambda: add_svm(TEXT, "b", {}), ExitCode.EXISTS),
        (lambda: set_svm(TEXT, "c", {"profile": "ontap"}), ExitCode.NOT_FOUND),
        (lambda: delete_svm(TEXT, "c"), ExitCode.NOT_FOUND),
        (lambda: set_svm(TEXT, "b", {"listen.port": "1"}), ExitCode.USAGE),
    ):
        with pytest.raises(UserError) as refused:
            change()
        assert refused.value.exit_code is code


def test_a_file_is_replaced_whole_and_keeps_its_mode(tmp_path: Path) -> None:
    file = tmp_path / "odxfs.toml"
    replace_file(file, "a = 1\n")
    assert (file.read_text(), file.stat().st_mode & 0o777) == ("a = 1\n", 0o600)
    file.chmod(0o640)
    replace_file(file, "a = 2\n")
    assert (file.read_text(), file.stat().st_mode & 0o777) == ("a = 2\n", 0o640)
    assert list(tmp_path.iterdir()) == [file]
