"""What may stop a training without being a bug, as one sentence."""

from __future__ import annotations

_NO_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "alloc_failed",
)
"""What torch's allocators and libraries say, in small letters."""


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that the GPU or the host has no memory left."""
    if isinstance(error, MemoryError):
        return True
    # torch's own error; its name is enough, and torch is slow to import
    if type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and any(
        words in str(error).lower() for words in _NO_MEMORY
    )


def failure_sentence(error: Exception) -> str | None:
    """Return what a person can do about an error, or None if it is a bug."""
    if is_out_of_memory(error):
        return (
            "There is not enough memory to fine-tune, not even object by object: close "
            "other programs, or choose the quick stage."
        )
    if isinstance(error, FloatingPointError):
        return (
            f"Training stopped because {error}: choose a lower learning rate; the "
            "version that answered goes on."
        )
    return None
