"""Run by the system's Python, which has Samba's bindings: one end of a login on standard input and output.

Arguments: mechanism (spnego or ntlmssp), user, domain, password. Each line is a token in hexadecimal; the last line is
`key HEX`, the session key. It speaks first.
"""

import sys

from samba import credentials, gensec, param


def main() -> None:
    mechanism, user, domain, password = sys.argv[1:]
    settings = param.LoadParm()
    settings.set("lanman auth", "no")
    who = credentials.Credentials()
    who.guess(settings)
    who.set_username(user)
    who.set_domain(domain)
    who.set_password(password)
    who.set_kerberos_state(credentials.DONT_USE_KERBEROS)
    client = gensec.Security.start_client({"target_hostname": "odxfs", "lp_ctx": settings})
    client.set_credentials(who)
    client.want_feature(gensec.FEATURE_SESSION_KEY)
    client.want_feature(gensec.FEATURE_SIGN)
    client.start_mech_by_name(mechanism)
    given = b""
    finished = False
    while not finished:
        finished, token = client.update(given)
        print(token.hex(), flush=True)
        if not finished:
            given = bytes.fromhex(sys.stdin.readline())
    print("key", client.session_key().hex(), flush=True)


main()
