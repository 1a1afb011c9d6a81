"""The upper case of a user's name, which NTLMv2 proves instead of the name (MS-NLMP 3.3.2).

Clients do not agree on it beyond ASCII, and none says what it has made of the name: so each of the ways is tried.
"""

from __future__ import annotations

from odxfs.volume import upcase

_OF_UNICODE_3 = frozenset(
    (
        *(0x195, 0x19E, 0x1BF, 0x1F9, *range(0x219, 0x234, 2), 0x280, *range(0x3D9, 0x3E2, 2), 0x450, 0x45D),
        *(0x48B, 0x48D, 0x48F, 0x4C6, 0x4CA, 0x4CE, 0x4ED, *range(0x501, 0x510, 2)),
    )
)
"""Letters that have an upper case since Unicode 3, Romanian s and t with comma below among them."""


def upper_cases(name: str) -> tuple[str, ...]:
    """What clients may have made of a name, each once."""
    if name.isascii():
        return (name.upper(),)
    ways = (upcase(name), _of_windows_2000(name), _one_by_one(name), name.upper())
    return tuple(dict.fromkeys(ways))


def _of_windows_2000(name: str) -> str:
    """As in its table, which Samba and the Linux kernel have; today's Windows raises the rest, too, but no dotless i."""
    return "".join(character if ord(character) in _OF_UNICODE_3 else upcase(character) for character in name)


def _one_by_one(name: str) -> str:
    """As today's Unicode has it, without making two letters of one."""
    return "".join(upper if len(upper := character.upper()) == 1 else character for character in name)
