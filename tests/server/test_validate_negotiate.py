"""FSCTL_VALIDATE_NEGOTIATE_INFO: what a client says of its NEGOTIATE, and what that ends (MS-SMB2 3.3.5.15.12)."""

from pathlib import Path

import pytest

from odxfs.errors import ProtocolError
from odxfs.ntstatus import Status
from odxfs.wire.file_id import ANY
from odxfs.wire.fsctl.codes import Fsctl
from odxfs.wire.fsctl.validate_negotiate import ValidateNegotiateInfoRequest, ValidateNegotiateInfoResponse
from odxfs.wire.header import Command
from odxfs.wire.ioctl import IoctlRequest, IoctlResponse
from tests.support.peer import Peer, connect
from tests.support.serving import PASSWORD, USER, serve

SMB_2_1, SMB_3_0, SMB_3_0_2 = 0x0210, 0x0300, 0x0302
PREVIEWS = (0x0222, 0x0224, 0x0310)
ROOM = ValidateNegotiateInfoResponse.LAYOUT.size


async def _validate(peer: Peer, dialects: tuple[int, ...], room: int = ROOM) -> int:
    """The dialect that the server names; ProtocolError when it ends the connection."""
    await peer.login(USER, PASSWORD)
    await peer.connect_tree("IPC$")
    wire = peer.wire
    asked = ValidateNegotiateInfoRequest(
        wire.capabilities, wire.offer.client_guid, wire.offer.security_mode, dialects
    )
    body = IoctlRequest(Fsctl.VALIDATE_NEGOTIATE_INFO, ANY, asked.pack(), max_output_response=room)
    response = await peer.answer(Command.IOCTL, body)
    assert response.header.status == Status.SUCCESS
    return ValidateNegotiateInfoResponse.unpack(IoctlResponse.unpack(response.pdu).output_buffer).dialect


@pytest.mark.parametrize(
    "offered", [(SMB_2_1, *PREVIEWS), (0x0202, SMB_2_1, *PREVIEWS, SMB_3_0, SMB_3_0_2), (SMB_3_0_2, SMB_3_0)]
)
async def test_an_honest_client_may_offer_what_nobody_serves(
    tmp_path: Path, offered: tuple[int, ...]
) -> None:
    async with serve(tmp_path) as served, connect(served.port, offered) as peer:
        assert await _validate(peer, offered) == peer.wire.dialect


@pytest.mark.parametrize(
    ("said", "room"),
    [
        ((SMB_3_0_2,), ROOM),
        ((SMB_3_0_2, SMB_3_0, SMB_2_1), ROOM),
        ((SMB_2_1, SMB_3_0, SMB_3_0_2, 0x0311), ROOM),
        ((SMB_2_1, SMB_3_0, SMB_3_0_2), ROOM - 1),
    ],
)
async def test_another_list_than_that_of_the_negotiate_ends_the_connection(
    tmp_path: Path, said: tuple[int, ...], room: int
) -> None:
    async with serve(tmp_path) as served, connect(served.port, (SMB_2_1, SMB_3_0, SMB_3_0_2)) as peer:
        with pytest.raises(ProtocolError, match="the server closed the connection"):
            await _validate(peer, said, room)
