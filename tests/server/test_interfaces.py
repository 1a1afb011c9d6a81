"""FSCTL_QUERY_NETWORK_INTERFACE_INFO: where a client may open further connections."""

import json
import socket
import subprocess
from ipaddress import ip_address
from pathlib import Path

import pytest

from odxfs.ntstatus import Status
from odxfs.smb.interfaces import UNKNOWN_LINK_SPEED, Listening, LocalAddress, reachable
from odxfs.wire.file_id import ANY
from odxfs.wire.fsctl.codes import Fsctl
from odxfs.wire.fsctl.network_interface import NetworkInterfaceInfo, unpack_interfaces
from odxfs.wire.header import Command
from odxfs.wire.ioctl import IoctlRequest, IoctlResponse
from odxfs.wire.negotiate import Dialect
from tests.support.peer import Peer, logged_in
from tests.support.serving import PASSWORD, SHARE, USER, serve

FSCTL = 1


def _by_ip() -> dict[str, int]:
    """Address to interface index, as `ip` says, but for the addresses that clients cannot use."""
    links = json.loads(subprocess.run(["ip", "-j", "addr"], capture_output=True, check=True).stdout)
    return {
        str(ip_address(each["local"])): link["ifindex"]
        for link in links
        if link["operstate"] != "DOWN"
        for each in link["addr_info"]
        if each["scope"] != "link"
    }


async def _ask(peer: Peer, room: int = 65536) -> tuple[int, tuple[NetworkInterfaceInfo, ...]]:
    request = IoctlRequest(Fsctl.QUERY_NETWORK_INTERFACE_INFO, ANY, max_output_response=room, flags=FSCTL)
    response = await peer.answer(Command.IOCTL, request)
    if response.header.status != Status.SUCCESS:
        return response.header.status, ()
    return Status.SUCCESS, unpack_interfaces(IoctlResponse.unpack(response.pdu).output_buffer)


@pytest.mark.parametrize("address", ["0.0.0.0", "::"])
async def test_a_server_on_all_addresses_tells_each_of_them(tmp_path: Path, address: str) -> None:
    async with (
        serve(tmp_path, address=address) as served,
        logged_in(served.port, USER, PASSWORD, SHARE) as peer,
    ):
        status, told = await _ask(peer)
        assert status == Status.SUCCESS
        expected = {where: index for where, index in _by_ip().items() if address == "::" or ":" not in where}
        assert {str(each.address): each.if_index for each in told} == expected
        assert all(each.link_speed > 0 for each in told)
        assert (await _ask(peer, room=151))[0] == Status.BUFFER_TOO_SMALL


async def test_a_server_on_one_address_tells_that(tmp_path: Path) -> None:
    async with (
        serve(tmp_path, address="127.0.0.1") as served,
        logged_in(served.port, USER, PASSWORD, SHARE) as peer,
    ):
        _, told = await _ask(peer)
        assert [(str(each.address), each.if_index) for each in told] == [
            ("127.0.0.1", socket.if_nametoindex("lo"))
        ]


async def test_smb_2_has_no_further_connections(tmp_path: Path) -> None:
    async with (
        serve(tmp_path) as served,
        logged_in(served.port, USER, PASSWORD, SHARE, [Dialect.SMB_2_1]) as peer,
    ):
        assert (await _ask(peer))[0] == Status.NOT_SUPPORTED


def _addresses(*hosts: str) -> list[LocalAddress]:
    return [
        LocalAddress(ip_address(host), number, UNKNOWN_LINK_SPEED) for number, host in enumerate(hosts, 1)
    ]


FOUND = _addresses("127.0.0.1", "192.0.2.1", "198.51.100.1", "fe80::1", "2001:db8::1")


@pytest.mark.parametrize(
    ("sockets", "connected", "told"),
    [
        ([("0.0.0.0", 445, False)], "192.0.2.1", ["192.0.2.1", "198.51.100.1"]),
        ([("::", 445, True)], "192.0.2.1", ["192.0.2.1", "198.51.100.1", "2001:db8::1"]),
        ([("::", 445, False)], "2001:db8::1", ["2001:db8::1"]),
        ([("::", 445, False)], "fe80::1", ["fe80::1", "2001:db8::1"]),
        ([("192.0.2.1", 445, False), ("198.51.100.1", 1445, False)], "192.0.2.1", ["192.0.2.1"]),
        (
            [("192.0.2.1", 445, False), ("198.51.100.1", 445, False)],
            "192.0.2.1",
            ["192.0.2.1", "198.51.100.1"],
        ),
    ],
)
def test_a_client_hears_of_what_it_can_reach(
    sockets: list[tuple[str, int, bool]], connected: str, told: list[str]
) -> None:
    """Not of loopback from elsewhere, of links that it does not know, or of addresses where another port is served."""
    listening = [Listening(ip_address(host), port, both) for host, port, both in sockets]
    found = reachable(listening, FOUND, ip_address(connected), 445)
    assert [str(each.address) for each in found] == told
