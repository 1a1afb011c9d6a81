"""The hidden share of tokens: who gets in, what can be done there, and by which names."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from odxfs.client.client import connect
from odxfs.client.errors import RequestRefused
from odxfs.client.file import SmbFile
from odxfs.client.tree import Tree
from odxfs.errors import UserError
from odxfs.ntstatus import Status
from odxfs.peers.probe import connect_to_tokens, pool_behind, probe_peer
from odxfs.smb.settings import Encryption, ServerSettings
from odxfs.smb.shares import Share, ShareStore
from odxfs.wire.access_mask import Access, ShareAccess
from odxfs.wire.change_notify import ChangeNotifyRequest
from odxfs.wire.create import CreateDisposition, CreateRequest, CreateResponse
from odxfs.wire.fscc.classes import FileInformationClass
from odxfs.wire.fsctl.codes import Fsctl
from odxfs.wire.header import Command
from odxfs.wire.query_directory import QueryDirectoryRequest
from odxfs.wire.query_info import InfoType, QueryInfoRequest
from odxfs.wire.write import WriteRequest
from tests.peers.pair import MACHINE, MACHINE_PASSWORD, Pair, new_file, read_token, serve_pair
from tests.support.peer import Refused, logged_in
from tests.support.serving import PASSWORD, SHARE, USER
from tests.support.smbclient import Smbclient

SIZE = 300_000


@asynccontextmanager
async def tokens_of(pair: Pair) -> AsyncIterator[Tree]:
    """The share of tokens of the pair's source, as the peer sees it."""
    async with connect_to_tokens("127.0.0.1", pair.source.port, MACHINE, MACHINE_PASSWORD) as (_, tree):
        yield tree


