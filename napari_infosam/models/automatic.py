"""Proposals for everything in a part of an image, from a grid of points.

The recipe is that of Segment Anything's automatic masks: every point of a grid is
asked for its three ambiguity masks; those stay whose predicted IoU and stability are
high, and of those that lie on each other the best one. The order is another: masks are
drawn after their predicted IoU is known, compared at low resolution, and enlarged when
they stay.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor
from torchvision.ops import nms

from napari_infosam.core.errors import InfosamError
from napari_infosam.core.prompts import Point, PromptSet
from napari_infosam.models.batch import cut_out

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_infosam.core.prompts import Box
    from napari_infosam.core.small_masks import SmallMask
    from napari_infosam.core.tiles import Tile
    from napari_infosam.models.batch import Chunk, Progress
    from napari_infosam.models.drawing import Enlarger
    from napari_infosam.models.prediction import ImageEmbedding
    from napari_infosam.models.predictor import Predictor
    from napari_infosam.models.tiles import TiledEmbedding

_FINEST = 128
"""Most points along the longer side of an image: two logits lie between them."""

_MOST_HELD = 2000
"""Masks at low resolution that are held before the best of them are chosen."""


class AutomaticOptions(BaseModel):
    """How proposals are made.

    Attributes
    ----------
    min_score
        Least predicted IoU.
    min_stability
        Least IoU of a mask drawn at a higher and at a lower threshold.
    stability_offset
        How far these thresholds lie from 0, in logits.
    max_overlap
        IoU of boxes from which on only the better of two masks stays.
    max_share
        Largest part of the image that a proposal may take: what takes more is the
        background.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    min_score: float = Field(default=0.88, ge=0, le=1)
    min_stability: float = Field(default=0.95, ge=0, le=1)
    stability_offset: float = Field(default=1.0, gt=0)
    max_overlap: float = Field(default=0.7, ge=0, le=1)
    max_share: float = Field(default=0.5, gt=0, le=1)


