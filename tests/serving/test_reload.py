"""Another configuration for a process that runs: sessions go on, and what cannot be is refused whole."""

import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trio

from odxfs.configuration import Configuration, parse_configuration
from odxfs.errors import ExitCode, UserError
from odxfs.ntstatus import Status
from odxfs.opens import OpenTable
from odxfs.serving.svms import RunningSvms
from odxfs.wire.fsctl.codes import Fsctl
from odxfs.wire.header import Command
from odxfs.wire.ioctl import IoctlRequest
from tests.mount.command import ODXFS, in_foreground, odxfs, odxfs_ok
from tests.serving.running import ALICE, BOB, MIB, PASSWORD, Running, offload_read, serving
from tests.support.peer import Refused, logged_in
from tests.support.serving import serve


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    """The two SVMs, for one test."""
    with serving(tmp_path) as served:
        yield served


def until(happened: Callable[[], bool]) -> None:
    """Wait for what a signal brings about, which says nothing itself."""
    deadline = time.monotonic() + 300
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def signal_reload(running: Running) -> None:
    """SIGHUP, after which the second SVM has another name."""
    running.change("SECOND", "RENAMED")
    running.process.send_signal(signal.SIGHUP)
    until(lambda: running.svm("b")["server_name"] == "RENAMED")


async def test_an_open_goes_on_through_every_kind_of_reload(running: Running) -> None:
    port = running.port("default")
    async with logged_in(port, ALICE, PASSWORD, "first") as peer:
        fid = await peer.open("held")
        await peer.write(fid, 0, b"before")
        running.change("# the second\n", 'token-size = "16 MiB"\nsigning = "offered"\n# the second\n')
        running.change("volumes", 'profile = "ontap"\nvolumes')
        added = '\n[svm.c]\nlisten = "127.0.0.1:0"\nvolumes = []\n'
        running.file.write_text(running.file.read_text() + added)
        done = await trio.to_thread.run_sync(running.reload)
        assert done.out.splitlines() == [
            "SVM c is served",
            "SVM default has new settings",
            "SVM b has new settings",
        ]
        await peer.write(fid, 6, b" and after")
        await trio.to_thread.run_sync(signal_reload, running)
        assert await peer.read(fid, 0, 100) == b"before and after"
        assert running.svm("default")["clients"]["opens"] == 1
        odxfs_ok("user", "add", running.directory, "carol", "--svm", "c", "--password-stdin", stdin="pw")
        async with logged_in(running.port("c"), "carol", "pw", "IPC$"):
            pass
        await peer.close(fid)
    shown = odxfs_ok("config", "show", running.directory).out
    assert 'token-size = "16 MiB"' in shown
    assert running.reload().out == "nothing has changed\n"


def test_smbclient_notices_nothing_of_a_reload(running: Running, tmp_path: Path) -> None:
    """One session of smbclient, in the middle of which a reload changes its server."""
    (tmp_path / "file").write_bytes(b"x" * 100_000)
    running.change("volumes", 'signing = "offered"\ntoken-size = "1 MiB"\nvolumes')
    commands = [
        f"put {tmp_path / 'file'} one",
        f"!{ODXFS} config reload {running.directory}",
        f"put {tmp_path / 'file'} two",
        "ls",
    ]
    said = running.smbclient_ok("b", BOB, "second", commands)
    assert "SVM b has new settings" in said
    assert {"one", "two"} <= set(said.split())
    assert 'token-size = "1 MiB"' in odxfs_ok("config", "show", running.directory).out


async def test_a_removed_svm_ends_with_its_connections_and_the_others_go_on(running: Running) -> None:
    gone = running.port("b")
    async with (
        logged_in(running.port("default"), ALICE, PASSWORD, "first") as stays,
        logged_in(gone, BOB, PASSWORD, "second") as goes,
    ):
        fid = await stays.open("held")
        await goes.open("open when its server ends")
        await trio.to_thread.run_sync(odxfs_ok, "svm", "del", running.directory, "b")
        assert await goes.closed_by_server()
        await stays.write(fid, 0, b"still here")
        assert await stays.read(fid, 0, 100) == b"still here"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", gone))
    assert [svm["name"] for svm in running.status()["svms"]] == ["default"]
    assert running.svm("default")["volumes"] == ["db", "main"]


async def test_a_volume_that_changes_hands_takes_its_connections_with_it(running: Running) -> None:
    odxfs_ok("volume", "create", running.directory, "more")
    odxfs_ok("share", "add", running.directory, "more", "--volume", "more")
    async with logged_in(running.port("default"), ALICE, PASSWORD, "first") as peer:
        first = peer.tree_id
        await peer.connect_tree("more")
        fid = await peer.open("file")
        await trio.to_thread.run_sync(odxfs_ok, "svm", "set", running.directory, "b", "volumes=db,more")
        with pytest.raises(Refused) as refused:
            await peer.read(fid, 0, 1)
        assert refused.value.status is Status.NETWORK_NAME_DELETED
        with pytest.raises(Refused) as refused:
            await peer.connect_tree("more")
        assert refused.value.status is Status.BAD_NETWORK_NAME
        peer.tree_id = first
        await peer.open("what is still its own")
    odxfs_ok("share", "add", running.directory, "more", "--svm", "b", "--volume", "more")
    assert "file" in running.smbclient_ok("b", BOB, "more", "ls")


