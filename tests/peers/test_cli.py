"""`odxfs peer add|list|del` and `odxfs user add --peer`."""

import json
import os
import stat
from pathlib import Path
from uuid import uuid4

import pytest

from odxfs.errors import ExitCode
from tests.peers.processes import MACHINE, MACHINE_PASSWORD, PASSWORD, USER, odxfs, odxfs_ok, two_servers


async def add(
    directory: Path, name: str, address: str, user: str, password: str, *more: str
) -> tuple[int, str]:
    """Exit code and complaint of `odxfs peer add`."""
    words = ("peer", "add", directory, name, address, "--user", user, "--password-stdin", *more)
    done = await odxfs(*words, stdin=password + "\n")
    return done.code, done.err


async def test_a_peer_is_added_shown_and_removed(tmp_path: Path) -> None:
    async with two_servers(tmp_path) as (a, b):
        pool = json.loads((a.directory / "pool.json").read_text())["uuid"]
        listed = (await odxfs_ok("peer", "list", b.directory, "--json")).json
        expected = {"name": "a", "address": "127.0.0.1", "port": a.port, "user": MACHINE, "pool": pool}
        assert listed == [expected]
        assert pool in (await odxfs_ok("peer", "list", b.directory)).out
        kept = b.directory / "peers.json"
        assert stat.S_IMODE(kept.stat().st_mode) == 0o600
        told = await odxfs_ok("status", b.directory, "--json")
        assert MACHINE_PASSWORD not in told.out
        assert [(peer["name"], peer["connections"]) for peer in told.json["peers"]] == [("a", 0)]
        assert f"127.0.0.1:{a.port}: 0 connections" in (await odxfs_ok("status", b.directory)).out

        assert await add(b.directory, "A", f"127.0.0.1:{a.port}", MACHINE, MACHINE_PASSWORD) == (
            ExitCode.EXISTS,
            "odxfs: there is a peer 'A' already\n",
        )
        code, said = await add(b.directory, "other", f"127.0.0.1:{a.port}", MACHINE, MACHINE_PASSWORD)
        assert (code, "peer 'a' serves the pool" in said) == (ExitCode.EXISTS, True)
        await odxfs_ok("peer", "del", b.directory, "A")
        assert (await odxfs_ok("peer", "list", b.directory, "--json")).json == []
        assert (await odxfs("peer", "del", b.directory, "a")).code == ExitCode.NOT_FOUND
        code, said = await add(b.directory, "a", f"127.0.0.1:{a.port}", MACHINE, "wrong")
        assert (code, "password is wrong" in said) == (ExitCode.AUTHENTICATION, True)
        code, said = await add(b.directory, "a", f"127.0.0.1:{a.port}", USER, PASSWORD)
        assert (code, "odxfs user add --peer" in said) == (ExitCode.REFUSED, True)
        code, said = await add(a.directory, "me", f"127.0.0.1:{a.port}", MACHINE, MACHINE_PASSWORD)
        assert (code, "this very pool" in said) == (ExitCode.EXISTS, True)
        assert (await odxfs_ok("peer", "list", b.directory, "--json")).json == []
        users = (await odxfs_ok("user", "list", a.directory, "--json")).json
        assert {user["name"]: user["peer"] for user in users} == {USER: False, MACHINE: True}


async def test_a_peer_is_added_without_asking_it(tmp_path: Path) -> None:
    await odxfs_ok("mkfs", tmp_path / "pool")
    directory, pool = tmp_path / "pool", str(uuid4())
    code, said = await add(directory, "far", "127.0.0.1:1", "x", "y")
    assert (code, "refused" in said) == (ExitCode.NETWORK, True)
    assert await add(directory, "far", "[fe80::1]:4450", "x", "y", "--no-check", pool) == (0, "")
    [peer] = (await odxfs_ok("peer", "list", directory, "--json")).json
    assert (peer["address"], peer["port"], peer["pool"]) == ("fe80::1", 4450, pool)
    assert await add(directory, "near", "server.example", "x", "y", "--no-check", str(uuid4())) == (0, "")
    assert (await odxfs_ok("peer", "list", directory, "--json")).json[1]["port"] == 445


@pytest.mark.parametrize(
    "words", [("nowhere:x",), (":445",), ("server:70000",), ("server", "--no-check", "x")]
)
async def test_what_cannot_be_meant(tmp_path: Path, words: tuple[str, ...]) -> None:
    await odxfs_ok("mkfs", tmp_path / "pool")
    more = words[1:] or ("--no-check", str(uuid4()))
    code, said = await add(tmp_path / "pool", "far", words[0], "x", "y", *more)
    assert code == ExitCode.USAGE
    assert said.count(os.linesep) == 1


@pytest.mark.parametrize(
    ("address", "user"), [("a..b:445", "x"), ("127.0.0.1:70000", "x"), ("127.0.0.1:1", "x\udcff")]
)
async def test_what_cannot_be_asked(tmp_path: Path, address: str, user: str) -> None:
    await odxfs_ok("mkfs", tmp_path / "pool")
    code, said = await add(tmp_path / "pool", "far", address, user, "y")
    assert code == ExitCode.USAGE
    assert said.count(os.linesep) == 1


async def test_the_guide_has_a_page(tmp_path: Path) -> None:
    assert "odxfs peer add" in (await odxfs_ok("help", "peers")).out
