"""How many payload bytes a request carries or asks for, which its CreditCharge must cover (MS-SMB2 3.3.5.2.5)."""

from collections.abc import Callable
from struct import Struct

from odxfs.wire.header import HEADER_BYTES, Command

_U32 = Struct("<I")
_IOCTL = Struct("<28xIIxxxxII")
_QUERY_INFO = Struct("<4xIxxxxI")
_QUERY_DIRECTORY_LENGTH = HEADER_BYTES + 28
_LENGTH = HEADER_BYTES + 4


def _length(pdu: memoryview) -> int:
    length: int = _U32.unpack_from(pdu, _LENGTH)[0]
    return length


def _query_directory(pdu: memoryview) -> int:
    length: int = _U32.unpack_from(pdu, _QUERY_DIRECTORY_LENGTH)[0]
    return length


def _query_info(pdu: memoryview) -> int:
    output: int
    given: int
    output, given = _QUERY_INFO.unpack_from(pdu, HEADER_BYTES)
    return max(output, given)


def _ioctl(pdu: memoryview) -> int:
    given: int
    most_input: int
    output: int
    most_output: int
    given, most_input, output, most_output = _IOCTL.unpack_from(pdu, HEADER_BYTES)
    return max(given + output, most_input + most_output)


_COUNTERS: dict[int, tuple[int, Callable[[memoryview], int]]] = {
    Command.READ: (HEADER_BYTES + 8, _length),
    Command.WRITE: (HEADER_BYTES + 8, _length),
    Command.CHANGE_NOTIFY: (HEADER_BYTES + 8, _length),
    Command.SET_INFO: (HEADER_BYTES + 8, _length),
    Command.QUERY_DIRECTORY: (HEADER_BYTES + 32, _query_directory),
    Command.QUERY_INFO: (HEADER_BYTES + _QUERY_INFO.size, _query_info),
    Command.IOCTL: (HEADER_BYTES + _IOCTL.size, _ioctl),
}


def payload_bytes(command: int, pdu: memoryview) -> int:
    """The greater of what the request carries and asks for, 0 where credits do not depend on it.

    A request too short for its length field counts 0: its parser refuses it.
    """
    counter = _COUNTERS.get(command)
    if counter is None or len(pdu) < counter[0]:
        return 0
    return counter[1](pdu)
