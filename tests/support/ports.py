"""Ports for servers that must be told one."""

import random
import socket

RANGE = range(20_000, 32_000)
"""Below those that the system gives to whoever connects, which would take one before its server has begun."""


def free_port() -> int:
    """A port of 127.0.0.1 that nobody uses; others who ask at the same time most likely get another."""
    while True:
        port = random.SystemRandom().choice(RANGE)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
