"""The ways in which a login fails."""

from odxfs.errors import OdxfsError
from odxfs.ntstatus import Status


class LogonFailure(OdxfsError):
    """The peer did not prove who it is. `str(error)` is for the server's log; the peer is told nothing but `status`.

    `account` is the name that the peer claimed, empty when it failed before it had named one.
    """

    account: str = ""

    def __init__(self, reason: str, status: Status = Status.LOGON_FAILURE) -> None:
        super().__init__(reason)
        self.status = status


class TooManyAttempts(LogonFailure):
    """The login was not looked at to its end. The peer cannot tell it from a wrong password, and has done nothing wrong."""
