"""Images and prompts in, masks out; numpy on both sides."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, overload

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from napari_infosam.core.errors import InfosamError
from napari_infosam.core.geometry import model_shape, to_model_xy
from napari_infosam.core.rough_mask import with_rough_prompts
from napari_infosam.core.tiles import around_all
from napari_infosam.models.ambiguity import by_size
from napari_infosam.models.batch import (
    BatchDecoder,
    Cancelled,
    Progress,
    predict_masks,
)
from napari_infosam.models.decoder import LOW_RES, DecoderOutput, PromptTensors
from napari_infosam.models.embedder import Embedder
from napari_infosam.models.prediction import (
    ImageEmbedding,
    Prediction,
    mask_tensor,
    prediction_of,
)
from napari_infosam.models.prompt_arrays import check_prompts, numbers, prompt_set
from napari_infosam.models.tidy import tidied
from napari_infosam.models.tiles import TiledEmbedding

if TYPE_CHECKING:
    from napari_infosam.core.prompts import PromptSet
    from napari_infosam.core.small_masks import SmallMask
    from napari_infosam.core.tiles import Tile
    from napari_infosam.models.embeddings import EmbeddingCache
    from napari_infosam.models.sam_model import SamModel


_NO_ROUGH = "Huge images take no painted masks: click on the object, or draw a box."
_IN_TILES = "A huge image is answered tile by tile: ask answer() or predict()."


class Predictor(Embedder):
    """Expensive once for an image, cheap for every click on it.

    Safe to use from several threads.

    Parameters
    ----------
    model
        The model that answers.
    cache
        Where embeddings are kept; by default a small one in memory.
    leave_out_specks
        Answer without specks and pinholes, see `napari_infosam.core.specks`: what a
        person is shown. `predict` gives all that the decoder says.
    """

    def __init__(
        self,
        model: SamModel,
        cache: EmbeddingCache | None = None,
        *,
        leave_out_specks: bool = False,
    ) -> None:
        super().__init__(model, cache)
        self._leave_out_specks = leave_out_specks

    def beside(self, model: SamModel) -> Predictor:
        """Return the same of another model, with the same cache of embeddings."""
        specks = self._leave_out_specks
        return Predictor(model, self._cache, leave_out_specks=specks)

    @overload
    def predict(
        self,
        points: ArrayLike | None = ...,
        labels: ArrayLike | None = ...,
        box: ArrayLike | None = ...,
        mask_input: NDArray[np.float32] | None = ...,
        multimask: Literal[False] = ...,
        embedding: ImageEmbedding | TiledEmbedding | None = ...,
    ) -> Prediction: ...

    @overload
    def predict(
        self,
        points: ArrayLike | None = ...,
        labels: ArrayLike | None = ...,
        box: ArrayLike | None = ...,
        mask_input: NDArray[np.float32] | None = ...,
        *,
        multimask: Literal[True],
        embedding: ImageEmbedding | TiledEmbedding | None = ...,
    ) -> list[Prediction]: ...

    def predict(
        self,
        points: ArrayLike | None = None,
        labels: ArrayLike | None = None,
        box: ArrayLike | None = None,
        mask_input: NDArray[np.float32] | None = None,
        multimask: bool = False,
        embedding: ImageEmbedding | TiledEmbedding | None = None,
    ) -> Prediction | list[Prediction]:
        """Return the mask of the prompted object.

        Parameters
        ----------
        points
            ``(N, 2)`` in (x, y) order, in pixels, pixel centres at integers.
        labels
            ``(N,)``: 1 positive, 0 negative; by default all positive.
        box
            ``(4,)`` XYXY.
        mask_input
            ``(256, 256)`` low-res logits of an earlier prediction.
        multimask
            Return the three ambiguity masks, highest predicted IoU first.
        embedding
            Another image than that of the last `set_image`.

        Raises
        ------
        InfosamError
            Without image or prompt, or if the embedding is another encoder's.
        """
        prompts = prompt_set(points, labels, box)
        embedding = embedding or self._embedding
        if isinstance(embedding, TiledEmbedding):
            self._check(prompts, embedding)
            if mask_input is not None:
                raise InfosamError(
                    "mask_input belongs to one tile of a huge image: give answer() the "
                    "earlier prediction instead."
                )
            found = embedding.predict(self, prompts, multimask=multimask)
            return found if multimask else found[0]
        output, shape = self._decode(prompts, mask_input, embedding)
        if not multimask:
            return prediction_of(output, 0, shape)
        order = output.iou[0, 1:].argsort(descending=True)
        return [prediction_of(output, 1 + int(i), shape) for i in order]

    def answer(
        self,
        prompts: PromptSet,
        previous: Prediction | None = None,
        embedding: ImageEmbedding | TiledEmbedding | None = None,
    ) -> Prediction:
        """Answer a person's prompts; the one protocol of window, gate and benchmarks.

        A single positive click with no earlier answer is ambiguous: a model whose
        `first_click` is ``multimask`` gives the best of its three ambiguity masks by
        predicted IoU. Where the prompts say which of them is meant, every model gives
        that one. Everything else is the single mask, with the previous answer's
        low-res logits fed back; a rough mask takes their place at the beginning.

        Parameters
        ----------
        prompts
            All prompts of the object so far.
        previous
            The answer to the prompts before the last one, if there was one.
        embedding
            Another image than that of the last `set_image`.
        """
        embedding = embedding or self._embedding
        if isinstance(embedding, TiledEmbedding):
            if prompts.rough is not None:
                raise InfosamError(_NO_ROUGH)
            self._check(prompts, embedding)
            return embedding.answer(self, prompts, previous)
        rough = prompts.rough
        mask_input = None
        if previous is not None:
            mask_input = previous.low_res_logits
        elif rough is not None:
            mask_input = rough.low_res_logits()
        about = self._require(embedding)
        if rough is not None and rough.shape != about.shape:
            raise InfosamError(
                f"The rough mask is {rough.shape[0]} x {rough.shape[1]} pixels, but "
                f"the image is {about.shape[0]} x {about.shape[1]}: paint it anew."
            )
        placed = with_rough_prompts(prompts)
        output, shape = self._decode(placed, mask_input, embedding)
        if previous is not None or not prompts.is_ambiguous:
            return self._shown(output, 0, placed, shape)
        sizes = by_size(output, shape)
        index = 0
        if prompts.choice is not None:
            index = sizes[prompts.choice]
        elif self._model.first_click == "multimask":
            index = 1 + int(output.iou[0, 1:].argmax())
        return replace(
            self._shown(output, index, placed, shape),
            choices=tuple(float(output.iou[0, i]) for i in sizes),
            choice=sizes.index(index) if index else None,
        )

    def _shown(
        self,
        output: DecoderOutput,
        index: int,
        prompts: PromptSet,
        shape: tuple[int, int],
    ) -> Prediction:
        """Return one of the masks, without specks if so wanted."""
        if self._leave_out_specks:
            height, width = model_shape(shape, LOW_RES)
            xy = to_model_xy(prompts.coordinates(), shape, LOW_RES)
            places = np.clip(xy[:, ::-1].astype(int), 0, (height - 1, width - 1))
            on, off = (map(tuple, places[prompts.labels() == i]) for i in (1, 0))
            logits = output.logits.clone()
            logits[0, index] = tidied(logits[0, index], height, width, on, off)
            output = replace(output, logits=logits)
        return prediction_of(output, index, shape)

    def predict_boxes(
        self,
        boxes: ArrayLike,
        *,
        embedding: ImageEmbedding | TiledEmbedding | None = None,
        cancelled: Callable[[], bool] = lambda: False,
        on_progress: Progress | None = None,
    ) -> list[SmallMask]:
        """Return the masks of many boxes at once, in their order.

        Faster than one `predict` a box, and equal to it up to the rounding of the
        encoder's number type.

        Parameters
        ----------
        boxes
            ``(N, 4)`` XYXY.
        embedding
            Another image than that of the last `set_image`.
        cancelled, on_progress
            Asked, and called with the number of boxes done and of all, now and then.

        In a huge image each is answered in the tile of its own `predict`.

        Raises
        ------
        InfosamError
            Without image, or for boxes that are no boxes in it.
        Cancelled
            If it was cancelled.
        """
        corners = numbers(boxes, "Boxes")
        if corners.size and (corners.ndim != 2 or corners.shape[1] != 4):
            raise InfosamError(f"Boxes need the shape (N, 4), not {corners.shape}.")
        prompts = [prompt_set(None, None, box) for box in corners.reshape(-1, 4)]
        return self.answer_many(prompts, embedding, cancelled, on_progress)

    def predict_many(
        self,
        points: ArrayLike,
        labels: ArrayLike | None = None,
        *,
        embedding: ImageEmbedding | TiledEmbedding | None = None,
        cancelled: Callable[[], bool] = lambda: False,
        on_progress: Progress | None = None,
    ) -> list[SmallMask]:
        """Return the masks of many objects at once, each with K points.

        Parameters
        ----------
        points
            ``(N, K, 2)`` in (x, y) order.
        labels
            ``(N, K)``: 1 positive, 0 negative; by default all positive.
        embedding, cancelled, on_progress
            As in `predict_boxes`.
        """
        xy = numbers(points, "Points")
        if xy.size and (xy.ndim != 3 or xy.shape[2] != 2):
            raise InfosamError(f"Points need the shape (N, K, 2), not {xy.shape}.")
        signs = np.ones(xy.shape[:2]) if labels is None else numbers(labels, "Labels")
        if signs.shape != xy.shape[:2]:
            raise InfosamError(
                f"Labels need the shape {xy.shape[:2]} of the points, "
                f"not {signs.shape}."
            )
        prompts = [prompt_set(*one, None) for one in zip(xy, signs, strict=True)]
        return self.answer_many(
            prompts, embedding, cancelled, on_progress, ambiguous=False
        )

    def answer_many(
        self,
        prompts: Sequence[PromptSet],
        embedding: ImageEmbedding | TiledEmbedding | None = None,
        cancelled: Callable[[], bool] = lambda: False,
        on_progress: Progress | None = None,
        *,
        ambiguous: bool = True,
    ) -> list[SmallMask]:
        """Answer the prompts of many objects of one image, as `answer` does of one.

        Parameters
        ----------
        prompts
            All prompts of each object.
        embedding, cancelled, on_progress
            As in `predict_boxes`.
        ambiguous
            Give a single positive click the best of its three ambiguity masks where
            the model's `first_click` says so; otherwise the single mask.
        """
        ambiguous &= self._model.first_click == "multimask"
        tiled = self._require(embedding)
        parts: list[tuple[Tile | None, list[int]]] = [(None, [*range(len(prompts))])]
        if isinstance(tiled, TiledEmbedding):
            for one in prompts:
                check_prompts(one, tiled.shape)
            parts = [*tiled.shared_out(prompts).items()]
        found: dict[int, SmallMask] = {}
        for tile, places in parts:
            if cancelled():
                raise Cancelled
            chosen = [prompts[place] for place in places]
            masks = predict_masks(
                self.batch_decoder(chosen, tiled, tile),
                chosen,
                ambiguous=ambiguous,
                cancelled=cancelled,
                on_progress=_continued(on_progress, len(found), len(prompts)),
            )
            found.update(zip(places, masks, strict=True))
        return [found[place] for place in range(len(prompts))]

    def batch_decoder(
        self,
        prompts: Sequence[PromptSet],
        embedding: ImageEmbedding | TiledEmbedding | None = None,
        tile: Tile | None = None,
    ) -> BatchDecoder:
        """Return what decodes many prompts of an image, after these were checked.

        Parameters
        ----------
        prompts
            One set an object.
        embedding
            Another image than that of the last `set_image`.
        tile
            Where they are answered in a huge image; by default the finest tile in
            which all of them lie.
        """
        whole = self._require(embedding)
        for one in prompts:
            check_prompts(one, whole.shape)
        frame = whole.shape
        if isinstance(whole, TiledEmbedding):
            tile = tile or whole.tile_of_view(around_all(prompts))
            whole = whole.embed(self, tile)
        return BatchDecoder(
            self._model,
            whole.features,
            whole.shape,
            leave_out_specks=self._leave_out_specks,
            tile=tile,
            frame=frame,
        )

    def _check(
        self,
        prompts: PromptSet,
        embedding: ImageEmbedding | TiledEmbedding | None,
    ) -> ImageEmbedding | TiledEmbedding:
        """Return the embedding if these prompts can be answered with it."""
        found = self._require(embedding)
        check_prompts(prompts, found.shape)
        return found

    @torch.inference_mode()
    def _decode(
        self,
        prompts: PromptSet,
        mask_input: NDArray[np.float32] | None,
        embedding: ImageEmbedding | TiledEmbedding | None,
    ) -> tuple[DecoderOutput, tuple[int, int]]:
        whole = self._check(prompts, embedding)
        if isinstance(whole, TiledEmbedding):
            raise InfosamError(_IN_TILES)
        model = self._model
        mask = None
        if mask_input is not None:
            mask = mask_tensor(mask_input).to(model.device)
        tensors = PromptTensors.build([prompts], whole.shape, model.device, mask)
        features = whole.features.to(model.device).float()
        return model.decoder(features, tensors), whole.shape


def _continued(
    on_progress: Progress | None, n_before: int, n_all: int
) -> Progress | None:
    """Return the progress of a part of the work, as one of all of it."""
    if on_progress is None:
        return None
    told = on_progress
    return lambda done, _: told(n_before + done, n_all)
