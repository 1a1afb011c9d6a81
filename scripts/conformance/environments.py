"""Where tests run: what some need beside one plain share, given as in Samba's own selftest (source3/selftest/tests.py)."""

import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from namespaces import leave_for_own_network, name_this_host
from servers import OTHER_USER, PASSWORD, SHARE, SMB_PORT, USER, Server, run_odxfs, serving

from tests.support.kdc import REALM, SERVER_NAME, TICKET_PASSWORD, run_kdc

PLAIN, SIGNED, TICKETS = "plain", "signed", "tickets"
KINDS: Mapping[str, Sequence[str]] = {
    PLAIN: ("--signing", "offered"),
    SIGNED: ("--signing", "required"),
    TICKETS: ("--signing", "offered"),
}
"""Kinds of servers, with their options. Most of smbtorture's tests sign nothing, and servers require signing by default."""


@dataclass(frozen=True)
class Place:
    """A kind of server, a share of it, and whether the tests are told of a snapshot of files that are made for them."""

    kind: str = PLAIN
    share: str = SHARE
    snapshot: bool = False


_ORDINARY = Place()
_PLACES: Mapping[str, Place] = {
    "smb2.session-require-signing.": Place(SIGNED),
    "smb2.session.expire": Place(TICKETS),
    "smb2.replay.replay5": Place(share="available"),
    "smb2.twrp.": Place(share="previous", snapshot=True),
}
"""By how the names of the tests begin."""


def place_of(test: str) -> Place:
    """Where a test runs."""
    return next((place for beginning, place in _PLACES.items() if test.startswith(beginning)), _ORDINARY)


@dataclass(frozen=True)
class Environment:
    """A server of a kind, and how smbtorture is led to it: words of its command and variables of its environment."""

    server: Server
    host: str = "127.0.0.1"
    login: Sequence[str] = ("-U", f"{USER}%{PASSWORD}")
    variables: Mapping[str, str] = field(default_factory=dict)

    def command(self, place: Place) -> list[str]:
        """What starts smbtorture at a place of this environment; the names of tests are to follow."""
        settings = {
            "user2name": OTHER_USER,
            "user2password": PASSWORD,
            "use_iptables": "yes",
            "localdir": str(self.server.mount_point),
            **(_snapshot_settings(self.server, place.share) if place.snapshot else {}),
        }
        options = [f"--option=torture:{key}={value}" for key, value in settings.items()]
        return ["smbtorture", f"//{self.host}/{place.share}", "-p", str(SMB_PORT), *self.login, *options]


@contextmanager
def environment(kind: str, base: Path, template: Path) -> Iterator[Environment]:
    """Take the calling thread into a network of its own, which a server of that kind is alone in until the context is left."""
    leave_for_own_network()
    base.mkdir()
    if kind == TICKETS:
        with _tickets(base, template) as found:
            yield found
    else:
        with serving(base / "server", *KINDS[kind], template=template, port=SMB_PORT) as server:
            yield Environment(server)


@contextmanager
def _tickets(base: Path, template: Path) -> Iterator[Environment]:
    """With a key distribution centre. Nobody forgives another's clock: tickets are to end when they say."""
    name_this_host(SERVER_NAME, base / "hosts")
    (base / "strict.conf").write_text("[libdefaults]\n  clockskew = 1\n", encoding="ascii")
    (base / "kdc").mkdir()
    with ExitStack() as stack:
        centre = stack.enter_context(run_kdc(base / "kdc", (USER,)))
        variables = dict(centre.environment)
        variables["KRB5_CONFIG"] = f"{base}/strict.conf:{variables['KRB5_CONFIG']}"
        words = (*KINDS[TICKETS], "--keytab", str(centre.keytab))
        server = stack.enter_context(
            serving(base / "server", *words, template=template, port=SMB_PORT, variables=variables)
        )
        login = ("-U", f"{USER}@{REALM}%{TICKET_PASSWORD}", "--use-kerberos=required")
        yield Environment(server, SERVER_NAME, login, variables)


def _snapshot_settings(server: Server, share: str) -> Mapping[str, str]:
    """Make files as Samba's test_shadow_copy_torture.sh does, and a snapshot of them."""
    content = server.pool.with_name("content")
    content.write_bytes(b"baz")
    folder = f"//127.0.0.1/{share}"
    script = f'put {content} foo; put {content} foo:bar; mkdir subdir; put {content} "subdir\\hardlink"'
    words = ["smbclient", folder, "-p", str(SMB_PORT), "-U", f"{USER}%{PASSWORD}", "-c", script]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    run_odxfs("snapshot", "create", str(server.pool))
    listed = json.loads(run_odxfs("snapshot", "list", str(server.pool), "--json"))
    created = datetime.fromtimestamp(listed[-1]["created_ns"] // 10**9, UTC)
    return {
        "twrp_file": "foo",
        "twrp_stream": "bar",
        "twrp_stream_size": "3",
        "twrp_snapshot": f"{created:@GMT-%Y.%m.%d-%H.%M.%S}",
    }
