"""Directories copied between shares and this machine, with Samba and with ourselves on the other side."""

import json
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from odxfs.client.client import Client, connect
from odxfs.client.explain import ChunkCause
from odxfs.client.job import Job, Request
from odxfs.client.plan import CopyOptions
from odxfs.client.servers import open_servers
from odxfs.client.summary import Record, Summary
from odxfs.client.url import Location, SmbUrl, parse_location
from odxfs.errors import ExitCode, UserError
from tests.interop.samba import Samba, run_samba
from tests.support.cp import cp
from tests.support.serving import PASSWORD, SHARE, USER, Served, serve

MIB = 1024 * 1024
SMALL_FILES = 500
"""More than one answer lists."""

FILES = SMALL_FILES + 3
MANY = 160


@pytest.fixture(scope="module")
def samba(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Samba]:
    with run_samba(tmp_path_factory.mktemp("samba")) as server:
        yield server


def make_tree(root: Path, depth: int = 60) -> None:
    """Empty folders, many small files, a large one, odd names, and a deep path."""
    (root / "empty" / "below").mkdir(parents=True)
    (root / "many").mkdir()
    for number in range(SMALL_FILES):
        (root / "many" / f"file-{number:04}.txt").write_text(f"content of {number}\n")
    (root / "large.bin").write_bytes(os.urandom(3 * MIB + 17))
    (root / "a name with ünïcode %20 & more.txt").write_text("odd")
    deep = root
    for level in range(depth):
        deep /= f"d{level}"
    deep.mkdir(parents=True)
    (deep / "bottom").write_text("here")
    os.utime(root / "many" / "file-0007.txt", ns=(1_500_000_000_000_000_000, 1_400_000_000_123_456_700))
    os.utime(root / "empty", ns=(1_500_000_000_000_000_000, 1_300_000_000_000_000_000))


def contents(root: Path) -> dict[str, bytes | None]:
    """Every path below `root` with its bytes, None for a folder."""
    found: dict[str, bytes | None] = {}
    for folder, _, names in os.walk(root):
        found[os.path.relpath(folder, root)] = None
        for name in names:
            path = Path(folder, name)
            found[os.path.relpath(path, root)] = path.read_bytes()
    return found


def test_a_tree_goes_to_samba_within_it_and_back(samba: Samba, tmp_path: Path) -> None:
    source = tmp_path / "tree"
    make_tree(source)
    up = cp("-r", "--json", source, samba.url("up"), password=samba.password)
    assert up.returncode == 0, up.stderr
    document = json.loads(up.stdout)
    assert document["file_count"] == len(document["files"]) == FILES
    assert document["failed_count"] == 0
    assert document["error"] is None
    assert contents(samba.data / "up") == contents(source)
    across = cp("-r", samba.url("up"), samba.url("across"), password=samba.password)
    assert across.returncode == 0, across.stderr
    assert "1 by copychunk" in across.stdout
    assert contents(samba.data / "across") == contents(source)
    down = cp("-r", samba.url("across"), tmp_path / "down", password=samba.password)
    assert down.returncode == 0, down.stderr
    assert contents(tmp_path / "down") == contents(source)
    for path in ("many/file-0007.txt", "empty", "large.bin"):
        assert (tmp_path / "down" / path).stat().st_mtime_ns // 100 == (
            source / path
        ).stat().st_mtime_ns // 100


def test_a_tree_is_copied_on_this_machine(tmp_path: Path) -> None:
    source = tmp_path / "tree"
    make_tree(source, 5)
    (source / "link").symlink_to("large.bin")
    (source / "script").write_text("#!/bin/sh\n")
    (source / "script").chmod(0o750)
    (tmp_path / "into").mkdir()
    answer = cp("-r", source, tmp_path / "into")
    assert answer.returncode == 0, answer.stderr
    copy = tmp_path / "into" / "tree"
    assert contents(copy) == contents(source)
    assert os.readlink(copy / "link") == "large.bin"
    assert (copy / "script").stat().st_mode & 0o777 == 0o750
    assert (copy / "empty").stat().st_mtime_ns == (source / "empty").stat().st_mtime_ns


def test_what_cannot_be_copied_is_told_and_the_rest_is_copied(samba: Samba, tmp_path: Path) -> None:
    source = tmp_path / "odd"
    source.mkdir()
    for name in ("good", "with:colon", "with\\backslash", "Case", "case"):
        (source / name).write_text(name)
    (source / "link").symlink_to("good")
    os.mkfifo(source / "pipe")
    (source / os.fsdecode(b"not-\xff-utf8")).write_text("x")
    answer = cp("-r", "--json", source, samba.url("odd"), password=samba.password)
    assert answer.returncode == ExitCode.INCOMPLETE
    document = json.loads(answer.stdout)
    errors = {
        record["source"].rpartition("/")[2]: record["error"]
        for record in document["files"]
        if record["error"]
    }
    assert "cannot hold ':'" in errors["with:colon"]
    assert "symbolic link" in errors["link"]
    assert "neither a file" in errors["pipe"]
    assert any("not UTF-8" in error for error in errors.values())
    assert sum("case alone" in error for error in errors.values()) == 1
    assert document["failed_count"] == len(errors) == 6
    assert document["file_count"] == 2
    assert (samba.data / "odd" / "good").read_text() == "good"
    assert answer.stderr.count("\n") == 6


