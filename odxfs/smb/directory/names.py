"""How a name of the volume (bytes) is shown to an SMB client (UTF-16 text), and back.

The rule. A volume's name is any bytes but `/` and NUL. A share shows the names that are valid UTF-8; the others are
hidden: no text would lead back to them. Characters that Windows forbids in a name (`" * : < > ? \\ |` and the control
characters) are shown as the private-use characters U+F001 to U+F027 that Services for Macintosh gave them, as macOS and
the Linux client also do, and a client that sends those gets the real ones. A stored name that itself contains one of
these private-use characters is hidden, so that the mapping stays one to one.
"""

FORBIDDEN = {chr(code): chr(0xF000 + code) for code in range(1, 0x20)} | {
    '"': "\uf020", "*": "\uf021", ":": "\uf022", "<": "\uf023", ">": "\uf024", "?": "\uf025", "\\": "\uf026", "|": "\uf027"
}
_SHOW = str.maketrans(FORBIDDEN)
_STORE = str.maketrans({private: real for real, private in FORBIDDEN.items()})
_PRIVATE = frozenset(FORBIDDEN.values())
_PRINTABLE = frozenset(range(0x20, 0x7F)) - {ord(character) for character in FORBIDDEN}


def shown_name(name: bytes) -> str | None:
    """The text that a client sees for a stored name; None when it is hidden."""
    if _PRINTABLE.issuperset(name):
        return name.decode("ascii")
    try:
        text = name.decode("utf-8")
    except UnicodeDecodeError:
        return None
    if not _PRIVATE.isdisjoint(text):
        return None
    return text.translate(_SHOW)


def stored_text(name: str) -> str:
    """The text under which the volume keeps what a client calls `name`: the private-use characters made real again."""
    return name if name.isascii() else name.translate(_STORE)


def stored_name(name: str) -> bytes | None:
    """`stored_text` as the volume's bytes; None for lone surrogates, which no name of the volume can be."""
    try:
        return stored_text(name).encode("utf-8")
    except UnicodeEncodeError:
        return None
