"""An MIT key distribution centre on loopback, with two realms that trust each other."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.ports import free_port

REALM = "TEST.EXAMPLE"
OTHER_REALM = "OTHER.EXAMPLE"
SERVER_NAME = "files.test.example"
TICKET_PASSWORD = "known-to-the-centre-alone"
"""Of every user's principal; no local user has it, so that nobody logs in with it but by a ticket."""

_TRUST = f"krbtgt/{REALM}@{OTHER_REALM}"


class Kdc:
    """`environment` leads Kerberos libraries to it and to the tickets of the last `login`; `keytab` is the server's."""

    def __init__(self, folder: Path, port: int) -> None:
        self._folder = folder
        self._port = port
        self.keytab = folder / "keytab"
        self.environment = {
            "KRB5_CONFIG": str(folder / "krb5.conf"),
            "KRB5_KDC_PROFILE": str(folder / "kdc.conf"),
            "KRB5CCNAME": f"FILE:{folder}/tickets",
            "KRB5RCACHEDIR": str(folder),
        }

    def login(self, principal: str, lifetime: str = "1h") -> None:
        """Get a ticket for `principal`, which is good for `lifetime`."""
        self.run("kinit", "-l", lifetime, principal, stdin=TICKET_PASSWORD + "\n")

    def run(self, *command: str, stdin: str = "") -> None:
        """Run one of Kerberos' own commands, which must succeed."""
        done = subprocess.run(
            command,
            input=stdin.encode(),
            env=os.environ | self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        assert done.returncode == 0, done.stdout.decode()

    def prepare(self, users: tuple[str, ...]) -> None:
        """Write the configuration and both databases."""
        self._write_configuration()
        for realm in (REALM, OTHER_REALM):
            self.run("kdb5_util", "-r", realm, "create", "-s", "-P", "master")
            adds = [f"addprinc -pw {TICKET_PASSWORD} {user}@{realm}" for user in users]
            self._administer(realm, *adds, f"addprinc -pw trust {_TRUST}")
        service = f"cifs/{SERVER_NAME}@{REALM}"
        self._administer(REALM, f"addprinc -randkey {service}", f"ktadd -k {self.keytab} {service}")

    def _administer(self, realm: str, *queries: str) -> None:
        self.run("kadmin.local", "-r", realm, stdin="\n".join(queries) + "\n")

    def _write_configuration(self) -> None:
        here = f"127.0.0.1:{self._port}"
        realms = "".join(f"  {realm} = {{\n    kdc = {here}\n  }}\n" for realm in (REALM, OTHER_REALM))
        (self._folder / "krb5.conf").write_text(
            f"[libdefaults]\n  default_realm = {REALM}\n  dns_lookup_kdc = false\n  dns_lookup_realm = false\n"
            f"  dns_canonicalize_hostname = false\n  rdns = false\n[realms]\n{realms}"
            f"[domain_realm]\n  .test.example = {REALM}\n"
        )
        databases = "".join(
            f"  {realm} = {{\n    database_name = {self._folder}/{realm}\n"
            f"    key_stash_file = {self._folder}/{realm}.stash\n    acl_file = {self._folder}/acl\n  }}\n"
            for realm in (REALM, OTHER_REALM)
        )
        (self._folder / "kdc.conf").write_text(
            f"[kdcdefaults]\n  kdc_listen = {here}\n  kdc_tcp_listen = {here}\n[realms]\n{databases}"
        )


@contextmanager
def run_kdc(folder: Path, users: tuple[str, ...]) -> Iterator[Kdc]:
    """A centre that knows `users` in both realms and the server in one, until the block ends."""
    port = free_port()
    kdc = Kdc(folder, port)
    kdc.prepare(users)
    command = ["krb5kdc", "-n", "-r", REALM, "-r", OTHER_REALM]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, env=os.environ | kdc.environment, stdout=log, stderr=log)
    try:
        _wait_until_it_listens(process, port)
        yield kdc
    finally:
        process.terminate()
        process.wait()


def _wait_until_it_listens(process: subprocess.Popen[bytes], port: int) -> None:
    while process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            time.sleep(0.01)
        else:
            return
    raise AssertionError("krb5kdc has ended")
