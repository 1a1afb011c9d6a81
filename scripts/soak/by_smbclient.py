"""Samba's smbclient: puts whole files, gets them and compares, renames them to and fro."""

from place import MEBIBYTE, PASSWORD, SHARE, USER, CommandFailed, Place, Turns, run

FILES = 8
SIZES = (512, 64 * 1024, MEBIBYTE, 5 * MEBIBYTE + 512)


def turns(place: Place) -> Turns:
    """One command line of smbclient a turn."""
    protections = ((), ("--client-protection=encrypt",), ("-m", "SMB2_10"))
    while True:
        number = place.choice.randrange(FILES)
        options = place.choice.choice(protections)
        if place.choice.random() < 0.5:
            _put(place, number, options)
        else:
            _get(place, number, options)
        yield


def _put(place: Place, number: int, options: tuple[str, ...]) -> None:
    name, ledger = f"file-{number}", place.ledger(f"file-{number}", SIZES[number % len(SIZES)])
    local = place.scratch / "put"
    local.write_bytes(ledger.intend(0, ledger.cells))
    # A client that is killed in the middle leaves the other name; the file itself is the old one or the new one.
    _smbclient(place, options, f"put {local} new-{number}", f"rename new-{number} {name} -f")
    ledger.acknowledge(0, ledger.cells)
    place.count(written=ledger.size)


def _get(place: Place, number: int, options: tuple[str, ...]) -> None:
    ledger = place.ledger(f"file-{number}", SIZES[number % len(SIZES)])
    if not ledger.is_written:
        return
    local = place.scratch / "got"
    _smbclient(place, options, f"get file-{number} {local}", "ls")
    place.count(verified=ledger.check_file(local))


def _smbclient(place: Place, options: tuple[str, ...], *commands: str) -> None:
    login = place.scratch / "login"
    login.write_text(f"username = {USER}\npassword = {PASSWORD}\n")
    printed = run(
        "smbclient", f"//127.0.0.1/{SHARE}", "-p", str(place.port), "-A", login, *options, "-D", place.client,
        "-c", "; ".join(commands),
    )  # fmt: skip
    if "NT_STATUS" in printed:
        raise CommandFailed(f"smbclient {commands}: {printed.strip()}")