def test_several_sources_need_a_directory_and_different_names(tmp_path: Path) -> None:
    for folder in ("a", "b", "into"):
        (tmp_path / folder).mkdir()
    (tmp_path / "a" / "same").write_text("first")
    (tmp_path / "b" / "same").write_text("second")
    (tmp_path / "b" / "other").write_text("other")
    sources = [tmp_path / "a" / "same", tmp_path / "b" / "same", tmp_path / "b" / "other"]
    assert cp(*sources, tmp_path / "nowhere").returncode == ExitCode.NOT_FOUND
    answer = cp(*sources, tmp_path / "into")
    assert answer.returncode == ExitCode.INCOMPLETE
    assert "another source" in answer.stderr
    assert (tmp_path / "into" / "same").read_text() == "first"
    assert (tmp_path / "into" / "other").read_text() == "other"
    flat = cp(tmp_path / "a", tmp_path / "into")
    assert flat.returncode == ExitCode.REFUSED
    assert "-r copies directories" in flat.stderr


def test_a_directory_is_not_copied_into_itself(samba: Samba, tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "file").write_text("x")
    answer = cp("-r", tmp_path / "a", tmp_path / "a" / "b" / "copy")
    assert "into itself" in answer.stderr
    assert answer.returncode == ExitCode.INCOMPLETE
    assert not (tmp_path / "a" / "b" / "copy" / "b" / "copy").exists()
    (samba.data / "loop").mkdir()
    (samba.data / "loop" / "file").write_text("x")
    answer = cp("-r", samba.url("loop"), samba.url("loop/inner", share="other"), password=samba.password)
    assert "into itself" in answer.stderr
    assert sorted(os.listdir(samba.data / "loop" / "inner")) == ["file"]


@pytest.mark.parametrize("is_up", [True, False])
def test_a_directory_is_not_copied_into_itself_by_another_way(samba: Samba, is_up: bool) -> None:
    name = f"loop-{is_up}"
    (samba.data / name).mkdir()
    for number in range(40):
        (samba.data / name / f"file-{number}").write_text("x")
    share, here = samba.url(name), samba.data / name
    pair = (here, f"{share}/inner") if is_up else (share, here / "inner")
    answer = cp("-r", *pair, password=samba.password)
    assert "into itself" in answer.stderr
    assert len(os.listdir(here / "inner")) == 40


@asynccontextmanager
async def serving_url(tmp_path: Path) -> AsyncIterator[tuple[Served, str]]:
    async with serve(tmp_path / "pool") as served:
        yield served, f"smb://{USER}@127.0.0.1:{served.port}/{SHARE}"


async def copy(
    sources: list[str], destination: str, options: CopyOptions | None = None
) -> tuple[Summary, list[Record]]:
    """`odxfs cp -r` in this process."""
    records: list[Record] = []
    request = Request(
        [parse_location(source) for source in sources], parse_location(destination), recursive=True
    )
    async with open_servers(lambda url: PASSWORD) as servers:
        job = Job(servers, options or CopyOptions(), records.append)
        return await job.run(request), records


async def test_a_tree_goes_to_odxfs_within_it_and_back(tmp_path: Path) -> None:
    source = tmp_path / "tree"
    make_tree(source)
    async with serving_url(tmp_path) as (served, url):
        up, _ = await copy([str(source)], f"{url}/up")
        assert (up.failed, up.files) == (0, FILES)
        across, _ = await copy([f"{url}/up"], f"{url}/across")
        assert across.mechanisms["token"] == 1
        assert across.failed == 0
        down, _ = await copy([f"{url}/across"], str(tmp_path / "down"))
        assert down.failed == 0
        assert await served.pool.check() == []
    assert contents(tmp_path / "down") == contents(source)
    for path in ("many/file-0007.txt", "empty"):
        assert (tmp_path / "down" / path).stat().st_mtime_ns // 100 == (
            source / path
        ).stat().st_mtime_ns // 100


