"""Numbers of things in sentences."""

from __future__ import annotations


def counted(number: int, what: str = "object") -> str:
    """Return a number of things in words: ``1 object``, ``12 objects``."""
    return f"1 {what}" if number == 1 else f"{number} {what}s"
