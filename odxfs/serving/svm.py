"""One SVM while it is served."""

import errno
import socket
from collections.abc import Sequence

import trio

from odxfs.configuration import DEFAULT_SVM, Configuration, Endpoint, SvmConfiguration
from odxfs.configuration.effects import declared_shares, server_settings
from odxfs.configuration.state import made_state_directory
from odxfs.errors import ExitCode, UserError
from odxfs.offload import OffloadEngine
from odxfs.opens import OpenTable
from odxfs.serving.live import LiveSvm
from odxfs.smb.auth.users import UserStore
from odxfs.smb.listener import bind
from odxfs.smb.server import SmbServer
from odxfs.smb.shares import DeclaredShares, Shares, ShareStore
from odxfs.volume import Pool


class RunningSvm:
    """Owns its sockets from the moment it is made, and gives them up when `run` ends or by `close`."""

    def __init__(
        self,
        name: str,
        configuration: Configuration,
        listening: Sequence[socket.socket],
        *,
        pool: Pool,
        opens: OpenTable,
        engine: OffloadEngine,
    ) -> None:
        self.name = name
        self.bound = [Endpoint(*each.getsockname()[:2]) for each in listening]
        self._configuration = configuration
        self._listening = listening
        self._scope = trio.CancelScope()
        self._ended = trio.Event()
        directory = made_state_directory(pool.directory, name)
        self._stored_shares = ShareStore(directory)
        self.server = SmbServer(
            pool,
            opens=opens,
            engine=engine,
            users=UserStore(directory),
            shares=self._shares(),
            settings=server_settings(configuration, name),
            name=name,
            owns_volume=self._owns_volume,
        )

    async def run(self) -> None:
        """Serve until stopped; then every connection is closed, and with it every open."""
        try:
            with self._scope:
                await self.server.serve_on(self._listening)
        finally:
            self._ended.set()

    async def stop(self) -> None:
        """End `run`, and wait until it has ended."""
        self._scope.cancel()
        await self._ended.wait()

    def close(self) -> None:
        """Give up the sockets of an SVM that was never run."""
        close_all(self._listening)

    def apply(self, configuration: Configuration) -> None:
        """Go by another configuration from now on; what is open stays."""
        self._configuration = configuration
        self.server.settings = server_settings(configuration, self.name)
        self.server.shares = self._shares()

    def describe(self) -> LiveSvm:
        """For people and programs; raises UserError when the shares cannot be read."""
        svm = self._svm
        return LiveSvm(
            self.name,
            svm.server_name,
            svm.profile.value,
            [str(each) for each in self.bound],
            [name for name in self.server.pool.volume_names if self._owns_volume(name)],
            [share.name for share in self.server.shares.list()],
            bool(svm.share),
        )

    @property
    def _svm(self) -> SvmConfiguration:
        return self._configuration.svm[self.name]

    def _owns_volume(self, volume: str) -> bool:
        return self._configuration.owner_of(volume) == self.name

    def _shares(self) -> Shares:
        declared = declared_shares(self._svm)
        return DeclaredShares(declared) if declared else self._stored_shares


async def listen_on(name: str, svm: SvmConfiguration) -> list[socket.socket]:
    """The sockets of an SVM, bound; the caller owns them. Raises UserError(NETWORK), CONFIG for what is no address."""
    listening: list[socket.socket] = []
    for endpoint in svm.listen:
        try:
            listening.append(await bind(*endpoint))
        except (OSError, UnicodeError) as error:
            close_all(listening)
            raise _cannot_listen(name, endpoint, error) from error
        except BaseException:
            close_all(listening)
            raise
    return listening


def close_all(sockets: Sequence[socket.socket]) -> None:
    """Close sockets that nobody waits on."""
    for each in sockets:
        each.close()


def _cannot_listen(name: str, endpoint: Endpoint, error: OSError | UnicodeError) -> UserError:
    who = "" if name == DEFAULT_SVM else f"SVM {name}: "
    choose = "choose with --smb-listen, or with listen in the configuration"
    if isinstance(error, UnicodeError):
        return UserError(f"{who}{endpoint} is no address: {error}", ExitCode.CONFIG)
    if error.errno == errno.EADDRINUSE:
        return UserError(f"{who}{endpoint} is in use by another program; {choose}", ExitCode.NETWORK)
    if error.errno == errno.EACCES:
        return UserError(f"{who}listening on {endpoint} needs privileges; {choose}", ExitCode.NETWORK)
    return UserError(f"{who}cannot listen on {endpoint}: {error.strerror or error}", ExitCode.NETWORK)
