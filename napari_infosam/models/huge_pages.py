"""Large tensors in huge pages of memory, where the system has them."""

from __future__ import annotations

import os


def use_huge_pages() -> None:
    """Let torch ask Linux for huge pages; call it before the first large tensor.

    Every layer writes into fresh memory. In pages of 4 KiB the system clears and maps
    the 64 MiB of an early layer one by one, which takes longer than the layer itself;
    in pages of 2 MiB it does not. A choice that the person made in the environment
    stays, and other systems ignore it.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
