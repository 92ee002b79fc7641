"""Low-res logits without specks and pinholes, as tensors."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch

from napari_infosam.core.specks import without_specks

if TYPE_CHECKING:
    from torch import Tensor


def tidied(
    logits: Tensor,
    rows: int,
    columns: int,
    on: Iterable[tuple[int, int]] = (),
    off: Iterable[tuple[int, int]] = (),
) -> Tensor:
    """Return ``(h, w)`` logits as `without_specks` leaves them.

    Parameters
    ----------
    logits
        Of one mask.
    rows, columns
        How many of them lie in the image; the rest is padding and stays as it is.
    on, off
        As for `without_specks`.
    """
    found = logits.clone()
    inside = found[:rows, :columns]
    tidy = without_specks(inside.float().cpu().numpy(), on, off)
    inside.copy_(torch.from_numpy(tidy))
    return found
