"""The rows of the table: a method, what it learns from the teacher, other options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, get_args

from pydantic import ValidationError

from napari_infosam.core.errors import InfosamError
from napari_infosam.core.options import Distill, FinetuneOptions, Method

ZERO_SHOT = "sam"
"""The row that is not trained at all."""

_OF_THE_TABLE = frozenset(
    {"recipe", "stage", "method", "distill", "model", "device", "threads", "seed"}
)
"""Options that are the same in all rows, or named otherwise."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the table.

    Attributes
    ----------
    method
        What is tuned; None for the base as it is.
    distill
        What is learnt from the teacher beside the masks.
    changes
        Other options of `FinetuneOptions` in which the row differs, as text.
    """

    method: Method | None
    distill: Distill = "none"
    changes: tuple[tuple[str, str], ...] = ()

    @property
    def name(self) -> str:
        """What `parse_row` takes, such as ``adapter+infosam lambda_d=0.5``."""
        name = self.method or ZERO_SHOT
        if self.distill != "none":
            name += f"+{self.distill}"
        return " ".join([name, *(f"{key}={value}" for key, value in self.changes)])

    def options(self, common: FinetuneOptions, seed: int) -> FinetuneOptions:
        """Return the options of this row's training.

        Parameters
        ----------
        common
            Those of the table.
        seed
            Of the cell.

        Raises
        ------
        InfosamError
            If a change is none of the options, or has a value it can not have.
        """
        if self.method is None:
            return common
        own: dict[str, Any] = {
            "method": self.method,
            "distill": self.distill,
            "stage": "full",
            "seed": seed,
        }
        if self.method == "decoder" and common.recipe == "default":
            # it has no full stage: as many passes of an image as the others in both
            from napari_infosam.training.batches import IMAGES_PER_BATCH

            own["max_epochs"] = 2 * common.max_epochs
            if common.max_steps is not None:
                images = IMAGES_PER_BATCH["quick"] + IMAGES_PER_BATCH["full"]
                own["max_steps"] = (
                    common.max_steps * images // IMAGES_PER_BATCH["quick"]
                )
        try:
            return FinetuneOptions.model_validate(
                common.model_dump() | own | dict(self.changes)
            )
        except ValidationError as error:
            raise InfosamError(
                f"The row {self.name!r} can not be trained: {error.errors()[0]['msg']}."
            ) from error


def parse_row(text: str) -> Row:
    """Return the row of a text.

    Parameters
    ----------
    text
        A method such as ``lora``, or with what it learns from the teacher, as in
        ``adapter+infosam``; after spaces, options in which the row differs from the
        others, as in ``adapter+infosam lambda_d=0.5 relation_bank=16``.

    Raises
    ------
    InfosamError
        If there is no such method, distillation or option.
    """
    name, *rest = text.split() or [""]
    changes = tuple(_parse_change(change) for change in rest)
    if name == ZERO_SHOT and not changes:
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
    row = Row(method, distill, changes)  # type: ignore[arg-type]
    row.options(FinetuneOptions(), seed=0)  # before hours of work, not after
    return row


def _parse_change(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    known = sorted(FinetuneOptions.model_fields.keys() - _OF_THE_TABLE)
    if not equals or key not in known:
        raise InfosamError(
            f"{text!r} is no option of a row: write one as in lambda_d=0.5, of "
            f"{', '.join(known)}."
        )
    return key, value


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
