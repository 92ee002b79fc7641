"""Prompts on a huge image: each is answered in a tile, the mask lies in the image."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F

from napari_infosam.core.geometry import MODEL_SIDE, model_shape
from napari_infosam.core.placed import Place, PlacedMask, place_of, placed_box
from napari_infosam.core.preprocess import Preprocessing
from napari_infosam.core.tiles import Tile, choose_tile, tile_of_view
from napari_infosam.models.decoder import LOW_RES
from napari_infosam.models.drawing import full_resolution

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_infosam.core.huge_image import HugeImage
    from napari_infosam.core.prompts import Box, PromptSet
    from napari_infosam.models.prediction import ImageEmbedding, Prediction
    from napari_infosam.models.predictor import Predictor

_RECENT = 16
"""Tiles whose embeddings are at hand: 2 MB each."""

_OUTSIDE = 8.0
"""Minus this is the logit of what an earlier tile did not show."""


class TiledEmbedding:
    """Embeddings of the tiles of one huge image, made when a prompt needs them.

    Safe to use from several threads, each with a predictor of its own. Stands where the
    embedding of a small image does.

    Parameters
    ----------
    image
        The image.
    encoder_hash
        Hash of the encoder that its tiles are embedded with.

    Attributes
    ----------
    shape
        (height, width) of the image.
    key
        Tells the image and the encoder apart from others.
    features
        None: there is none of the whole image.
    """

    features = None

    def __init__(self, image: HugeImage, encoder_hash: str) -> None:
        self.image = image
        self.encoder_hash = encoder_hash
        self.shape = image.plane
        self.key = f"{image.digest} {encoder_hash}"
        self._recent: OrderedDict[Tile, ImageEmbedding] = OrderedDict()
        self._lock = Lock()

    def answer(
        self, predictor: Predictor, prompts: PromptSet, previous: Prediction | None
    ) -> Prediction:
        """Answer prompts that are in pixels of the image; see `Predictor.answer`.

        Returns
        -------
        Prediction
            Its mask is a crop, a `PlacedMask` at full resolution.
        """
        tile, last = self._tile(prompts, previous)
        if previous is not None and last is not None and tile != last:
            logits = moved_logits(previous.low_res_logits, last, tile)
            previous = replace(previous, low_res_logits=logits)
        embedding = self.embed(predictor, tile)
        inside = predictor.answer(tile.prompts_inside(prompts), previous, embedding)
        return self.placed(inside, tile)

    def is_at_hand(self, prompts: PromptSet, previous: Prediction | None) -> bool:
        """Return whether prompts can be answered with no tile being embedded."""
        return self._tile(prompts, previous)[0] in self.at_hand()

    def _tile(
        self, prompts: PromptSet, previous: Prediction | None
    ) -> tuple[Tile, Tile | None]:
        """Return the tile that prompts are answered in, and that of the last answer."""
        place = None if previous is None else place_of(previous.mask)
        last = None if place is None else place.tile
        box = None
        if previous is not None and isinstance(previous.mask, PlacedMask):
            box = placed_box(previous.mask)
        tile = choose_tile(
            self.shape,
            prompts,
            mask=box,
            last=last,
            seen_at=self.image.seen_at(),
            recent=self.at_hand(),
        )
        return tile, last

    def predict(
        self, predictor: Predictor, prompts: PromptSet, *, multimask: bool
    ) -> list[Prediction]:
        """Return the single mask, or the three ambiguity masks, of fresh prompts."""
        tile = choose_tile(
            self.shape,
            prompts,
            seen_at=self.image.seen_at(),
            recent=self.at_hand(),
        )
        moved = tile.prompts_inside(prompts)
        box = None if moved.box is None else moved.box.as_array()
        found = predictor.predict(
            moved.coordinates(),
            moved.labels(),
            box,
            multimask=multimask,  # type: ignore[call-overload]
            embedding=self.embed(predictor, tile),
        )
        several = found if isinstance(found, list) else [found]
        return [self.placed(prediction, tile) for prediction in several]

    def shared_out(self, prompts: Sequence[PromptSet]) -> dict[Tile, list[int]]:
        """Return in which tiles the prompts of many objects are answered.

        Each in the tile that it would be answered in alone; those that lie close have
        one in common.

        Returns
        -------
        dict
            Which prompts go with a tile.
        """
        found: dict[Tile, list[int]] = {}
        at_hand = self.at_hand()
        for number, one in enumerate(prompts):
            tile = choose_tile(
                self.shape,
                one,
                seen_at=self.image.seen_at(),
                recent=(*found, *at_hand),
            )
            found.setdefault(tile, []).append(number)
        return found

    def tile_of_view(self, view: Box) -> Tile:
        """Return the finest tile that shows all that is in view."""
        return tile_of_view(self.shape, view)

    def at_hand(self) -> list[Tile]:
        """Return the tiles whose embeddings are at hand, the last one first."""
        with self._lock:
            return [*reversed(self._recent)]

    def embed(self, predictor: Predictor, tile: Tile) -> ImageEmbedding:
        """Return the embedding of a tile, from the nearest place that has it."""
        with self._lock:
            known = self._recent.get(tile)
            if known is not None:
                self._recent.move_to_end(tile)
                return known
        channels = self.image.preprocessing.channels
        pixels = self.image.read_tile(tile)
        embedding = predictor.embed(pixels, Preprocessing(channels=channels))
        with self._lock:
            self._recent[tile] = embedding
            while len(self._recent) > _RECENT:
                self._recent.popitem(last=False)
        return embedding

    def placed(self, inside: Prediction, tile: Tile) -> Prediction:
        """Return a prediction of a tile as one of the image."""
        crop, row, column = full_resolution(inside, tile)
        place = Place(row, column, self.shape, tile)
        return replace(inside, mask=PlacedMask(crop, place))


def moved_logits(
    logits: NDArray[np.float32], old: Tile, new: Tile
) -> NDArray[np.float32]:
    """Return low-res logits of one tile as they are in another.

    Parameters
    ----------
    logits
        ``(256, 256)`` of the old tile.
    """
    x = _positions(new.column, new.stride, new.shape)
    y = _positions(new.row, new.stride, new.shape)
    first_x, step_x = _start_and_step(_positions(old.column, old.stride, old.shape))
    first_y, step_y = _start_and_step(_positions(old.row, old.stride, old.shape))
    # to the range -1 ... 1 over the edges of the old grid
    at_x = (2 * (x - first_x) / step_x + 1) / LOW_RES - 1
    at_y = (2 * (y - first_y) / step_y + 1) / LOW_RES - 1
    grid = np.stack(np.broadcast_arrays(at_x[None, :], at_y[:, None]), axis=-1)
    lifted = torch.from_numpy(logits)[None, None] + _OUTSIDE
    sampled = F.grid_sample(
        lifted,
        torch.from_numpy(grid.astype(np.float32))[None],
        mode="bilinear",
        padding_mode="zeros",
        align_corners=False,
    )
    moved: NDArray[np.float32] = (sampled[0, 0] - _OUTSIDE).numpy()
    return moved


def _positions(origin: int, stride: int, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Return where in the image the centres of the low-res pixels lie, on one axis."""
    # the decoder's grid is laid on the tile after its longest side was made 1024
    longest = max(shape)
    factor = longest / max(model_shape(shape)) * (MODEL_SIDE / LOW_RES)
    centres = np.arange(LOW_RES, dtype=np.float64) + 0.5
    return np.asarray(centres * factor * stride + (origin - 0.5), np.float64)


def _start_and_step(positions: NDArray[np.float64]) -> tuple[float, float]:
    return float(positions[0]), float(positions[1] - positions[0])