@dataclass(frozen=True, slots=True)
class Proposal:
    """A mask that nobody asked for, with the point that it came from.

    Attributes
    ----------
    small
        The mask, and its predicted IoU.
    point
        The positive point.
    """

    small: SmallMask
    point: Point

    @property
    def score(self) -> float:
        """Predicted IoU."""
        return self.small.score


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A mask at low resolution: the part of the logits that makes pixels."""

    logits: Tensor
    corner: tuple[int, int]
    box: tuple[int, int, int, int]
    score: float
    number: int


def point_grid(
    shape: tuple[int, int],
    view: Box | None = None,
    points_per_side: int = 32,
    tile: Tile | None = None,
) -> NDArray[np.float64]:
    """Return the points of a grid over what is in view, ``(N, 2)`` in (x, y) order.

    The points are equally far apart along both sides, and not closer than the mask
    decoder can tell apart.

    Parameters
    ----------
    shape
        (height, width) of the image.
    view
        What is in view; by default the whole image.
    points_per_side
        Points along the longer side of the view.
    tile
        In which they are answered, of a huge image.

    Raises
    ------
    InfosamError
        If nothing of the image is in view.
    """
    height, width = shape
    low, high = np.array([-0.5, -0.5]), np.array([width - 0.5, height - 0.5])
    if view is not None:
        low = np.maximum(low, (view.x0, view.y0))
        high = np.minimum(high, (view.x1, view.y1))
    size = high - low
    if (size <= 0).any():
        raise InfosamError("Nothing of the image is in view: zoom out to it first.")
    longest = max(shape) if tile is None else max(tile.height, tile.width)
    step = max(size.max() / points_per_side, longest / _FINEST)
    x, y = (
        start + (np.arange(number) + 0.5) * length / number
        for start, length, number in zip(
            low, size, np.maximum(1, np.round(size / step)).astype(int), strict=True
        )
    )
    return np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)


def propose(
    predictor: Predictor,
    points: NDArray[np.float64],
    options: AutomaticOptions | None = None,
    *,
    embedding: ImageEmbedding | TiledEmbedding | None = None,
    tile: Tile | None = None,
    cancelled: Callable[[], bool] = lambda: False,
    on_progress: Progress | None = None,
) -> list[Proposal]:
    """Return proposals for everything that the points lie on, best first.

    Parameters
    ----------
    predictor
        The model that answers.
    points
        ``(N, 2)`` in (x, y) order, for example of `point_grid`.
    options
        How proposals are chosen.
    embedding
        Another image than that of the predictor's last `set_image`.
    tile
        Where they are answered in a huge image; by default the finest tile in which
        all of them lie.
    cancelled, on_progress
        Asked, and called with the number of points done and of all, now and then.

    Raises
    ------
    InfosamError
        Without image, or for points outside it.
    Cancelled
        If it was cancelled.
    """
    options = options or AutomaticOptions()
    prompts = [PromptSet((Point(float(x), float(y)),)) for x, y in points]
    decoder = predictor.batch_decoder(prompts, embedding, tile)
    inside = decoder.inside(prompts)
    enlarger = decoder.enlarger

    def look(numbers: Sequence[int], chunk: Chunk) -> list[_Candidate]:
        good = chunk.iou[:, 1:] >= options.min_score
        found = []
        for row in good.any(dim=1).nonzero().flatten().tolist():
            which = (1 + good[row].nonzero().flatten()).tolist()
            logits = chunk.logits(row, which)
            scores = chunk.iou[row, which].tolist()
            for number in _stable(logits, enlarger, options):
                part, corner = cut_out(logits[number], (0, 0), enlarger.low_res_shape)
                candidate = _Candidate(
                    part.half(),  # half the memory; it is the edge at 0 that counts
                    corner,
                    _low_res_box(part, corner),
                    scores[number],
                    numbers[row],
                )
                found.append(candidate)
        return found

    held: list[_Candidate] = []
    for found in decoder.run(inside, look, cancelled, on_progress):
        held += found
        if len(held) > _MOST_HELD:
            held = _best(held, options)
    return [
        Proposal(small, prompts[one.number].points[0])
        for one in _best(held, options)
        if (small := enlarger.mask(one.logits.float(), one.corner, one.score)).area
    ]


def _low_res_box(logits: Tensor, corner: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return the box of a mask among all logits: XYXY, the last ones excluded."""
    inside = logits > 0
    rows = inside.any(dim=1).nonzero().flatten()
    columns = inside.any(dim=0).nonzero().flatten()
    top, left = corner
    return (
        left + int(columns[0]),
        top + int(rows[0]),
        left + int(columns[-1]) + 1,
        top + int(rows[-1]) + 1,
    )


def _stable(logits: Tensor, enlarger: Enlarger, options: AutomaticOptions) -> list[int]:
    """Return which of ``(M, 256, 256)`` masks hardly depend on the threshold.

    None is empty, and none takes more of the image than it may.
    """
    height, width = enlarger.low_res_shape
    inside = logits[:, :height, :width].flatten(1)
    area = (inside > 0).sum(dim=1)
    higher = (inside > options.stability_offset).sum(dim=1)
    lower = (inside > -options.stability_offset).sum(dim=1)
    good = (area > 0) & (area <= options.max_share * height * width)
    good &= higher >= options.min_stability * lower
    chosen: list[int] = good.nonzero().flatten().tolist()
    return chosen


def _best(found: list[_Candidate], options: AutomaticOptions) -> list[_Candidate]:
    """Return the best of those whose boxes are nearly the same, best first."""
    if not found:
        return []
    boxes = torch.tensor([one.box for one in found], dtype=torch.float32)
    scores = torch.tensor([one.score for one in found])
    return [found[number] for number in nms(boxes, scores, options.max_overlap)]
