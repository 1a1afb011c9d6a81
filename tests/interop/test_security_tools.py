"""Samba's rpcclient and smbcacls against the server: names, accounts, shares, and access lists as an administrator sets them."""

import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from tests.support.serving import PASSWORD, SHARE, USER, Served, serve

ADDRESS = "127.77.21.4"
"""smbcacls knows no other port than 445, so the server has an address of its own."""

VIRTUAL_MACHINE = "S-1-5-83-1-2571430233-1208214391-3040432568-3921107337"


@asynccontextmanager
async def served(folder: Path) -> AsyncIterator[tuple[Served, Path]]:
    login = folder / "login"
    login.write_text(f"username = {USER}\npassword = {PASSWORD}\n")
    async with serve(folder / "pool", address=ADDRESS, port=445) as running:
        staff = running.server.users.add_group("staff", 2001)
        running.server.users.set_member("staff", "bob", member=True)
        assert staff.sid.startswith("S-1-5-21-")
        yield running, login


async def said(*words: str | Path) -> str:
    """What the program prints; it must succeed."""
    done = await trio.run_process(
        [str(word) for word in words], capture_stdout=True, stderr=subprocess.STDOUT, check=False
    )
    text = done.stdout.decode()
    assert done.returncode == 0, text
    return text


async def test_rpcclient_learns_names_accounts_and_shares(tmp_path: Path) -> None:
    async with served(tmp_path) as (running, login):
        alice = running.server.users.find(USER)
        assert alice is not None
        expected = {
            "lookupnames alice staff Administrators": [alice.sid, "Local Group", "S-1-5-32-544"],
            f"lookupsids {alice.sid} S-1-1-0 S-1-22-1-77 {VIRTUAL_MACHINE}": [
                "ODXFS\\alice (1)",
                "\\Everyone (5)",
                "Unix User\\77 (1)",
                "*unknown*\\*unknown* (8)",
            ],
            "lsaenumacctrights S-1-5-32-544": ["SeSecurityPrivilege", "SeRestorePrivilege"],
            "srvinfo": ["ODXFS"],
            "netshareenumall": [f"netname: {SHARE}", "netname: IPC$"],
            "enumdomusers": ["user:[alice] rid:[0x3e8]", "user:[bob] rid:[0x3e9]"],
            "queryuser alice": ["User Name   :\talice"],
            "enumalsgroups domain": ["group:[staff]"],
            "queryaliasmem domain 1002": ["-1001]"],
            "lsaquery": ["Domain Name: ODXFS"],
        }
        for command, answers in expected.items():
            text = await said("rpcclient", ADDRESS, "-A", login, "-c", command)
            for answer in answers:
                assert answer in text, command


async def test_rpcclient_lists_accounts_whose_names_are_beyond_16_bits(tmp_path: Path) -> None:
    async with served(tmp_path) as (running, login):
        running.server.users.add("smile 😀", "secret", 7, 7)
        running.server.users.add_group("smiling 😀", 7)
        for command, answer in (
            ("enumdomusers", "user:[alice] rid:[0x3e8]\nuser:[bob] rid:[0x3e9]\nuser:[smile 😀] rid:[0x3eb]"),
            ("enumalsgroups domain", "group:[smiling 😀] rid:[0x3ec]\ngroup:[staff] rid:[0x3ea]"),
            ("queryuser 1003", "User Name   :\tsmile 😀"),
            ("samlookuprids domain 1003", "rid 0x3eb: smile 😀 (1)"),
        ):
            assert answer in await said("rpcclient", ADDRESS, "-A", login, "-c", command)


async def test_smbcacls_changes_lists_owners_and_what_is_below(tmp_path: Path) -> None:
    async with served(tmp_path) as (_, login):
        folder = ("smbcacls", f"//{ADDRESS}/{SHARE}", "-A", login, "folder")
        file = (*folder[:-1], "folder/below/file")
        make = f"mkdir folder; mkdir folder\\below; put {login} folder\\below\\file"
        await said("smbclient", f"//{ADDRESS}/{SHARE}", "-A", login, "-c", make)
        assert "OWNER:ODXFS\\alice" in await said(*folder)
        await said(*folder, "-a", "ACL:ODXFS\\bob:ALLOWED/OI|CI/READ")
        assert "ACL:ODXFS\\bob:ALLOWED/OI|CI/READ" in await said(*folder)
        await said(*folder, "-M", "ACL:ODXFS\\bob:ALLOWED/OI|CI/CHANGE")
        assert "ACL:ODXFS\\bob:ALLOWED/OI|CI/CHANGE" in await said(*folder)
        await said(*folder, "-D", "ACL:ODXFS\\bob:ALLOWED/OI|CI/CHANGE")
        assert "bob" not in await said(*folder)
        await said(*folder, "-C", "ODXFS\\bob")
        assert "OWNER:ODXFS\\bob" in await said(*folder)
        wanted = f"ACL:{VIRTUAL_MACHINE}:ALLOWED/0x0/FULL,ACL:Everyone:ALLOWED/OI|CI/FULL"
        await said(*folder, "-S", wanted)
        listed = await said(*folder)
        assert all(entry in listed for entry in wanted.split(","))
        await said(*folder, "--propagate-inheritance", "-a", "ACL:staff:DENIED/OI|CI/W")
        assert "ACL:ODXFS\\staff:DENIED/I/W" in await said(*file)
        await said(*file, "-I", "copy")
        text = await said(*file)
        assert "PD" in text
        assert "ACL:ODXFS\\staff:DENIED/0x0/W" in text
