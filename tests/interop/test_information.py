"""Metadata over the share with clients that we did not write: smbclient, rpcclient, impacket."""

import subprocess
from functools import partial
from pathlib import Path

import trio
from impacket.dcerpc.v5 import srvs, transport
from impacket.smbconnection import SMBConnection

from odxfs.offload import Mechanism
from odxfs.smb.shares import Share
from tests.support.serving import OTHER_PASSWORD, OTHER_USER, PASSWORD, SHARE, USER, Served, serve

CONTENT = bytes(range(256)) * 8192


async def smbclient(served: Served, commands: str) -> str:
    """What smbclient says to `commands` on the share; every one must succeed."""
    done = await trio.run_process(
        [
            "smbclient",
            f"//127.0.0.1/{SHARE}",
            "-p",
            str(served.port),
            "-U",
            f"{USER}%{PASSWORD}",
            "-c",
            commands,
        ],
        capture_stdout=True,
        stderr=subprocess.STDOUT,
        check=False,
    )
    text = done.stdout.decode()
    assert done.returncode == 0, text
    assert "NT_STATUS" not in text, text
    return text


async def test_smbclient_sees_changes_renames_links_and_copies(tmp_path: Path) -> None:
    local = tmp_path / "local"
    local.write_bytes(CONTENT)
    async with serve(tmp_path / "pool") as served:
        await smbclient(served, f"mkdir d; put {local} d/file.bin; rename d/file.bin d/moved.bin")
        told = await smbclient(served, "allinfo d/moved.bin")
        assert "attributes: A (20)" in told
        assert f"stream: [::$DATA], {len(CONTENT)} bytes" in told
        await smbclient(served, "setmode d/moved.bin +rh")
        listing = await smbclient(served, "ls d/*")
        assert "AHR" in listing
        await smbclient(served, "setmode d/moved.bin -rh; hardlink d/moved.bin d/link.bin")
        await smbclient(served, "cd d; scopy moved.bin copied.bin")
        folder = await served.volume.lookup(served.volume.root, b"d")
        copied = await served.volume.lookup(folder.number, b"copied.bin")
        assert bytes(await served.volume.read(copied, 0, copied.size)) == CONTENT
        assert (await served.volume.lookup(folder.number, b"link.bin")).nlink == 2
        counter = served.server.engine.counters.mechanisms[Mechanism.COPYCHUNK]
        assert counter.shared_bytes == len(CONTENT)
        await smbclient(
            served, "cd d; utimes moved.bin -1 -1 2001:02:03-04:05:06 -1; rm *.bin; cd ..; rmdir d"
        )


async def test_a_change_on_the_mount_reaches_a_waiting_smbclient(tmp_path: Path) -> None:
    async with serve(tmp_path / "pool") as served:
        command = ["smbclient", f"//127.0.0.1/{SHARE}", "-p", str(served.port), "-U", f"{USER}%{PASSWORD}"]
        line_by_line = ["stdbuf", "-oL", *command, "-c", "notify \\"]
        async with trio.open_nursery() as nursery:
            run = partial(trio.run_process, line_by_line, stdout=subprocess.PIPE, check=False)
            process: trio.Process = await nursery.start(run)
            assert process.stdout is not None
            said = b""
            with trio.fail_after(60):
                while not served.pool.has_observers:
                    await trio.lowlevel.checkpoint()
                await served.volume.create(served.volume.root, b"from-the-mount", 0o100644, 0, 0)
                while b"from-the-mount" not in said:
                    said += await process.stdout.receive_some()
            nursery.cancel_scope.cancel()
        assert said.startswith(b"0001 ")


async def test_rpcclient_and_impacket_list_the_shares(tmp_path: Path) -> None:
    async with serve(tmp_path / "pool", shares=[Share("second", comment="another one")]) as served:
        text = await rpcclient(
            served, USER, PASSWORD, "netshareenumall 1; netshareenum 1; netshareenumall 502; srvinfo"
        )
        assert text.count("netname: second") == 3
        assert "another one" in text
        assert "platform_id" in text
        text = await rpcclient(served, OTHER_USER, OTHER_PASSWORD, "netshareenumall 502")
        assert "WERR_ACCESS_DENIED" in text, "level 502 is for administrators"
        names = await trio.to_thread.run_sync(_enumerate, served.port)
        assert names == ["second", SHARE, "IPC$"]


async def rpcclient(served: Served, user: str, password: str, commands: str) -> str:
    """What rpcclient says to `commands`, whether it liked the answers or not."""
    login = ["-p", str(served.port), "-U", f"{user}%{password}", "127.0.0.1"]
    done = await trio.run_process(
        ["rpcclient", *login, "-c", commands], capture_stdout=True, stderr=subprocess.STDOUT, check=False
    )
    return done.stdout.decode()


def _enumerate(port: int) -> list[str]:
    connection = SMBConnection("127.0.0.1", "127.0.0.1", sess_port=port)
    connection.login(USER, PASSWORD)
    rpc = transport.SMBTransport(
        "127.0.0.1", dstport=port, filename=r"\srvsvc", smb_connection=connection
    ).get_dce_rpc()
    rpc.connect()
    rpc.bind(srvs.MSRPC_UUID_SRVS)
    answer = srvs.hNetrShareEnum(rpc, 1)
    rows = answer["InfoStruct"]["ShareInfo"]["Level1"]["Buffer"]
    connection.close()
    return [row["shi1_netname"].rstrip("\0") for row in rows]
