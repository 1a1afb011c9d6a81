"""Which characters differ in case only: one and one, as in NTFS' table ($UpCase), never one and several as in full case folding.

So `strasse` is not `straße`. A pair counts when its upper-case character leads back to the lower-case one (a dotless i and a long
s have no upper case) and when both are in Unicode 3.2: names are stored under what this makes of them, and a later Unicode may
give an upper case to a character that had none. As where each UTF-16 unit is compared, no pair is beyond U+FFFF.
"""

import unicodedata
from functools import cache
from itertools import chain

_WITH_CASE = (range(0x80, 0x2500), range(0xFF21, 0xFF5B))
"""Where all pairs are, but for those of ASCII."""

_FINAL_SIGMA, _SIGMA, _CAPITAL_SIGMA = 0x3C2, 0x3C3, 0x3A3
"""The one character that shares another's upper case, on NTFS, too."""


def upcase(text: str) -> str:
    """`text` in upper case, each character by itself; texts for which this is the same differ in case only."""
    return text.upper() if text.isascii() else text.translate(_upper_cases())


def downcase(text: str) -> str:
    """The same in lower case: one text for all that `upcase` makes the same."""
    return text.lower() if text.isascii() else text.translate(_lower_cases())


@cache
def _upper_cases() -> dict[int, int]:
    pairs = {code: upper for code in chain(*_WITH_CASE) if (upper := _upper_case(code)) != code}
    ascii_pairs = {code: code - 0x20 for code in range(ord("a"), ord("z") + 1)}
    return {**ascii_pairs, **pairs, _FINAL_SIGMA: _CAPITAL_SIGMA}


@cache
def _lower_cases() -> dict[int, int]:
    return {
        **{upper: code for code, upper in _upper_cases().items()},
        _CAPITAL_SIGMA: _SIGMA,
        _FINAL_SIGMA: _SIGMA,
    }


def _upper_case(code: int) -> int:
    """The other half of a pair; `code` itself where there is none."""
    character = chr(code)
    upper = character.upper()
    if len(upper) != 1:
        upper = character.title()  # Greek with iota subscript: several in upper case, one as a title
    is_pair = len(upper) == 1 and upper.lower() == character and _is_old(character) and _is_old(upper)
    return ord(upper) if is_pair else code


def _is_old(character: str) -> bool:
    return unicodedata.ucd_3_2_0.category(character) != "Cn"
