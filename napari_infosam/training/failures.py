"""What may stop a training without being a bug, as one sentence."""

from __future__ import annotations


def failure_sentence(error: Exception) -> str | None:
    """Return what a person can do about an error, or None if it is a bug."""
    match error:
        case MemoryError():
            return (
                "There is not enough memory to fine-tune: close other programs, or "
                "choose the quick stage."
            )
        case FloatingPointError():
            return f"Training stopped because {error}: choose a lower learning rate."
    # torch's own error; its name is enough, and torch is slow to import
    if type(error).__name__ == "OutOfMemoryError":
        return (
            "The GPU has not enough memory to fine-tune: choose the quick stage or the "
            "device 'cpu'."
        )
    return None