async def test_a_tree_goes_from_samba_to_odxfs(samba: Samba, tmp_path: Path) -> None:
    make_tree(samba.data / "from", 10)
    records: list[Record] = []
    async with serving_url(tmp_path) as (served, url):

        def password(of: SmbUrl) -> str:
            return PASSWORD if of.port == served.port else samba.password

        async with open_servers(password) as servers:
            request = Request(
                [parse_location(samba.url("from"))], parse_location(f"{url}/to"), recursive=True
            )
            summary = await Job(servers, CopyOptions(verify=True), records.append).run(request)
        assert (summary.failed, summary.files, summary.verified) == (0, FILES, True)
        assert set(summary.mechanisms) == {"plain"}
        assert ChunkCause.OTHER_SERVER.sentence in summary.copychunk_reasons
        down, _ = await copy([f"{url}/to"], str(tmp_path / "down"))
        assert down.failed == 0
    assert contents(tmp_path / "down") == contents(samba.data / "from")


async def test_a_whole_share_has_no_name_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "file").write_text("x")
    async with serving_url(tmp_path) as (_, url):
        await copy([str(tmp_path / "in" / "file")], f"{url}/")
        (tmp_path / "out").mkdir()
        await copy([f"{url}/"], str(tmp_path / "out"))
    assert (tmp_path / "out" / "file").read_text() == "x"


def make_many(source: Path) -> None:
    """Folders of 10 files."""
    for number in range(MANY):
        folder = source / str(number // 10)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / str(number)).write_bytes(number.to_bytes(4, "big") * 25_000)


async def test_with_resume_a_directory_goes_on_over_a_new_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("odxfs.client.job.RECONNECT_SECONDS", (0.0,) * 8)
    source = tmp_path / "many"
    make_many(source)
    async with serving_url(tmp_path) as (served, url), open_servers(lambda _: PASSWORD) as servers:
        cuts = {20, MANY // 2}

        def cut(summary: Summary, _: object) -> None:
            if summary.files in cuts:
                cuts.discard(summary.files)
                servers.connections[-1].close()

        job = Job(servers, CopyOptions(resume=True), lambda record: None, cut)
        request = Request([source], parse_location(f"{url}/up"), recursive=True)
        summary = await job.run(request)
        assert (summary.failed, summary.files, len(servers.connections)) == (0, MANY, 3)
        again = await Job(servers, CopyOptions(resume=True), lambda record: None).run(request)
        assert again.failed == 0
        (tmp_path / "back").mkdir()
        down, _ = await copy([f"{url}/up"], str(tmp_path / "back"))
        assert down.failed == 0
        assert await served.pool.check() == []
    assert contents(tmp_path / "back" / "up") == {
        **contents(source),
        **{f"many/{path}" if path != "." else "many": data for path, data in contents(source).items()},
    }


async def test_a_lost_server_ends_the_whole_copy(tmp_path: Path) -> None:
    source = tmp_path / "many"
    make_many(source)
    async with serving_url(tmp_path) as (served, url):
        location: Location = parse_location(f"{url}/up")
        assert isinstance(location, SmbUrl)
        async with open_servers(lambda _: PASSWORD) as servers:

            def cut(summary: Summary, _: object) -> None:
                if summary.files == 20:
                    for connection in servers.connections:
                        connection.close()

            job = Job(servers, CopyOptions(), lambda record: None, cut)
            with pytest.raises(UserError) as caught:
                await job.run(Request([source], location, recursive=True))
        assert caught.value.exit_code == ExitCode.NETWORK
        assert await served.pool.check() == []
        await trio.lowlevel.checkpoint()


async def test_who_is_cancelled_in_the_moment_of_a_logon_waits_for_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @asynccontextmanager
    async def connect_and_cancel(host: str, port: int, user: str, password: str) -> AsyncIterator[Client]:
        async with connect(host, port, user, password) as client:
            scope.cancel()
            yield client

    async def release_at_last() -> None:
        await trio.sleep(30)
        servers.release()
        pytest.fail("it waits for the end of the copy")

    async with (
        serving_url(tmp_path) as (_, url),
        open_servers(lambda _: PASSWORD) as servers,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(release_at_last)
        location = parse_location(f"{url}/up")
        with trio.CancelScope() as scope, monkeypatch.context() as patched:
            patched.setattr("odxfs.client.servers.connect", connect_and_cancel)
            await servers.place(location)
        nursery.cancel_scope.cancel()
    assert scope.cancelled_caught


async def test_a_cancelled_copy_leaves_whole_files_only(tmp_path: Path) -> None:
    source = tmp_path / "many"
    make_many(source)
    async with serving_url(tmp_path) as (served, url):
        with trio.CancelScope() as scope:
            async with open_servers(lambda _: PASSWORD) as servers:

                def stop(summary: Summary, _: object) -> None:
                    if summary.files == 40:
                        scope.cancel()

                job = Job(servers, CopyOptions(), lambda record: None, stop)
                await job.run(Request([source], parse_location(f"{url}/up"), recursive=True))
        assert scope.cancelled_caught
        down, _ = await copy([f"{url}/up"], str(tmp_path / "down"))
        assert down.failed == 0
        assert 40 <= down.files < MANY
        assert await served.pool.check() == []
    there, wanted = contents(tmp_path / "down"), contents(source)
    assert {path: wanted[path] for path in there} == there
