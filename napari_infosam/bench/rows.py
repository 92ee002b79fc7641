"""The rows of the table: a method, and what it learns from the teacher."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from napari_infosam.core.errors import InfosamError
from napari_infosam.core.options import Distill, Method

ZERO_SHOT = "sam"
"""The row that is not trained at all."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the table.

    Attributes
    ----------
    method
        What is tuned; None for the base as it is.
    distill
        What is learnt from the teacher beside the masks.
    """

    method: Method | None
    distill: Distill = "none"

    @property
    def name(self) -> str:
        """``sam``, ``adapter`` or ``adapter+infosam``, as `parse_row` takes it."""
        if self.method is None:
            return ZERO_SHOT
        return (
            self.method if self.distill == "none" else f"{self.method}+{self.distill}"
        )


def parse_row(name: str) -> Row:
    """Return the row of a name such as ``lora`` or ``adapter+infosam``.

    Raises
    ------
    InfosamError
        If there is no such method or distillation.
    """
    if name == ZERO_SHOT:
        return Row(None)
    method, plus, distill = name.partition("+")
    distill = distill if plus else "none"
    if method not in get_args(Method) or distill not in get_args(Distill):
        methods, distills = ", ".join(get_args(Method)), ", ".join(get_args(Distill))
        raise InfosamError(
            f"There is no method {name!r}: name {ZERO_SHOT}, one of {methods}, or one "
            "of these with what it learns from the teacher, as in adapter+infosam "
            f"({distills})."
        )
    if method == "decoder" and distill != "none":
        raise InfosamError(
            f"{name!r} has nothing to learn from a teacher: its encoder stays frozen."
        )
    return Row(method, distill)  # type: ignore[arg-type]


TABLE_1 = (
    "sam",
    "decoder",
    "bitfit",
    "adaptformer",
    "lora",
    "adapter",
    "hq-sam",
    "su-sam",
    "conv-lora",
    "lora+infosam",
    "adapter+infosam",
)
"""The rows of the paper's first table."""
