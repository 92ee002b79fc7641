"""Large tensors in huge pages of memory, where the system has them."""

from __future__ import annotations

import os


def use_huge_pages() -> None:
    """Let torch ask Linux for huge pages; call it before the first large tensor.

    Every layer writes into fresh memory, an early one into 64 MiB, which the system
    clears and maps page by page: 16,384 of 4 KiB, or 32 of 2 MiB. A choice that the
    person made in the environment stays, and other systems ignore it.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
