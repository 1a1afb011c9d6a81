"""A file becomes a configuration with every default, or one line a mistake that says where it is."""

from importlib.resources import files
from pathlib import Path

import pytest

from odxfs.configuration import (
    DEFAULT_SVM,
    Configuration,
    ConfigurationError,
    DialectName,
    Endpoint,
    Profile,
    Signing,
    SvmConfiguration,
    parse_configuration,
    read_configuration,
)
from odxfs.configuration.effects import declared_shares, server_settings
from odxfs.configuration.source import ConfigurationSource
from odxfs.configuration.writing import write_configuration, write_differences
from odxfs.errors import ExitCode, UserError
from odxfs.smb.settings import Encryption, ServerSettings
from odxfs.smb.shares import Share, ShareStore

FILE = Path("/srv/pool/odxfs.toml")
KIB, MIB, GIB = 1024, 1024**2, 1024**3


def parse(text: str) -> Configuration:
    return parse_configuration(text, FILE)


def example() -> str:
    """The complete example of the guide."""
    page = (files("odxfs") / "guide" / "svms.md").read_text(encoding="utf-8")
    lines = page.partition("A complete example:\n")[2].splitlines()
    block = lines[: next(i for i, line in enumerate(lines) if line and not line.startswith("    "))]
    return "\n".join(line.removeprefix("    ") for line in block)


def test_the_guides_example_is_right() -> None:
    found = parse(example())
    assert found.pool == Path("/srv/pool")
    assert found.mounts == {"main": Path("/mnt/volume")}
    assert list(found.svm) == ["default", "array"]
    array = found.svm["array"]
    assert array.listen == (Endpoint("127.0.0.1", 4451), Endpoint("::1", 4451))
    assert array.profile is Profile.ONTAP
    assert array.min_dialect is DialectName.SMB_3_0
    assert found.owner_of("vms") == "array"
    assert found.owner_of("main") == DEFAULT_SVM
    assert declared_shares(array) == [
        Share("disks", "vms", comment="virtual machines"),
        Share("iso", "iso", read_only=True, copy_offload=False),
    ]


def test_an_svm_without_keys_is_the_server_as_it_comes() -> None:
    found = parse("[svm.default]")
    assert found.pool == Path("/srv/pool")
    assert found.svm[DEFAULT_SVM].listen == (Endpoint("127.0.0.1", 4450),)
    assert server_settings(found, DEFAULT_SVM) == ServerSettings()


def test_every_key_reaches_the_server() -> None:
    found = parse("""
        token-space = "1 GiB"
        [svm.b]
        listen = "4451"
        server-name = "other"
        signing = "offered"
        encryption = "required"
        min-dialect = "3.0.2"
        max-dialect = "3.1.1"
        copy-offload = false
        token-size = "64M"
        smallest-file = 4096
        strict-offload = false
        copychunk = false
        [svm.b.tokens]
        default-lifetime = 20
        shortest-lifetime = 0.5
        longest-lifetime = 30
        per-volume = 1
        per-svm = 2
        per-client = 3
        pinned-per-volume = "4 MiB"
        pinned-per-svm = "5 MiB"
        pinned-per-client = "6 MiB"
    """)
    assert found.svm["b"].listen == (Endpoint("127.0.0.1", 4451),)
    assert found.svm["b"].signing is Signing.OFFERED
    settings = server_settings(found, "b")
    assert (settings.server_name, settings.signing_required) == ("other", False)
    assert settings.encryption is Encryption.REQUIRED
    assert (settings.min_dialect, settings.max_dialect) == (0x0302, 0x0311)
    offload, limits = settings.offload, settings.offload.limits
    assert (offload.enabled, offload.token_bytes, offload.smallest_file_bytes) == (False, 64 * MIB, 4096)
    assert (offload.strict, offload.copychunk) == (False, False)
    assert (limits.default_lifetime, limits.shortest_lifetime, limits.longest_lifetime) == (20, 0.5, 30)
    assert (limits.tokens_per_volume, limits.tokens_per_svm, limits.tokens_per_client) == (1, 2, 3)
    assert limits.pinned_bytes_per_volume == 4 * MIB
    assert limits.pinned_bytes_per_svm == 5 * MIB
    assert limits.pinned_bytes_per_client == 6 * MIB
    assert limits.pinned_only_bytes == GIB


