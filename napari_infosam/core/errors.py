"""Errors that are shown to a person as one sentence."""

from __future__ import annotations


class InfosamError(Exception):
    """Something a person can mend: the message says what is wrong, and the fix.

    The window shows the message, the command line prints it and exits with 2.
    Anything else that is raised is a bug.
    """
