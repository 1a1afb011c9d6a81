"""MD4 (RFC 1320), which the NT hash of a password is made with.

OpenSSL 3 keeps it in a provider that is usually not loaded, so `hashlib` has none. It hashes one password at a time, when a
user is added or a test logs in, so plain Python does.
"""

import struct

_MASK = 0xFFFFFFFF
_WORDS = struct.Struct("<16I")
_STATE = struct.Struct("<4I")
_START = (0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476)
_ROUND_2 = (0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15)
_ROUND_3 = (0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15)
_SHIFTS = ((3, 7, 11, 19), (3, 5, 9, 13), (3, 9, 11, 15))


def md4(data: bytes) -> bytes:
    """The 16-byte digest of `data`."""
    padded = data + b"\x80" + bytes(-(len(data) + 9) % 64) + struct.pack("<Q", len(data) * 8 & (2**64 - 1))
    state = _START
    for offset in range(0, len(padded), 64):
        state = _compress(state, _WORDS.unpack_from(padded, offset))
    return _STATE.pack(*state)


def _compress(state: tuple[int, int, int, int], words: tuple[int, ...]) -> tuple[int, int, int, int]:
    a, b, c, d = state
    for step in range(48):
        turn, index = divmod(step, 16)
        if turn == 0:
            mixed = (b & c | ~b & d) + words[index]
        elif turn == 1:
            mixed = (b & c | b & d | c & d) + words[_ROUND_2[index]] + 0x5A827999
        else:
            mixed = (b ^ c ^ d) + words[_ROUND_3[index]] + 0x6ED9EBA1
        rotated = a + mixed & _MASK
        shift = _SHIFTS[turn][step % 4]
        a, b, c, d = d, (rotated << shift | rotated >> 32 - shift) & _MASK, b, c
    return (
        state[0] + a & _MASK,
        state[1] + b & _MASK,
        state[2] + c & _MASK,
        state[3] + d & _MASK,
    )