def test_a_profile_is_one_switch_and_keys_override_it() -> None:
    found = parse('[svm.default]\nprofile = "ontap"\n[svm.b]\nlisten = 1\n'.replace("= 1", '= "1:1"'))
    offload = server_settings(found, DEFAULT_SVM).offload
    assert (offload.token_bytes, offload.smallest_file_bytes, offload.copychunk) == (
        8 * MIB,
        256 * KIB,
        False,
    )
    assert server_settings(found, "b").offload.copychunk
    found = parse('[svm.default]\nprofile = "ontap"\ncopychunk = true\nsmallest-file = 0')
    offload = server_settings(found, DEFAULT_SVM).offload
    assert (offload.smallest_file_bytes, offload.copychunk) == (0, True)


def test_a_share_serves_the_first_volume_of_its_svm_unless_it_says_another() -> None:
    found = parse("""
        [svm.default.share.whole]
        [svm.b]
        listen = "127.0.0.1:1"
        volumes = ["one", "two"]
        [svm.b.share]
        first = {}
        second = { volume = "two", path = "/a/b/" }
    """)
    assert found.svm[DEFAULT_SVM].share["whole"].volume == "main"
    assert found.svm["b"].share["first"].volume == "one"
    assert (found.svm["b"].share["second"].volume, found.svm["b"].share["second"].path) == ("two", "a/b")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[svm.default]",
        '[mounts]\nmain = "/m"\n[svm.b]\nprofile = "ontap"\nlisten = ["[::1]:5", "1.2.3.4:0"]\nvolumes = ["v"]\n'
        '[svm.b.tokens]\ndefault-lifetime = 5.5\n[svm.b.share."a b"]\ncomment = "x"\n',
    ],
)
def test_what_is_written_reads_as_the_same(text: str) -> None:
    found = parse(text)
    assert parse(write_configuration(found)) == found
    assert parse(write_differences(found, FILE)) == found


def test_the_example_written_with_all_defaults_reads_as_the_same() -> None:
    found = parse(example())
    assert parse(write_configuration(found)) == found
    assert parse(write_differences(found, FILE)) == found