async def make_token(pair: Pair) -> tuple[bytes, bytes]:
    """A token and its bytes."""
    inode, data = await new_file(pair.source, "source"), os.urandom(SIZE)
    await pair.source.volume.write(inode, 0, data)
    return (await read_token(pair.source, inode, 0, SIZE // 512 * 512)).token, data[: SIZE // 512 * 512]


async def refusal(tree: Tree, name: str) -> int:
    """The status that opening a name to read is refused with."""
    with pytest.raises(RequestRefused) as refused:
        await tree.open_to_read(name)
    return refused.value.status


async def test_a_token_is_read_by_its_whole_name(tmp_path: Path) -> None:
    async with serve_pair(tmp_path) as pair, tokens_of(pair) as tree:
        token, data = await make_token(pair)
        file = await tree.open_to_read(token.hex())
        assert file.size == len(data)
        assert b"".join([await file.read(0, 200_000), await file.read(200_000, 200_000)]) == data
        assert await pool_behind(tree) == pair.source.pool.uuid


async def test_an_altered_token_opens_nothing(tmp_path: Path) -> None:
    """Each bit of each byte in turn, and as many random ones."""
    async with serve_pair(tmp_path) as pair, tokens_of(pair) as tree:
        token, _ = await make_token(pair)
        for place in range(512):
            altered = bytearray(token)
            altered[place] ^= 1 << place % 8
            assert await refusal(tree, altered.hex()) in (Status.INVALID_TOKEN, Status.DEVICE_UNREACHABLE)
            forged = token[:48] + os.urandom(464) if place % 2 else os.urandom(512)
            assert await refusal(tree, forged.hex()) in (Status.INVALID_TOKEN, Status.DEVICE_UNREACHABLE)
        assert len(pair.source.server.engine.registry) == 1


async def test_other_names_open_nothing(tmp_path: Path) -> None:
    async with serve_pair(tmp_path) as pair, tokens_of(pair) as tree:
        token, _ = await make_token(pair)
        [entry] = pair.source.server.engine.registry.entries()
        for name in (entry.label, entry.id.hex(), token.hex()[:-2], token.hex() + "00", "x" * 1024, "vol"):
            assert await refusal(tree, name) == Status.OBJECT_NAME_NOT_FOUND
        assert await refusal(tree, bytes(512).hex()) == Status.INVALID_TOKEN


async def test_a_token_that_has_ended_is_read_no_more(tmp_path: Path) -> None:
    async with serve_pair(tmp_path) as pair, tokens_of(pair) as tree:
        token, _ = await make_token(pair)
        file = await tree.open_to_read(token.hex())
        pair.source.server.engine.registry.clear()
        with pytest.raises(RequestRefused) as refused:
            await file.read(0, 1000)
        assert refused.value.status in (Status.INVALID_TOKEN, Status.INSUFFICIENT_RESOURCES)
        with pytest.raises(RequestRefused):
            await tree.open_to_read(token.hex())


async def test_opening_and_reading_lengthen_a_tokens_life(tmp_path: Path) -> None:
    async with serve_pair(tmp_path) as pair, tokens_of(pair) as tree:
        token, _ = await make_token(pair)
        [entry] = pair.source.server.engine.registry.entries()
        issued = entry.deadline
        file = await tree.open_to_read(token.hex())
        opened = entry.deadline
        await file.read(0, 1000)
        assert issued < opened < entry.deadline


async def test_users_do_not_get_in_and_peers_nowhere_else(tmp_path: Path) -> None:
    async with serve_pair(tmp_path) as pair:
        with pytest.raises(RequestRefused) as refused:
            await pair.source_client.tree("tokens$")
        assert refused.value.status == Status.ACCESS_DENIED
        async with connect("127.0.0.1", pair.source.port, MACHINE, MACHINE_PASSWORD) as client:
            for share in (SHARE, "IPC$"):
                with pytest.raises(RequestRefused) as refused:
                    await client.tree(share)
                assert refused.value.status == Status.ACCESS_DENIED


async def test_nothing_is_sent_in_clear(tmp_path: Path) -> None:
    async with (
        serve_pair(tmp_path) as pair,
        logged_in(pair.source.port, MACHINE, MACHINE_PASSWORD, "TOKENS$") as peer,
    ):
        with pytest.raises(Refused, match="ACCESS_DENIED"):
            await peer.open("", CreateDisposition.OPEN, desired_access=Access.FILE_READ_ATTRIBUTES)


async def test_without_encryption_there_is_no_share_of_tokens(tmp_path: Path) -> None:
    settings = ServerSettings(encryption=Encryption.OFF, failed_login_seconds=0.0)
    async with serve_pair(tmp_path, settings) as pair:
        with pytest.raises(Refused, match="ACCESS_DENIED"):
            async with logged_in(pair.source.port, MACHINE, MACHINE_PASSWORD, "TOKENS$"):
                pass


async def test_tokens_can_be_opened_and_read_and_nothing_else(tmp_path: Path) -> None:
    async with serve_pair(tmp_path) as pair, tokens_of(pair) as tree:
        token, data = await make_token(pair)
        for access in (Access.FILE_WRITE_DATA, Access.DELETE, Access.FILE_WRITE_ATTRIBUTES, 0x4000_0000):
            request = CreateRequest(token.hex(), access, ShareAccess.ALL, CreateDisposition.OPEN)
            response = await tree.call(Command.CREATE, request.pack())
            assert response.header.status == Status.ACCESS_DENIED
        for disposition in set(CreateDisposition) - {CreateDisposition.OPEN, CreateDisposition.OPEN_IF}:
            request = CreateRequest(token.hex(), Access.FILE_READ_DATA, ShareAccess.ALL, disposition)
            response = await tree.call(Command.CREATE, request.pack())
            assert response.header.status == Status.ACCESS_DENIED
        request = CreateRequest("", Access.FILE_READ_DATA, ShareAccess.ALL, CreateDisposition.OPEN)
        assert (await tree.call(Command.CREATE, request.pack())).header.status == Status.ACCESS_DENIED
        request = CreateRequest(token.hex(), Access.FILE_READ_DATA, ShareAccess.ALL, CreateDisposition.OPEN)
        opened = CreateResponse.unpack((await tree.call(Command.CREATE, request.pack())).pdu)
        fid = opened.file_id
        refused = [
            (Command.WRITE, WriteRequest(fid, 0, b"x").pack()),
            (
                Command.QUERY_DIRECTORY,
                QueryDirectoryRequest(FileInformationClass.BOTH_DIRECTORY, fid).pack(),
            ),
            (Command.CHANGE_NOTIFY, ChangeNotifyRequest(fid, 1).pack()),
            (Command.QUERY_INFO, QueryInfoRequest(InfoType.FILE, 5, fid, output_buffer_length=4096).pack()),
        ]
        for command, body in refused:
            assert (await tree.call(command, body)).header.status == Status.ACCESS_DENIED, command
        file = SmbFile(tree, "token", fid, opened.end_of_file, created=False)
        for code in (Fsctl.OFFLOAD_READ, Fsctl.SRV_REQUEST_RESUME_KEY, Fsctl.SET_ZERO_DATA):
            assert (await file.fsctl(code, bytes(32), 1024)).header.status == Status.ACCESS_DENIED
        assert bytes(await file.read(0, len(data))) == data


async def test_nobody_sees_the_share_in_a_list_or_takes_its_name(tmp_path: Path) -> None:
    async with serve_pair(tmp_path) as pair:
        listed = (await Smbclient(pair.source, tmp_path).run("-L", "//127.0.0.1")).stdout.decode()
        assert SHARE in listed
        assert "TOKENS" not in listed.upper()
    with pytest.raises(UserError, match="always there"):
        ShareStore(tmp_path / "a").add(Share("Tokens$"))


async def test_the_probe_says_what_failed(tmp_path: Path) -> None:
    async with serve_pair(tmp_path) as pair:
        port = pair.source.port
        assert await probe_peer("127.0.0.1", port, MACHINE, MACHINE_PASSWORD) == pair.source.pool.uuid
        with pytest.raises(UserError, match="user name or the password is wrong"):
            await probe_peer("127.0.0.1", port, MACHINE, "wrong")
        with pytest.raises(UserError, match="does not let it read tokens"):
            await probe_peer("127.0.0.1", port, USER, PASSWORD)
    with pytest.raises(UserError, match="connection refused"):
        await probe_peer("127.0.0.1", port, MACHINE, MACHINE_PASSWORD)
