"""Every parser of bytes from a client, each as a function of bytes that raises only where the parser has a bug.

Nothing may leave a parser but its own family of errors, and nothing that is kept may grow past its bound. Hypothesis drives these
functions in CI (test_targets.py), `scripts/fuzz/run` for as long as one likes.
"""

import contextlib
import functools
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from odxfs.errors import OffloadRefused, ProtocolError
from odxfs.offload import token as tokens
from odxfs.smb.auth.acceptor import Acceptor
from odxfs.smb.auth.errors import LogonFailure
from odxfs.smb.auth.users import User, UserStore
from odxfs.smb.directory.pattern import compile_pattern
from odxfs.smb.paths import split_path, stored_name, wire_name
from odxfs.smb.request import SmbError
from odxfs.smb.rpc import lsarpc, samr
from odxfs.smb.rpc.pipe import MAX_CALL_BYTES, MAX_WAITING_BYTES, Interface, Pipe
from odxfs.smb.rpc.srvsvc import PublishedShare, ServerFacts, server_service
from odxfs.smb.rpc.wkssvc import workstation_service
from odxfs.smb.security.check import allowed
from odxfs.smb.security.inheritance import inherited
from odxfs.smb.security.names import Names
from odxfs.smb.security.token import Token, make_token
from odxfs.smb.stream_names import split_stream
from odxfs.wire import negotiate_smb1
from odxfs.wire.compound import split_compound
from odxfs.wire.create import unpack_create_contexts
from odxfs.wire.crypto.sealing import Unsealer
from odxfs.wire.cursor import decode_utf16, encode_utf16
from odxfs.wire.fscc.ea import unpack_full_ea, unpack_get_ea
from odxfs.wire.fscc.security_descriptor import SecurityDescriptor
from odxfs.wire.fsctl.reparse import ReparseData, SymbolicLinkData, unpack_lx_symlink, unpack_nfs
from odxfs.wire.gmt_token import parse_gmt_token
from odxfs.wire.header import Command, Header
from odxfs.wire.negotiate_contexts import Cipher
from odxfs.wire.oplock_break import unpack_acknowledgment
from odxfs.wire.payload import payload_bytes
from odxfs.wire.transform import TransformHeader
from tests.codec.strategies import MESSAGES, STRUCTURES
from tests.fuzzing.connections import before_login, logged_in

Target = Callable[[bytes], None]

FRONT = Header(Command.ECHO).pack()
_MESSAGES = sorted(MESSAGES, key=lambda kind: kind.__name__)
_STRUCTURES = sorted(STRUCTURES, key=lambda kind: kind.__name__)
_KEY = bytes(range(32))


def header(data: bytes) -> None:
    """What stands at the front of a frame, in each of its forms."""
    for parse in (Header.unpack, split_compound, negotiate_smb1.Smb1NegotiateRequest.unpack):
        with contextlib.suppress(ProtocolError):
            parse(memoryview(data))


def sealed(data: bytes) -> None:
    """An encrypted frame, for each cipher."""
    with contextlib.suppress(ProtocolError):
        transform = TransformHeader.unpack(memoryview(data))
        for cipher in (each for each in Cipher if each):
            size = 32 if cipher in (Cipher.AES_256_CCM, Cipher.AES_256_GCM) else 16
            with contextlib.suppress(ProtocolError):
                Unsealer(cipher, _KEY[:size]).unseal(transform, memoryview(data))


def message(data: bytes) -> None:
    """The body of every request and response; the first byte says which."""
    if not data:
        return
    kind = _MESSAGES[data[0] % len(_MESSAGES)]
    pdu = memoryview(FRONT + data[1:])
    with contextlib.suppress(ProtocolError):
        kind.unpack(pdu)
    with contextlib.suppress(ProtocolError):
        unpack_acknowledgment(pdu)
    for command in Command:
        assert payload_bytes(command, pdu) >= 0


def structure(data: bytes) -> None:
    """FSCTL inputs and outputs, information classes, contexts of NEGOTIATE and CREATE; the first byte says which."""
    if data:
        with contextlib.suppress(ProtocolError):
            _STRUCTURES[data[0] % len(_STRUCTURES)].unpack(memoryview(data[1:]))


def create_contexts(data: bytes) -> None:
    """The chain of a CREATE, and what is in it read as each of the contexts."""
    with contextlib.suppress(ProtocolError):
        for _, content in unpack_create_contexts(data):
            for kind in _STRUCTURES:
                with contextlib.suppress(ProtocolError):
                    kind.unpack(memoryview(content))


def extended_attributes(data: bytes) -> None:
    """Lists of attributes and of their names."""
    for parse in (unpack_full_ea, unpack_get_ea):
        with contextlib.suppress(ProtocolError):
            parse(data)