MISTAKES = {
    "tokken-space = 1": "1: there is no key 'tokken-space': did you mean 'token-space'?",
    "[svm.b]\nlisten = '1.1.1.1:1'\nsining = 'offered'": "3: [svm.b] there is no key 'sining': did you mean 'signing'?",
    "[svm.default.tokens]\nper-klient = 3": "2: [svm.default.tokens] there is no key 'per-klient': did you mean 'per-client'?",
    "[svm.default.share.x]\nreadonly = true": "2: [svm.default.share.x] there is no key 'readonly': did you mean 'read-only'?",
    "zzz = 1": "1: there is no key 'zzz': there are pool, mounts, token-space, tokens, svm",
    "svm.default.sining = 'x'": "1: [svm.default] there is no key 'sining': did you mean 'signing'?",
    "pool = 'relative'": '1: pool is "relative", not an absolute path',
    "pool = 3": "1: pool is 3, not an absolute path",
    "token-space = '3 miles'": '1: token-space is "3 miles", not a size like "8 MiB" or a number of bytes',
    "token-space = true": '1: token-space is true, not a size like "8 MiB" or a number of bytes',
    "mounts = '/mnt'": "1: mounts is a table: write [mounts]",
    "[mounts]\nmain = 'x'": '2: [mounts] main is "x", not an absolute path',
    "[mounts]\n'a/b' = '/x'": "2: [mounts] 'a/b' is \"a/b\", not the name of a volume",
    "[mounts]\na = '/x'\nb = '/y'": "1: one process mounts one volume, not 2",
    "svm = []": "1: svm is a table: write [svm]",
    "[svm]\nx = 3": "2: [svm] x is a table: write [svm.x]",
    "[svm.'../x']\nlisten = '1:1'": "1: [svm] '../x' cannot be the name of an SVM (letters, digits, - and _)",
    "[svm.b]": "1: [svm.b] listen is missing: each SVM has an address and port of its own",
    "[svm.b]\nlisten = 4450": '2: [svm.b] listen is 4450, not "ADDR:PORT"',
    "[svm.b]\nlisten = 'x:99999'": "2: [svm.b] listen is wrong: 'x:99999' is not ADDR:PORT",
    "[svm.b]\nlisten = '127.0.0..1:1'": (
        "2: [svm.b] listen is wrong: '127.0.0..1:1' is not ADDR:PORT: '127.0.0..1' is neither an address nor a name"
    ),
    "[svm.b]\nlisten = ['1:1', '1:1']": '2: [svm.b] listen has "1:1" twice',
    "[svm.default]\nserver-name = 'two words'": '2: [svm.default] server-name is "two words", not the name of a server',
    "[svm.default]\nprofile = 'netapp'": '2: [svm.default] profile is "netapp", not "windows" or "ontap"',
    "[svm.default]\nsigning = true": '2: [svm.default] signing is true, not "offered" or "required"',
    "[svm.default]\nencryption = 'on'": '2: [svm.default] encryption is "on", not "off", "offered" or "required"',
    "[svm.default]\nmin-dialect = 3.0": '2: [svm.default] min-dialect is 3.0, not "2.1", "3.0", "3.0.2" or "3.1.1"',
    "[svm.default]\ncopy-offload = 'yes'": '2: [svm.default] copy-offload is "yes", not true or false',
    "[svm.default]\ncopychunk = 1": "2: [svm.default] copychunk is 1, not true or false",
    "[svm.default]\ntoken-size = '1 GiB'": '2: [svm.default] token-size is "1 GiB", not from 4 KiB to 256 MiB',
    "[svm.default]\ntoken-size = 5000": "2: [svm.default] token-size is 5000, not a multiple of 4 KiB",
    "[svm.default]\nsmallest-file = -1": "2: [svm.default] smallest-file is -1, not from 0 to 16 TiB",
    "[svm.default]\ntokens = 3": "2: [svm.default] tokens is a table: write [svm.default.tokens]",
    "[svm.default.tokens]\nper-svm = 0": "2: [svm.default.tokens] per-svm is 0, not a whole number from 1 to 1048576",
    "[svm.default.tokens]\nper-svm = true": "2: [svm.default.tokens] per-svm is true, not a whole number from 1 to 1048576",
    "[svm.default.tokens]\ndefault-lifetime = nan": (
        "2: [svm.default.tokens] default-lifetime is nan, not a number of seconds from 1 to 86400"
    ),
    "[svm.default.tokens]\ndefault-lifetime = 3": (
        "1: [svm.default] tokens: default-lifetime does not lie between shortest-lifetime and longest-lifetime"
    ),
    "[tokens]\nlongest-lifetime = 20": (
        "1: tokens: default-lifetime does not lie between shortest-lifetime and longest-lifetime"
    ),
    "[svm.default.share.'IPC$']": "1: [svm.default.share] IPC$ is always there and serves no files",
    "[svm.default.share.'a/b']": "1: [svm.default.share] 'a/b' cannot be the name of a share",
    "[svm.default.share]\nx = 1": "2: [svm.default.share] x is a table: write [svm.default.share.x]",
    "[svm.default.share.x]\npath = 'a/../b'": (
        "2: [svm.default.share.x] path is wrong: 'a/../b' is not a path from the volume's root"
    ),
    "[svm.default.share.x]\noffload-policy = 'pun'": (
        "2: [svm.default.share.x] offload-policy is wrong: 'pun' is no offload policy (see 'odxfs help offload-policies')"
    ),
    "[svm.default.share.x]\n[svm.default.share.X]": "2: [svm.default] the shares x and X differ only in case",
    "[svm.default]\nmin-dialect = '3.1.1'\nmax-dialect = '3.0'": (
        "2: [svm.default] min-dialect 3.1.1 is above max-dialect 3.0"
    ),
    "[svm.default]\nencryption = 'required'\nmax-dialect = '2.1'": (
        "3: [svm.default] encryption is required, which max-dialect 2.1 has not got"
    ),
    "[svm.default]\nencryption = 'off'\n[svm.default.share.x]\nencrypt = true": (
        "4: [svm.default] the share x wants encryption, which the SVM does not serve"
    ),
    "[svm.a]\nlisten = '1:1'\nvolumes = 'v'\n[svm.b]\nlisten = '1:2'\nvolumes = ['u', 'v']": (
        "6: [svm.b] volume 'v' belongs to SVM 'a' already"
    ),
    "[svm.a]\nlisten = '1:1'\n[svm.b]\nlisten = '1:1'": "4: [svm.b] listen 1:1 is SVM 'a''s already",
    "[svm.a]\nlisten = '0.0.0.0:1'\n[svm.b]\nlisten = '1.1.1.1:1'": (
        "4: [svm.b] listen 1.1.1.1:1 is SVM 'a''s already"
    ),
    "[svm.a]\nlisten = '1:1'\n[svm.b]\nlisten = '1:2'\nserver-name = 'A'": (
        "5: [svm.b] server-name 'A' is SVM 'a''s already"
    ),
    "[svm.a]\nlisten = '1:1'\n[svm.a.share.x]\nvolume = 'v'": (
        "3: [svm.a] the share x serves volume 'v', which belongs to SVM 'default'"
    ),
    "[svm.a]\nlisten = '1:1'\nvolumes = 'v'\n[svm.default.share.x]\nvolume = 'v'": (
        "4: [svm.default] the share x serves volume 'v', which belongs to SVM 'a'"
    ),
    "pool = \n": "1: is not TOML: Invalid value",
    "[svm.a]\n[svm.a]": "2: is not TOML: Cannot declare ('svm', 'a') twice",
}


