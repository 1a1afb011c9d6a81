"""Two ends of a connection without a socket, and what a server above one of them would do."""

from odxfs.ntstatus import Status
from odxfs.types import Buffer
from odxfs.wire.client_connection import ClientConnection, ClientOffer, Response
from odxfs.wire.error import ErrorResponse
from odxfs.wire.header import Command
from odxfs.wire.negotiate import Dialect
from odxfs.wire.negotiate_contexts import Cipher, SigningAlgorithm
from odxfs.wire.server_connection import Chain, Reply, Request, ServerConnection, ServerOffer
from odxfs.wire.session_setup import SessionFlags, SessionSetupRequest, SessionSetupResponse

SESSION_ID = 0x0123_4567_89AB_CDEF
SESSION_KEY = bytes(range(16))


def join(buffers: list[Buffer]) -> bytes:
    return b"".join(buffers)


def client_offer(
    dialect: int = Dialect.SMB_3_1_1,
    cipher: int = Cipher.AES_128_GCM,
    signing: int = SigningAlgorithm.AES_GMAC,
    *,
    signing_required: bool = True,
) -> ClientOffer:
    """A client that speaks one dialect, one cipher and one signing algorithm."""
    ciphers = (cipher,) if cipher else ()
    return ClientOffer(b"client guid 16 b", (dialect,), ciphers, (signing,), signing_required)


def server_offer(*, signing_required: bool = True, encryption: bool = True) -> ServerOffer:
    return ServerOffer(b"server guid 16 b", signing_required=signing_required, encryption=encryption)


class Pair:
    """A client and a server that are logged in to each other; `replies` answers a request, by default with its own body."""

    def __init__(self, client: ClientOffer, server: ServerOffer, *, encrypt: bool = False) -> None:
        self.client = ClientConnection(client)
        self.server = ServerConnection(server)
        self.encrypt = encrypt

    def negotiate(self) -> Response:
        _, buffers = self.client.negotiate()
        (chain,) = self.server.receive(join(buffers))
        status, response = self.server.negotiate(chain.requests[0], b"token")
        body = response.pack() if response else ErrorResponse().pack()
        (answer,) = self.client.receive(
            join(self.server.send(chain, [Reply(chain.requests[0], status, body)]))
        )
        return answer

    def log_in(self) -> Response:
        """Two legs and the keys on both sides; returns the verified response of the second."""
        return self.log_in_with_keys(SESSION_KEY, SESSION_KEY)

    def log_in_with_keys(
        self, server_key: bytes, client_key: bytes, session_id: int = SESSION_ID
    ) -> Response:
        """A login after which the two ends may disagree about the key."""
        _, buffers = self.client.session_setup(SessionSetupRequest(b"one").pack())
        (chain,) = self.server.receive(join(buffers))
        body = SessionSetupResponse(0, b"challenge").pack()
        reply = Reply(chain.requests[0], Status.MORE_PROCESSING_REQUIRED, body, session_id=session_id)
        self.client.receive(join(self.server.send(chain, [reply])))
        _, buffers = self.client.session_setup(SessionSetupRequest(b"two").pack(), session_id)
        (chain,) = self.server.receive(join(buffers))
        request = chain.requests[0]
        self.server.derive_keys(request, session_id, server_key, encrypt_data=self.encrypt)
        flags = SessionFlags.ENCRYPT_DATA if self.encrypt else 0
        done = Reply(
            request, Status.SUCCESS, SessionSetupResponse(flags, b"done").pack(), session_id=session_id
        )
        (response,) = self.client.receive(join(self.server.send(chain, [done])))
        self.client.establish(response, client_key)
        return response

    def established(self) -> "Pair":
        self.negotiate()
        self.log_in()
        return self

    def echo_server(self, data: Buffer) -> tuple[list[Chain], bytes]:
        """What the server made of `data`, and the bytes it answers: refusals as errors, all else as a copy of the body."""
        chains = self.server.receive(data)
        return chains, b"".join(
            join(self.server.send(chain, [answer(each) for each in chain.requests])) for chain in chains
        )

    def exchange(
        self, command: int, body: bytes, payload: Buffer | None = None, credit_charge: int = 1
    ) -> Response:
        """One request there and its response back."""
        _, buffers = self.client.request(
            command, body, payload, session_id=SESSION_ID, tree_id=7, credit_charge=credit_charge
        )
        _, data = self.echo_server(join(buffers))
        (response,) = self.client.receive(data)
        return response


def answer(request: Request) -> Reply:
    """The echo: a refusal as an error, anything else as a copy of its body."""
    if request.refusal is not None:
        return Reply(request, request.refusal, ErrorResponse().pack())
    return Reply(request, Status.SUCCESS, bytes(request.pdu[64:68]), request.pdu[68:])


def established(
    client: ClientOffer | None = None, server: ServerOffer | None = None, *, encrypt: bool = False
) -> Pair:
    return Pair(client or client_offer(), server or server_offer(), encrypt=encrypt).established()


ECHO_BODY = b"\x04\x00\x00\x00"
ECHO = Command.ECHO
