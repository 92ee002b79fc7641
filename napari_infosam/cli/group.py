"""How a command ends: exit codes, the one JSON object, and where a bug is logged."""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import signal
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import typer
from pydantic import ValidationError
from typer.core import TyperGroup

from napari_infosam.core.errors import InfosamError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

DONE, BUG, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130

_DISK_ERRORS = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC)


class LoggedBugError(Exception):
    """A bug in another process; the message already says where its log is."""


class StoppedError(Exception):
    """A person stopped the command; the message says what is kept."""


class InfosamGroup(TyperGroup):
    """The command group behind ``infosam``: every error ends in one sentence.

    Bad input (`InfosamError`, an option with an impossible value, a file that can
    not be read or written) exits with 2, anything else that is raised is a bug and
    exits with 1. With ``--json`` the sentence is also the ``error`` of the one
    object on stdout.
    """

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run one command line and exit, see the class."""
        arguments = list(sys.argv[1:] if args is None else args)
        if not standalone_mode:
            return super().main(arguments, prog_name, standalone_mode=False, **extra)
        try:
            code = super().main(
                arguments,
                prog_name or "infosam",
                complete_var,
                standalone_mode=False,
                windows_expand_args=windows_expand_args,
                **extra,
            )
        except Exception as error:
            _exit_with(error, arguments)
        if code == INTERRUPTED:
            _exit_with(StoppedError("Stopped."), arguments)
        sys.exit(code if isinstance(code, int) else DONE)


def emit(value: Mapping[str, Any]) -> None:
    """Print the one JSON object of a command on stdout."""
    typer.echo(json.dumps(value, indent=2, allow_nan=False))


@contextlib.contextmanager
def quiet_stdout() -> Iterator[None]:
    """Send what libraries print on stdout to stderr, so that `emit` is alone there."""
    with contextlib.redirect_stdout(sys.stderr):
        yield


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Let a polite kill (SIGTERM) do what Ctrl-C does while the block runs."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def set_up_logging(debug: bool) -> None:
    """Log to stderr: warnings, or everything of this package with ``debug``."""
    logging.basicConfig(
        stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(message)s"
    )
    logging.captureWarnings(True)
    logging.getLogger("napari_infosam").setLevel(
        logging.DEBUG if debug else logging.WARNING
    )
    logging.getLogger("py.warnings").setLevel(
        logging.WARNING if debug else logging.ERROR
    )


def _exit_with(error: Exception, arguments: Sequence[str]) -> NoReturn:
    code, sentence = _verdict(error, arguments)
    if "--debug" in arguments:
        traceback.print_exception(error)
    typer.echo(sentence if code == INTERRUPTED else f"Error: {sentence}", err=True)
    if "--json" in arguments:
        emit({"error": sentence})
    sys.exit(code)


def _verdict(error: Exception, arguments: Sequence[str]) -> tuple[int, str]:
    """Return exit code and sentence of an error."""
    if isinstance(error, typer.Abort | StoppedError):
        return INTERRUPTED, str(error) or "Stopped."
    if isinstance(error, LoggedBugError):
        return BUG, str(error)
    if (sentence := _bad_input(error)) is not None:
        return BAD_INPUT, sentence
    return BUG, (
        f"This is a bug in infosam ({type(error).__name__}: {error}). "
        f"The details are in {_write_log(error, arguments)}."
    )


def _bad_input(error: Exception) -> str | None:
    """Return the sentence for a mistake a person can mend, None for a bug."""
    if isinstance(error, InfosamError):
        return str(error)
    if isinstance(error, ValidationError):
        return " ".join(_option_sentence(details) for details in error.errors())
    if isinstance(error, OSError) and error.errno in _DISK_ERRORS:
        return f"{error.filename}: {error.strerror}. Free or choose another place."
    # typer carries its own copy of click in some releases, so no class to catch
    if (format_message := getattr(error, "format_message", None)) is not None:
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "infosam"
        # choices are listed one to a line
        message = " ".join(format_message().split())
        message = message.removesuffix(".").replace("Value error, ", "")
        if isinstance(error.__cause__, ValidationError):
            given = repr(error.__cause__.errors()[0]["input"])
            message += "" if given in message else f", not {given}"
        return f"{message}. See '{command} --help'."
    return None


def _option_sentence(details: ErrorDetails) -> str:
    """Return what is wrong with a field of the options, under its name here."""
    name = "-".join(map(str, details["loc"])).replace("_", "-")
    return f"--{name} {details['input']!r}: {details['msg']}."


def _write_log(error: Exception, arguments: Sequence[str]) -> Path:
    """Append the traceback to the log of this user and return its path."""
    from platformdirs import user_log_path

    path = user_log_path("napari-infosam", appauthor=False) / "infosam.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as log:
        log.write(f"{datetime.now().isoformat()} infosam {' '.join(arguments)}\n")
        traceback.print_exception(error, file=log)
    return path