@pytest.mark.parametrize("text", MISTAKES)
def test_a_mistake_is_one_line_that_says_where_it_is(text: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        parse(text)
    assert str(refused.value) == f"{FILE}:{MISTAKES[text]}"
    assert refused.value.exit_code is ExitCode.CONFIG


@pytest.mark.parametrize("address", ["a" * 64, f"a.{'b' * 64}.c", "a..b", "a\\u0000b", "a\\nb"])
def test_what_the_system_cannot_be_asked_for_is_no_address(address: str) -> None:
    with pytest.raises(ConfigurationError, match="is neither an address nor a name"):
        parse(f'[svm.b]\nlisten = "{address}:4451"')


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"x = {'[' * 5000}", "within each other"),
        (f"x = {'{a=' * 5000}", "within each other"),
        (f"token-space = {'9' * 5000}", "cannot be read"),
        (f"token-space = 0x{'f' * 5000}", "token-space"),
    ],
)
def test_what_is_too_much_for_toml_is_one_line(text: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said) as refused:
        parse(text)
    assert len(refused.value.problems) == 1


def test_a_path_that_leads_to_itself_is_refused(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    file = tmp_path / "odxfs.toml"
    for text in (f'[mounts]\nmain = "{tmp_path}/loop"', f'pool = "{tmp_path}/loop/pool"'):
        file.write_text(text)
        with pytest.raises(UserError, match="leads to itself") as refused:
            ConfigurationSource(file).read()
        assert refused.value.exit_code is ExitCode.CONFIG


def test_lines_are_found_in_one_pass_whatever_they_are_filled_with() -> None:
    """Blanks that no key follows, and very many mistakes: both took minutes when each looked at the text by itself."""
    blanks = f'pool = """\n{" " * 200_000}\n"""\nbad = 1'
    with pytest.raises(ConfigurationError) as refused:
        parse(blanks)
    assert [problem.line for problem in refused.value.problems] == [1, 4]
    many = "[svm.b]\n" + "".join(f"key{number} = 1\n" for number in range(5_000))
    with pytest.raises(ConfigurationError) as refused:
        parse(many)
    assert [problem.line for problem in refused.value.problems] == list(range(2, 5_002))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("# one\u2028line\u0085still\n\nx = 1", 3),
        ("# one\r\n\r\nx = 1\r\n", 3),
        ('[svm.a]\nserver-name = """\nx = 1\n[svm.b]\n"""\nx = 1', 6),
        ("[svm.a]\nserver-name = '''x = 1'''\nx = 1", 3),
    ],
)
def test_what_stands_in_a_text_is_no_line_of_its_own(text: str, line: int) -> None:
    with pytest.raises(ConfigurationError) as refused:
        parse(text)
    assert [each.line for each in refused.value.problems if "no key 'x'" in each.text] == [line]