def test_what_cannot_be_done_changes_nothing(running: Running) -> None:
    before = odxfs_ok("config", "show", running.directory).out
    text = running.file.read_text()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        busy = f"127.0.0.1:{taken.getsockname()[1]}"
        attempts = {
            "x = 1\n" + text: (ExitCode.CONFIG, "there is no key 'x'"),
            text + '[mounts]\nmain = "/mnt"\n': (ExitCode.CONFIG, "without a restart: the mounts differ"),
            text.replace('"127.0.0.1:0"  #', '"127.0.0.1:1"  #'): (
                ExitCode.CONFIG,
                "without a restart: SVM default listens on 127.0.0.1:0, not on 127.0.0.1:1",
            ),
            text.replace('"db"', '"db", "nowhere"'): (ExitCode.NOT_FOUND, "has no volume 'nowhere'"),
            text.replace('name = "SECOND"', f'name = "OTHER"\n[svm.c]\nlisten = "{busy}"'): (
                ExitCode.NETWORK,
                f"SVM c: {busy} is in use",
            ),
            text.replace('"SECOND"', '"SECOND"\nkeytab = "/nonexistent/keytab"'): (
                ExitCode.CONFIG,
                "the keytab /nonexistent/keytab cannot be read",
            ),
            text + '[svm.file]\nlisten = "127.0.0.1:0"\n': (
                ExitCode.CONFIG,
                "svms/file cannot be made: File exists",
            ),
        }
        (running.directory / "svms" / "file").touch()
        for broken, (code, said) in attempts.items():
            running.file.write_text(broken)
            refused = running.reload()
            assert (refused.code, said in refused.err) == (code, True), refused.err
            assert odxfs_ok("config", "show", running.directory).out == before
    running.smbclient_ok("b", BOB, "second", "ls")
    running.file.unlink()
    assert running.reload().code == ExitCode.CONFIG
    running.file.write_text(text)
    assert running.reload().out == "nothing has changed\n"


def test_a_refused_signal_is_in_the_log_and_the_next_one_counts(running: Running) -> None:
    assert running.process.stderr is not None
    running.change("server-name", "surname")
    running.process.send_signal(signal.SIGHUP)
    lines = iter(running.process.stderr.readline, b"")
    said = next(line.decode() for line in lines if b"signal=SIGHUP" in line)
    assert "level=error" in said
    assert "there is no key 'surname'" in said
    assert "the old configuration stays in force" in said
    running.change("surname", "server-name")
    signal_reload(running)


async def test_the_ontap_profile_is_one_switch(running: Running) -> None:
    """A session that is there already meets it at its next call."""

    async with logged_in(running.port("b"), BOB, PASSWORD, "second") as peer:
        fid = await peer.open("file")
        resume_key = IoctlRequest(Fsctl.SRV_REQUEST_RESUME_KEY, fid, b"", 0, 32, 1)
        await peer.call(Command.IOCTL, resume_key)
        await trio.to_thread.run_sync(odxfs_ok, "svm", "set", running.directory, "b", "profile=ontap")
        for code in (
            Fsctl.SRV_REQUEST_RESUME_KEY,
            Fsctl.SRV_COPYCHUNK,
            Fsctl.SRV_COPYCHUNK_WRITE,
            Fsctl.DUPLICATE_EXTENTS_TO_FILE,
            Fsctl.DUPLICATE_EXTENTS_TO_FILE_EX,
        ):
            answer = await peer.answer(Command.IOCTL, IoctlRequest(code, fid, b"", 0, 32, 1))
            assert answer.header.status == Status.NOT_SUPPORTED
        await trio.to_thread.run_sync(odxfs_ok, "svm", "set", running.directory, "b", "copychunk=true")
        await peer.call(Command.IOCTL, resume_key)


async def test_bounds_on_tokens_are_each_svms_own(running: Running) -> None:
    await trio.to_thread.run_sync(odxfs_ok, "svm", "set", running.directory, "b", "tokens.per-svm=2")
    for svm, user, share in (("default", ALICE, "first"), ("b", BOB, "second")):
        async with logged_in(running.port(svm), user, PASSWORD, share) as peer:
            for number in range(4):
                assert await offload_read(peer, f"file {number}", MIB) == (Status.SUCCESS, MIB)
    tokens = odxfs_ok("tokens", running.directory, "--json").json
    assert sorted(token["volume"] for token in tokens) == ["db"] * 2 + ["main"] * 4


