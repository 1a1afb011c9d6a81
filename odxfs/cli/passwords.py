"""Asking for a password."""

import argparse
import getpass
import sys

from odxfs.errors import ExitCode, UserError


def add_password_option(parser: argparse.ArgumentParser) -> None:
    """`--password-stdin`, for scripts; people are asked."""
    parser.add_argument(
        "--password-stdin", action="store_true", help="read the password from the first line of stdin"
    )


def read_new_password(arguments: argparse.Namespace, user: str) -> str:
    """A new password: one line of stdin, or typed twice. Raises UserError."""
    password = _first_line_of_stdin() if arguments.password_stdin else _typed_twice(user)
    if not password:
        raise UserError("the password is empty", ExitCode.USAGE)
    return password


def read_password(arguments: argparse.Namespace, whose: str) -> str:
    """A password that exists already: one line of stdin, or typed once. Raises UserError."""
    if arguments.password_stdin:
        password = _first_line_of_stdin()
    elif sys.stdin.isatty():
        password = getpass.getpass(f"Password of {whose}: ")
    else:
        raise UserError("there is no terminal to ask for a password; use --password-stdin", ExitCode.USAGE)
    if not password:
        raise UserError("the password is empty", ExitCode.USAGE)
    return password


def _first_line_of_stdin() -> str:
    return sys.stdin.readline().rstrip("\r\n")


def _typed_twice(user: str) -> str:
    if not sys.stdin.isatty():
        raise UserError("there is no terminal to ask for a password; use --password-stdin", ExitCode.USAGE)
    password = getpass.getpass(f"New password for {user}: ")
    if getpass.getpass("The same again: ") != password:
        raise UserError("the two passwords differ", ExitCode.USAGE)
    return password
