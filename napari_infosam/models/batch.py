"""Many objects of one image at once: prompts in, small masks out.

Objects are decoded in chunks that stay in the processor's caches, and each mask is
drawn at full size within its own box only: there is never more than one mask of floats
a thread, whatever the number of objects.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import groupby
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch
from torch import Tensor

from napari_infosam.core.geometry import MODEL_SIDE, to_model_xy
from napari_infosam.models.decoder import LOW_RES, DecoderOutput, PromptTensors
from napari_infosam.models.drawing import Enlarger
from napari_infosam.models.image_side import TOKENS, WHOLE, ImageSide, Window
from napari_infosam.models.threads import Workers
from napari_infosam.models.tidy import tidied

if TYPE_CHECKING:
    from napari_infosam.core.prompts import PromptSet
    from napari_infosam.core.small_masks import SmallMask
    from napari_infosam.core.tiles import Tile
    from napari_infosam.models.sam_model import SamModel

T = TypeVar("T")

_Draw = Callable[[int, Sequence[int], Window], Tensor]

Progress = Callable[[int, int], None]
"""Called with how many prompts of how many are done."""

_CHUNK = {torch.float32: 2, torch.bfloat16: 4, torch.float16: 4}
_GPU_CHUNK = 64
"""Objects that are decoded together: on a CPU what the caches hold."""

_STEP = LOW_RES // TOKENS
"""Logits along the side of an image token."""

_MARGIN, _MARGIN_TOKENS = 0.25, 2
"""How far around a box its mask is looked for: in sides of the box, and in tokens."""


class Cancelled(Exception):
    """The work was stopped because it was asked to."""


class BatchDecoder:
    """Decodes prompts of one image in chunks.

    Parameters
    ----------
    model
        The model that answers.
    features
        The image's embedding.
    shape
        (height, width) of the image.
    dtype
        In which image tokens are multiplied; by default that of the model's encoder.
    leave_out_specks
        Draw masks without specks and pinholes, as `Predictor` does.
    tile, frame
        The tile that the image is, of a huge one of (height, width) ``frame``: prompts
        and masks are in the pixels of that.
    """

    def __init__(
        self,
        model: SamModel,
        features: Tensor,
        shape: tuple[int, int],
        dtype: torch.dtype | None = None,
        *,
        leave_out_specks: bool = False,
        tile: Tile | None = None,
        frame: tuple[int, int] | None = None,
    ) -> None:
        self._tile = tile
        self._leave_out_specks = leave_out_specks
        self._model = model
        self._features = features.to(model.device).float()
        self._dtype = dtype or model.dtype or torch.float32
        self.shape = shape
        self.enlarger = Enlarger(shape, model.device, tile, frame)

    @cached_property
    def _side(self) -> ImageSide | None:
        if self._model.has_hq_head:
            return None  # its convolutions look beyond the pixels of one token
        with torch.inference_mode():
            return ImageSide(self._model.decoder, self._features, self._dtype)

    def inside(self, prompts: Sequence[PromptSet]) -> Sequence[PromptSet]:
        """Return prompts in pixels of what was embedded, as `run` takes them."""
        tile = self._tile
        return prompts if tile is None else [tile.prompts_inside(p) for p in prompts]

    @property
    def chunk(self) -> int:
        """How many objects are decoded together."""
        on_cpu = self._model.device.type == "cpu"
        return _CHUNK[self._dtype] if on_cpu else _GPU_CHUNK

    def run(
        self,
        prompts: Sequence[PromptSet],
        look: Callable[[Sequence[int], Chunk], T],
        cancelled: Callable[[], bool] = lambda: False,
        on_progress: Progress | None = None,
    ) -> Iterator[T]:
        """Decode prompts, side by side on as many threads as torch has now.

        Parameters
        ----------
        prompts
            One set an object, of `inside`.
        look
            Called on a worker for each chunk, with the numbers of its prompts.
        cancelled, on_progress
            Asked and called between chunks.

        Raises
        ------
        Cancelled
            If it was cancelled.
        """
        _ = self._side  # made here, not by each worker
        chunks = list(_chunks(prompts, self.chunk))

        @torch.inference_mode()
        def work(numbers: Sequence[int]) -> T:
            if cancelled():
                raise Cancelled
            sets = [prompts[number] for number in numbers]
            tensors = PromptTensors.build(sets, self.shape, self._model.device)
            return look(numbers, self._decode(tensors))

        workers = Workers(torch.get_num_threads(), self._model.device)
        done = 0
        for numbers, result in zip(chunks, workers.map(work, chunks), strict=True):
            done += len(numbers)
            if on_progress is not None:
                on_progress(done, len(prompts))
            if cancelled():
                raise Cancelled
            yield result

    def _decode(self, tensors: PromptTensors) -> Chunk:
        side = self._side
        if side is None:
            output = self._model.decoder(self._features, tensors)
            iou, draw = output.iou, partial(_cut_from, output)
        else:
            decoded = side.decode(tensors)
            iou, draw = decoded.iou, partial(side.logits, decoded)
        if self._leave_out_specks:
            draw = partial(_drawn_without_specks, draw, self.enlarger.low_res_shape)
        return Chunk(iou, draw)


@dataclass(frozen=True, slots=True)
class Chunk:
    """What the decoder says of B objects; their masks are drawn when asked for.

    Attributes
    ----------
    iou
        ``(B, 4)`` predicted IoU of the single mask and of the three ambiguity masks.
    """

    iou: Tensor
    _draw: _Draw

    def logits(self, row: int, which: Sequence[int], window: Window = WHOLE) -> Tensor:
        """Return ``(M, h, w)`` float32 low-res logits of one of the objects.

        Parameters
        ----------
        row
            Which object.
        which
            Which of the four masks, M of them.
        window
            Rows and columns of image tokens; a token is four by four logits.
        """
        return self._draw(row, which, window)


def _cut_from(
    output: DecoderOutput, row: int, which: Sequence[int], window: Window
) -> Tensor:
    """Return a window of logits that are drawn already."""
    rows, columns = (slice(_STEP * span.start, _STEP * span.stop) for span in window)
    return output.logits[row, list(which), rows, columns].float()


def _drawn_without_specks(
    draw: _Draw,
    low_res_shape: tuple[int, int],
    row: int,
    which: Sequence[int],
    window: Window,
) -> Tensor:
    """Return what was drawn, without specks and pinholes in the image."""
    rows, columns = (
        max(0, shape - _STEP * span.start)
        for shape, span in zip(low_res_shape, window, strict=True)
    )
    return torch.stack([tidied(one, rows, columns) for one in draw(row, which, window)])


def predict_masks(
    decoder: BatchDecoder,
    prompts: Sequence[PromptSet],
    *,
    ambiguous: bool = False,
    cancelled: Callable[[], bool] = lambda: False,
    on_progress: Progress | None = None,
) -> list[SmallMask]:
    """Return a mask for each prompt set.

    Parameters
    ----------
    decoder
        Of the model and the image.
    prompts
        One set an object.
    ambiguous
        Answer a single point by the best of the three ambiguity masks, as
        `Predictor.answer` does with the base model.
    cancelled, on_progress
        As in `BatchDecoder.run`.
    """
    prompts = decoder.inside(prompts)

    def look(numbers: Sequence[int], chunk: Chunk) -> list[SmallMask]:
        masks = []
        for row, number in enumerate(numbers):
            one, which = prompts[number], 0
            if ambiguous and len(one) == 1 and one.box is None:
                which = 1 + int(chunk.iou[row, 1:].argmax())
            part, corner = _around(one, chunk, row, which, decoder.enlarger)
            score = float(chunk.iou[row, which])
            masks.append(decoder.enlarger.mask(part, corner, score))
        return masks

    found: dict[int, SmallMask] = {}
    chunks = list(_chunks(prompts, decoder.chunk))
    results = decoder.run(prompts, look, cancelled, on_progress)
    for numbers, masks in zip(chunks, results, strict=True):
        found.update(zip(numbers, masks, strict=True))
    return [found[number] for number in range(len(prompts))]


def _around(
    prompts: PromptSet, chunk: Chunk, row: int, which: int, enlarger: Enlarger
) -> tuple[Tensor, tuple[int, int]]:
    """Return the logits that make an object's pixels, and where they begin.

    They are looked for around the box. Where the mask reaches the end of that, or
    there is no box, everywhere.
    """
    window = _window(prompts, enlarger.shape)
    logits = chunk.logits(row, (which,), window)[0]
    if window != WHOLE and _reaches_out(logits > 0, window):
        window = WHOLE
        logits = chunk.logits(row, (which,))[0]
    top, left = (_STEP * span.start for span in window)
    return cut_out(logits, (top, left), enlarger.low_res_shape)


def _window(prompts: PromptSet, shape: tuple[int, int]) -> Window:
    """Return the image tokens around a box; all of them without one."""
    if prompts.box is None:
        return WHOLE
    corners = to_model_xy(prompts.box.as_array().reshape(2, 2), shape)
    low, high = corners / (MODEL_SIDE / TOKENS)
    margin = _MARGIN * (high - low) + _MARGIN_TOKENS
    start = np.clip(np.floor(low - margin), 0, TOKENS - 1).astype(int)
    stop = np.clip(np.ceil(high + margin), start + 1, TOKENS).astype(int)
    return slice(int(start[1]), int(stop[1])), slice(int(start[0]), int(stop[0]))


def _reaches_out(inside: Tensor, window: Window) -> bool:
    """Return whether a mask lies on a side of a window beyond which there is more."""
    rows, columns = window
    sides = (
        (rows.start > 0, inside[0]),
        (rows.stop < TOKENS, inside[-1]),
        (columns.start > 0, inside[:, 0]),
        (columns.stop < TOKENS, inside[:, -1]),
    )
    return any(more and bool(side.any()) for more, side in sides)


def cut_out(
    logits: Tensor, corner: tuple[int, int], low_res_shape: tuple[int, int]
) -> tuple[Tensor, tuple[int, int]]:
    """Return the part of low-res logits that makes pixels, and where it begins.

    A pixel lies between logits of which one at least is above 0, and all those it lies
    between are in the part.

    Parameters
    ----------
    logits
        ``(h, w)`` of the ``(256, 256)``.
    corner
        (row, column) of the first one.
    low_res_shape
        (rows, columns) that lie in the image.
    """
    inside = logits > 0
    spans = []
    for axis in (0, 1):
        found = inside.any(dim=1 - axis).nonzero().flatten()
        # one more than the image has: its last pixels lie between the last and that
        stop = min(low_res_shape[axis] + 1 - corner[axis], logits.shape[axis])
        if not len(found) or int(found[0]) >= stop:
            return logits[:0, :0], (0, 0)
        spans.append((max(0, int(found[0]) - 2), min(int(found[-1]) + 3, stop)))
    (top, bottom), (left, right) = spans
    return logits[top:bottom, left:right], (corner[0] + top, corner[1] + left)


def _chunks(prompts: Sequence[PromptSet], size: int) -> Iterator[list[int]]:
    """Yield numbers of prompts that go together: as many points, and a box or none."""

    def kind(number: int) -> tuple[int, bool]:
        return len(prompts[number].points), prompts[number].box is not None

    for _, group in groupby(sorted(range(len(prompts)), key=kind), kind):
        numbers = list(group)
        for start in range(0, len(numbers), size):
            yield numbers[start : start + size]