def test_svm_commands_change_the_file_and_the_server_together(running: Running) -> None:
    odxfs_ok("svm", "add", running.directory, "c", "listen=127.0.0.1:0", "min-dialect=3.0")
    odxfs_ok("svm", "set", running.directory, "c", "token-size=4 MiB", "tokens.per-client=7", "min-dialect=")
    listed = odxfs_ok("svm", "list", running.directory, "--json").json
    found = next(svm for svm in listed if svm["name"] == "c")
    assert (found["token-size"], found["tokens"]["per-client"], found["min-dialect"]) == ("4 MiB", 7, "2.1")
    text = running.file.read_text()
    for comment in ("# two SVMs", "# the system chooses", "# the second"):
        assert comment in text
    for words, code, said in (
        (("add", "c", "listen=127.0.0.1:0"), ExitCode.EXISTS, "already"),
        (("add", "../x"), ExitCode.CONFIG, "cannot be the name of an SVM"),
        (("set", "d", "profile=ontap"), ExitCode.NOT_FOUND, "no SVM 'd'"),
        (("set", "c", "profil=ontap"), ExitCode.CONFIG, "did you mean 'profile'?"),
        (("set", "c", "listen=127.0.0.1:1"), ExitCode.CONFIG, "without a restart"),
        (("set", "c", "profile"), ExitCode.USAGE, "is not KEY=VALUE"),
        (("del", "d"), ExitCode.NOT_FOUND, "no SVM 'd'"),
    ):
        verb, *rest = words
        refused = odxfs("svm", verb, running.directory, *rest)
        assert (refused.code, said in refused.err) == (code, True), refused.err
        assert running.file.read_text() == text
    odxfs_ok("svm", "del", running.directory, "c")
    assert [svm["name"] for svm in running.status()["svms"]] == ["default", "b"]


def test_a_server_started_without_a_file_gets_one_that_says_what_it_does(tmp_path: Path) -> None:
    directory = tmp_path / "pool"
    odxfs_ok("mkfs", directory)
    words = ("--share", "s", "--smb-listen", "127.0.0.1:0", "--signing", "offered")
    with in_foreground("serve", str(directory), *words) as process:
        running = Running(directory, process)
        odxfs_ok("svm", "add", directory, "b", "listen=127.0.0.1:0")
        assert running.file.read_text() == (
            '[svm.default]\nlisten = ["127.0.0.1:0"]\nsigning = "offered"\n\n[svm.b]\nlisten = ["127.0.0.1:0"]\n'
        )
        assert [svm["shares"] for svm in running.status()["svms"]] == [["s"], []]
        odxfs_ok("umount", directory)
        assert process.wait(60) == 0


async def test_a_reload_that_is_overtaken_by_the_end_is_refused_in_words(tmp_path: Path) -> None:
    """The file may lie on a disk that takes its time; what was bound for the new SVMs by then is given up."""
    reading, may_go_on = threading.Event(), threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    text = '[svm.default]\nlisten = "127.0.0.1:0"\n'

    def read() -> Configuration:
        reading.set()
        assert may_go_on.wait(60)
        return parse_configuration(
            f'{text}[svm.late]\nlisten = "127.0.0.1:{port}"\n', tmp_path / "pool" / "x"
        )

    async with serve(tmp_path / "pool") as served, trio.open_nursery() as outer:
        before = parse_configuration(text, tmp_path / "pool" / "x")
        svms = RunningSvms(before, served.pool, OpenTable(), served.server.engine)
        refused: list[str] = []

        async def reload() -> None:
            with pytest.raises(UserError) as error:
                await svms.reload(read)
            refused.append(str(error.value))

        async with trio.open_nursery() as inner:
            await inner.start(svms.run)
            outer.start_soon(reload)
            await trio.to_thread.run_sync(reading.wait)
            inner.cancel_scope.cancel()
        may_go_on.set()
    assert refused == ["the SVMs are being started or stopped"]
    assert svms.configuration == before
    with socket.create_server(("127.0.0.1", port)):
        pass


async def test_what_clients_have_of_a_removed_share_or_user_ends_with_the_command(running: Running) -> None:
    async with logged_in(running.port("default"), ALICE, PASSWORD, "first") as peer:
        await peer.open("held")
        done = await trio.to_thread.run_sync(odxfs_ok, "share", "del", running.directory, "first")
        assert done.out == "share first is removed\n1 tree connect has ended\n"
        with pytest.raises(Refused) as refused:
            await peer.open("held")
        assert refused.value.status == Status.NETWORK_NAME_DELETED
        done = await trio.to_thread.run_sync(odxfs_ok, "user", "del", running.directory, ALICE)
        assert done.out == f"user {ALICE} is removed\n1 session has ended\n"
        with pytest.raises(Refused) as refused:
            await peer.connect_tree("IPC$")
        assert refused.value.status == Status.USER_SESSION_DELETED
    assert running.svm("default")["clients"]["opens"] == 0


async def test_a_reload_ends_what_clients_have_of_a_share_that_is_declared_no_more(running: Running) -> None:
    declared = "[svm.default.share.{}]\n"
    running.change("# the second\n", declared.format("one") + declared.format("two") + "# the second\n")
    await trio.to_thread.run_sync(running.reload)
    async with logged_in(running.port("default"), ALICE, PASSWORD, "one") as peer:
        await peer.open("held")
        running.change(declared.format("one"), "")
        assert "new settings" in (await trio.to_thread.run_sync(running.reload)).out
        with pytest.raises(Refused) as refused:
            await peer.open("held")
        assert refused.value.status == Status.NETWORK_NAME_DELETED
