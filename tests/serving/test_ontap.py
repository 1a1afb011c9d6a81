"""The ONTAP profile as a client meets it, beside an SVM of the same process that behaves like Windows."""

from collections.abc import Iterator

import pytest

from odxfs.ntstatus import Status
from odxfs.wire.file_id import FileId
from odxfs.wire.fscc.file_system_information import FileSystemAttributes
from odxfs.wire.fsctl.codes import Fsctl
from odxfs.wire.header import Command
from odxfs.wire.ioctl import IoctlRequest
from odxfs.wire.negotiate import Dialect
from odxfs.wire.query_info import InfoType, QueryInfoRequest, QueryInfoResponse
from tests.serving.running import ALICE, BOB, CONFIGURATION, PASSWORD, Running, offload_read, serving
from tests.support.peer import Peer, logged_in

KIB, MIB = 1024, 1024 * 1024
SMALL, SMALLEST, LARGE = 256 * KIB - 1, 256 * KIB, 20 * MIB
SVMS = {"windows": ("default", ALICE, "first"), "ontap": ("b", BOB, "second")}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """SVM `default` as it comes with large tokens, SVM `b` with nothing but the profile."""
    text = CONFIGURATION.replace("volumes", 'profile = "ontap"\nvolumes').replace(
        "\n# the second", 'token-size = "64 MiB"\n# the second'
    )
    with serving(tmp_path_factory.mktemp("ontap"), text) as served:
        yield served


async def has_block_refcounting(peer: Peer, fid: FileId) -> bool:
    response = await peer.call(Command.QUERY_INFO, QueryInfoRequest(InfoType.FILESYSTEM, 5, fid, 256))
    attributes = int.from_bytes(QueryInfoResponse.unpack(response.pdu).output_buffer[:4], "little")
    return bool(attributes & FileSystemAttributes.SUPPORTS_BLOCK_REFCOUNTING)


@pytest.mark.parametrize(
    ("profile", "small", "large"),
    [
        ("windows", (Status.SUCCESS, SMALL // 512 * 512), LARGE),
        ("ontap", (Status.OFFLOAD_READ_FILE_NOT_SUPPORTED, 0), 8 * MIB),
    ],
)
async def test_tokens(running: Running, profile: str, small: tuple[Status, int], large: int) -> None:
    svm, user, share = SVMS[profile]
    async with logged_in(running.port(svm), user, PASSWORD, share) as peer:
        assert await offload_read(peer, "small", SMALL) == small
        assert await offload_read(peer, "smallest", SMALLEST) == (Status.SUCCESS, SMALLEST)
        assert await offload_read(peer, "large", LARGE) == (Status.SUCCESS, large)


async def test_no_tokens_below_smb_3(running: Running) -> None:
    svm, user, share = SVMS["ontap"]
    dialects = (Dialect.SMB_2_1,)
    async with logged_in(running.port(svm), user, PASSWORD, share, dialects) as peer:
        assert await offload_read(peer, "old", SMALLEST) == (Status.INVALID_DEVICE_REQUEST, 0)


@pytest.mark.parametrize("profile", SVMS)
async def test_copies_without_tokens(running: Running, profile: str) -> None:
    svm, user, share = SVMS[profile]
    async with logged_in(running.port(svm), user, PASSWORD, share) as peer:
        fid = await peer.open("file")
        resume_key = IoctlRequest(Fsctl.SRV_REQUEST_RESUME_KEY, fid, b"", 0, 32, 1)
        answer = await peer.answer(Command.IOCTL, resume_key)
        served = profile == "windows"
        assert answer.header.status == (Status.SUCCESS if served else Status.NOT_SUPPORTED)
        assert await has_block_refcounting(peer, fid) is served
