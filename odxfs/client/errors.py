"""What can go wrong on the client's side, each with the exit code that `odxfs cp` ends with."""

from odxfs.client.explain import Cause, sentence_of
from odxfs.errors import ExitCode, UserError
from odxfs.ntstatus import Status, status_name

_EXIT_CODES = {
    Status.OBJECT_NAME_NOT_FOUND: ExitCode.NOT_FOUND,
    Status.OBJECT_PATH_NOT_FOUND: ExitCode.NOT_FOUND,
    Status.NO_SUCH_FILE: ExitCode.NOT_FOUND,
    Status.BAD_NETWORK_NAME: ExitCode.NOT_FOUND,
    Status.DISK_FULL: ExitCode.NO_SPACE,
    Status.DATA_CHECKSUM_ERROR: ExitCode.CORRUPT,
    Status.LOGON_FAILURE: ExitCode.AUTHENTICATION,
    Status.ACCOUNT_DISABLED: ExitCode.AUTHENTICATION,
    Status.ACCOUNT_RESTRICTION: ExitCode.AUTHENTICATION,
}


class NetworkFailed(UserError):
    """No connection, one that broke, stayed silent or has lost its session, or a peer that breaks the protocol."""

    def __init__(self, message: str) -> None:
        super().__init__(message, ExitCode.NETWORK)


class LogonFailed(UserError):
    """The server does not take the user and password, or its proof of the session key is wrong."""

    def __init__(self, message: str) -> None:
        super().__init__(message, ExitCode.AUTHENTICATION)


class RequestRefused(UserError):
    """The server answered a request with an error status; `subject` is what the request was about, in words."""

    def __init__(self, status: int, subject: str) -> None:
        super().__init__(f"{subject}: {sentence_of(status)} ({status_name(status)})", exit_code_of(status))
        self.status = status


class NotOffloaded(UserError):
    """`--require-offload` cannot be met; the destination is not left behind."""

    def __init__(self, cause: Cause) -> None:
        super().__init__(
            f"not copied, because it would not be offloaded: {cause.sentence}", ExitCode.NOT_OFFLOADED
        )
        self.cause = cause


class Mismatch(UserError):
    """`--verify` found that the copy is not what the source is now."""

    def __init__(self, source: str, source_sha256: str, destination: str, destination_sha256: str) -> None:
        super().__init__(
            f"{destination} differs from {source}: sha256 {destination_sha256}, not {source_sha256}",
            ExitCode.MISMATCH,
        )


def exit_code_of(status: int) -> ExitCode:
    """The exit code for an error status that ends a command."""
    return _EXIT_CODES.get(_known(status), ExitCode.REFUSED)


def _known(status: int) -> Status:
    try:
        return Status(status)
    except ValueError:
        return Status.UNSUCCESSFUL