def test_every_mistake_is_told_in_the_order_of_lines() -> None:
    with pytest.raises(ConfigurationError, match=r"\(and 2 more: see 'odxfs config check'\)") as refused:
        parse("[svm.default]\nx = 1\nsigning = 'no'\n[mounts]\nmain = ''\n")
    assert [problem.line for problem in refused.value.problems] == [2, 3, 5]


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes(b"pool = '\xe4'")
    for name, said in (("missing", "No such file"), ("latin", "UTF-8")):
        with pytest.raises(UserError, match=said) as refused:
            read_configuration(tmp_path / name)
        assert refused.value.exit_code is ExitCode.CONFIG


def test_a_file_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "odxfs.toml").write_bytes(b"\xef\xbb\xbf[svm.default]\n")
    assert list(read_configuration(tmp_path / "odxfs.toml").svm) == [DEFAULT_SVM]


def test_without_svms_there_is_the_default_one_unless_a_mount_has_no_shares(tmp_path: Path) -> None:
    file = tmp_path / "odxfs.toml"
    file.write_text("")
    assert list(ConfigurationSource(file).read().svm) == [DEFAULT_SVM]
    file.write_text('[mounts]\nmain = "/m"\n')
    assert list(ConfigurationSource(file).read().svm) == []
    ShareStore(tmp_path).add(Share("x"))
    assert list(ConfigurationSource(file).read().svm) == [DEFAULT_SVM]
    assert list(ConfigurationSource(file, mounts={"v": tmp_path}).read().mounts) == ["v"]


def test_a_mount_that_gets_its_first_share_gets_the_default_svm_at_a_reload(tmp_path: Path) -> None:
    as_asked = SvmConfiguration(signing=Signing.OFFERED)
    mount = Configuration(pool=tmp_path, mounts={"main": tmp_path / "mnt"})
    source = ConfigurationSource(tmp_path / "odxfs.toml", mount, mount.mounts, as_asked)
    assert source.read().svm == source.read_again().svm == {}
    ShareStore(tmp_path).add(Share("x"))
    found = source.read_again().svm[DEFAULT_SVM]
    assert (found.signing, found.listen) == (Signing.OFFERED, (Endpoint("127.0.0.1", 4450),))


def test_a_process_whose_file_is_gone_has_nothing_to_reload(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nothing to reload") as refused:
        ConfigurationSource(tmp_path / "odxfs.toml").read_again()
    assert refused.value.exit_code is ExitCode.CONFIG