def security_descriptor(data: bytes) -> None:
    """What is taken can be kept, judged by and inherited."""
    try:
        stored = SecurityDescriptor.unpack(data).pack()
    except ProtocolError:
        return
    assert SecurityDescriptor.unpack(stored).pack() == stored
    token = _token()
    assert 0 <= allowed(stored, token) <= 0x1F01FF
    with contextlib.suppress(ProtocolError):  # a list that inherits may become longer than a list can be
        SecurityDescriptor.unpack(inherited(stored, token.user, token.primary_group, is_directory=True))


def reparse_point(data: bytes) -> None:
    """Reparse buffers, and what is in them read as each kind of link."""
    with contextlib.suppress(ProtocolError):
        content = ReparseData.unpack(data).data
        for parse in (SymbolicLinkData.unpack, unpack_lx_symlink, unpack_nfs):
            with contextlib.suppress(ProtocolError):
                parse(content)


def names(data: bytes) -> None:
    """Paths, streams, patterns and @GMT tokens: whatever is let through leads to names that can be told to clients."""
    try:
        text = decode_utf16(data, "name")
    except ProtocolError:
        return
    assert encode_utf16(text) == data
    parse_gmt_token(text)
    assert isinstance(compile_pattern(text[:255]).matches(text[:255]), bool)
    with contextlib.suppress(SmbError):
        split_stream(text)
    with contextlib.suppress(SmbError):
        for component in split_path(text)[0]:
            assert component not in ("", ".", "..")
            assert not {"\0", "/", "\\", ":"}.intersection(component)
            stored = stored_name(component)
            assert stored not in (b".", b"..")
            assert not {0, ord("/")}.intersection(stored)
            wire_name(stored)


def token(data: bytes) -> None:
    """A token of copy offload: no bytes are one of ours but those that were sealed."""
    tokens.is_zero_token(data)
    assert isinstance(tokens.label_of(data), str)
    try:
        tokens.unseal(data, _KEY)
    except OffloadRefused:
        return
    raise AssertionError("a token that nobody has sealed")


def login(data: bytes) -> None:
    """The tokens of one login, SPNEGO or bare NTLM: nobody gets in, and little is kept."""
    acceptor = Acceptor(_users())
    for part in _parts(data):
        try:
            assert not acceptor.step(part).done
        except LogonFailure:
            return
        assert len(acceptor._mechanisms) + len(acceptor._ntlm._negotiate_message) < 2048


def pipe(data: bytes) -> None:
    """What is written to a named pipe; the first byte says to which."""
    if not data:
        return
    interfaces = _interfaces()
    opened = Pipe(interfaces[data[0] % len(interfaces)])
    for part in _parts(data[1:]):
        try:
            opened.write(part)
            while opened.messages:
                opened.read(4280)
        except SmbError:
            continue
        assert opened.waiting_bytes <= MAX_WAITING_BYTES + 8 * MAX_CALL_BYTES
        assert len(opened._incoming) + len(opened._stub) <= 2 * MAX_CALL_BYTES


TARGETS: dict[str, Target] = {
    "header": header,
    "sealed": sealed,
    "message": message,
    "structure": structure,
    "create_contexts": create_contexts,
    "extended_attributes": extended_attributes,
    "security_descriptor": security_descriptor,
    "reparse_point": reparse_point,
    "names": names,
    "token": token,
    "login": login,
    "pipe": pipe,
    "before_login": before_login,
    "logged_in": logged_in,
}

_SEEDS = Path(__file__).parent / "seeds"


def seeds(target: str) -> list[bytes]:
    """What the search begins with: one line of hexadecimal digits each."""
    return [bytes.fromhex(line) for line in (_SEEDS / f"{target}.hex").read_text().split()]


def _parts(data: bytes) -> Iterator[bytes]:
    """At most 8 parts, each behind its length in two bytes."""
    for _ in range(8):
        if len(data) < 2:
            return
        size = int.from_bytes(data[:2], "little")
        yield data[2 : 2 + size]
        data = data[2 + size :]


@functools.cache
def _users() -> UserStore:
    with tempfile.TemporaryDirectory() as directory:
        users = UserStore(Path(directory))
        users.add("alice", "secret", 1000, 1000)
        user = users.find("alice")
    assert user is not None
    return _OneUser(user)


class _OneUser(UserStore):
    """A store that asks no file."""

    def __init__(self, user: User) -> None:
        self._user = user

    def find(self, name: str) -> User | None:
        return self._user if name.lower() == "alice" else None

    def list(self) -> list[User]:
        return [self._user]


@functools.cache
def _token() -> Token:
    return make_token(_users().list()[0], ())


@functools.cache
def _interfaces() -> tuple[Interface, ...]:
    facts = ServerFacts("ODXFS", "a server", lambda: [PublishedShare("data", "the disks")])

    def known_names() -> Names:
        return Names("ODXFS", _users())

    return (
        server_service(facts),
        workstation_service(facts),
        lsarpc.security_authority(lsarpc.Authority(known_names)),
        samr.account_manager(samr.Manager(known_names)),
    )
