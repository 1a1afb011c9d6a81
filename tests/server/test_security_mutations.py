"""Descriptors as nobody would write them: what is taken can be kept, read again, judged by and inherited."""

import random
from pathlib import Path

from odxfs.errors import ProtocolError
from odxfs.smb.auth.users import UserStore
from odxfs.smb.security.check import allowed
from odxfs.smb.security.inheritance import inherited
from odxfs.smb.security.posix import mode_of
from odxfs.smb.security.token import make_token
from odxfs.wire.fscc.security_descriptor import Ace, Acl, OpaqueAce, SecurityDescriptor
from odxfs.wire.fscc.sid import CREATOR_OWNER, EVERYONE, OWNER_RIGHTS, Sid

TRIALS = 3000


def mutated(original: bytes, chance: random.Random) -> bytes:
    data = bytearray(original)
    for _ in range(chance.randrange(1, 4)):
        data[chance.randrange(len(data))] = chance.choice(
            (0, 1, 4, 6, 9, 0x0B, 0x7F, 0xFF, chance.randrange(256))
        )
    return bytes(data if chance.random() < 0.9 else data[: chance.randrange(len(data))])


def test_what_is_taken_makes_no_trouble_later(tmp_path: Path) -> None:
    users, chance = UserStore(tmp_path), random.Random(5)
    token = make_token(users.add("alice", "secret", 1000, 1000), ())
    entries = (
        Ace(1, 0, 2, EVERYONE),
        Ace(0, 0x0B, 0x1000_0000, CREATOR_OWNER),
        OpaqueAce(6, 3, b"\x01\0\0\0\x01\0\0\0" + bytes(16) + EVERYONE.pack()),
        Ace(9, 0, 1, OWNER_RIGHTS, b"artx"),
        Ace(0, 0x13, 0x1F01FF, token.user),
    )
    sacl = Acl((Ace(2, 0x43, 1, EVERYONE), Ace(0x11, 0, 1, Sid(16, (8192,)))))
    original = SecurityDescriptor(token.user, EVERYONE, Acl(entries, 4), sacl).pack()
    taken = 0
    for _ in range(TRIALS):
        try:
            stored = SecurityDescriptor.unpack(mutated(original, chance)).pack()
        except ProtocolError:
            continue
        taken += 1
        again = SecurityDescriptor.unpack(stored)
        assert again.pack() == stored
        assert 0 <= allowed(stored, token) <= 0x1F01FF
        assert 0 <= mode_of(again, 0o100644, 1000, users) <= 0o777
        for is_directory in (False, True):
            child = inherited(stored, token.user, token.primary_group, is_directory=is_directory)
            assert SecurityDescriptor.unpack(child).owner == token.user
    assert taken > TRIALS // 10
