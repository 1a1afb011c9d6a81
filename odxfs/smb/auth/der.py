"""As much of DER (X.690) as SPNEGO needs: definite lengths, single-byte tags, no recursion of its own."""

from collections.abc import Iterator

from odxfs.smb.auth.errors import LogonFailure

OCTET_STRING = 0x04
OBJECT_IDENTIFIER = 0x06
ENUMERATED = 0x0A
GENERAL_STRING = 0x1B
SEQUENCE = 0x30
APPLICATION_0 = 0x60

MAX_ELEMENTS = 16
"""Elements of one sequence: SPNEGO's have four, the longest list of mechanisms anybody sends as many. Before a login nobody
shall make the server look at 32,000."""

_LONG_FORM = 0x80
_MAX_LENGTH_BYTES = 4


def context(number: int) -> int:
    """The tag [number] of a constructed, context-specific element."""
    return 0xA0 | number


def pack(tag: int, content: bytes) -> bytes:
    """One element."""
    size = len(content)
    if size < _LONG_FORM:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, _LONG_FORM | len(length))) + length + content


def unpack(data: bytes) -> tuple[int, bytes, bytes]:
    """The first element of `data`: its tag, its content, and what follows it. Raises LogonFailure."""
    if len(data) < 2:
        raise LogonFailure("a token is cut short")
    tag, size, start = data[0], data[1], 2
    if size >= _LONG_FORM:
        count = size & 0x7F
        if not 0 < count <= _MAX_LENGTH_BYTES or len(data) < start + count:
            raise LogonFailure("a token with a length that is no DER")
        size = int.from_bytes(data[start : start + count], "big")
        start += count
    if size > len(data) - start:
        raise LogonFailure("a token is cut short")
    return tag, data[start : start + size], data[start + size :]


def expect(data: bytes, tag: int) -> bytes:
    """The content of the first element of `data`, which must have `tag`. Raises LogonFailure."""
    found, content, _ = unpack(data)
    if found != tag:
        raise LogonFailure(f"a token holds {found:#04x} where {tag:#04x} was due")
    return content


def elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """All elements of `data`, one after the other. Raises LogonFailure, also for more than MAX_ELEMENTS."""
    for _ in range(MAX_ELEMENTS):
        if not data:
            return
        tag, content, data = unpack(data)
        yield tag, content
    if data:
        raise LogonFailure("a token with a sequence of too many elements")
