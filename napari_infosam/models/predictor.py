"""Images and prompts in, masks out; numpy on both sides."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from threading import RLock
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from napari_infosam.core.errors import InfosamError
from napari_infosam.core.preprocess import Preprocessing, to_rgb_uint8
from napari_infosam.core.prompts import Box, Point, PromptSet
from napari_infosam.core.rough_mask import with_rough_prompts
from napari_infosam.models.ambiguity import by_size
from napari_infosam.models.decoder import LOW_RES, DecoderOutput, PromptTensors
from napari_infosam.models.embeddings import EmbeddingCache
from napari_infosam.models.sam_model import SamModel, upscale_logits

if TYPE_CHECKING:
    from napari_infosam.core.masks import BoolArray


@dataclass(frozen=True, slots=True)
class ImageEmbedding:
    """What the encoder made of one image; valid for one encoder.

    Attributes
    ----------
    features
        ``(1, 256, 64, 64)`` float16 on the CPU.
    shape
        (height, width) of the image.
    key
        Hash of the picture and of the exact encoder.
    encoder_hash
        Hash of the encoder alone.
    """

    features: Tensor
    shape: tuple[int, int]
    key: str
    encoder_hash: str


@dataclass(frozen=True, slots=True)
class Prediction:
    """One mask.

    Attributes
    ----------
    mask
        ``(height, width)`` bool, at the size of the image.
    score
        Predicted IoU.
    low_res_logits
        ``(256, 256)`` float32, to be fed back as `mask_input`.
    choices
        Of the answer to a single click: the predicted IoUs of a part, the object and
        the whole.
    choice
        Which of them this is; None where it is none of them.
    """

    mask: BoolArray
    score: float
    low_res_logits: NDArray[np.float32]
    choices: tuple[float, ...] = ()
    choice: int | None = None


class Predictor:
    """Expensive once for an image, cheap for every click on it.

    Safe to use from several threads.

    Parameters
    ----------
    model
        The model that answers.
    cache
        Where embeddings are kept; by default a small one in memory.
    """

    def __init__(self, model: SamModel, cache: EmbeddingCache | None = None) -> None:
        self._model = model
        self._cache = cache or EmbeddingCache()
        self._embedding: ImageEmbedding | None = None
        self._lock = RLock()

    @property
    def model(self) -> SamModel:
        """The model that answers."""
        return self._model

    def set_model(self, model: SamModel) -> None:
        """Let another model answer; the embedding stays if it has the same encoder."""
        with self._lock:
            self._model = model
            embedding = self._embedding
            if embedding and embedding.encoder_hash != model.encoder_hash:
                self._embedding = None

    def embed(
        self, image: NDArray[Any], preprocessing: Preprocessing | None = None
    ) -> ImageEmbedding:
        """Return the embedding of an image, from the cache if it is there.

        Takes from 0.3 s (``vit_t``) to half a minute (``vit_h`` on a CPU).

        Parameters
        ----------
        image
            ``(Y, X)`` or ``(Y, X, C)`` of any dtype; see `to_rgb_uint8`.
        preprocessing
            How intensities become RGB uint8.
        """
        picture = to_rgb_uint8(image, preprocessing)
        model = self._model
        key = embedding_key(picture, model.encoder_hash)
        features = self._cache.get(key)
        if features is None:
            with self._lock:
                features = model.encode(picture).cpu()
            self._cache.put(key, features)
        shape = (picture.shape[0], picture.shape[1])
        return ImageEmbedding(features, shape, key, model.encoder_hash)

    def set_image(
        self, image: NDArray[Any], preprocessing: Preprocessing | None = None
    ) -> None:
        """Embed an image and let the following predictions be about it."""
        self._embedding = self.embed(image, preprocessing)

    @overload
    def predict(
        self,
        points: ArrayLike | None = ...,
        labels: ArrayLike | None = ...,
        box: ArrayLike | None = ...,
        mask_input: NDArray[np.float32] | None = ...,
        multimask: Literal[False] = ...,
        embedding: ImageEmbedding | None = ...,
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
        embedding: ImageEmbedding | None = ...,
    ) -> list[Prediction]: ...

    def predict(
        self,
        points: ArrayLike | None = None,
        labels: ArrayLike | None = None,
        box: ArrayLike | None = None,
        mask_input: NDArray[np.float32] | None = None,
        multimask: bool = False,
        embedding: ImageEmbedding | None = None,
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
        prompts = _prompt_set(points, labels, box)
        output, shape = self._decode(prompts, mask_input, embedding)
        if not multimask:
            return _prediction(output, 0, shape)
        order = output.iou[0, 1:].argsort(descending=True)
        return [_prediction(output, 1 + int(i), shape) for i in order]

    def answer(
        self,
        prompts: PromptSet,
        previous: Prediction | None = None,
        embedding: ImageEmbedding | None = None,
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
        rough = prompts.rough
        mask_input = None
        if previous is not None:
            mask_input = previous.low_res_logits
        elif rough is not None:
            mask_input = rough.low_res_logits()
        about = embedding or self._embedding
        if rough is not None and about is not None and rough.shape != about.shape:
            raise InfosamError(
                f"The rough mask is {rough.shape[0]} x {rough.shape[1]} pixels, but "
                f"the image is {about.shape[0]} x {about.shape[1]}: paint it anew."
            )
        placed = with_rough_prompts(prompts)
        output, shape = self._decode(placed, mask_input, embedding)
        if previous is not None or not prompts.is_ambiguous:
            return _prediction(output, 0, shape)
        sizes = by_size(output, shape)
        index = 0
        if prompts.choice is not None:
            index = sizes[prompts.choice]
        elif self._model.first_click == "multimask":
            index = 1 + int(output.iou[0, 1:].argmax())
        return replace(
            _prediction(output, index, shape),
            choices=tuple(float(output.iou[0, i]) for i in sizes),
            choice=sizes.index(index) if index else None,
        )

    @torch.inference_mode()
    def _decode(
        self,
        prompts: PromptSet,
        mask_input: NDArray[np.float32] | None,
        embedding: ImageEmbedding | None,
    ) -> tuple[DecoderOutput, tuple[int, int]]:
        embedding = embedding or self._embedding
        if embedding is None:
            raise InfosamError("Choose an image first: set_image has not been called.")
        if not prompts:
            raise InfosamError("Give at least one point or a box.")
        _check_inside(prompts, embedding.shape)
        model = self._model
        if embedding.encoder_hash != model.encoder_hash:
            raise InfosamError(
                "This embedding belongs to another encoder than that of "
                f"{model.name} {model.version}: embed the image again."
            )
        mask = None
        if mask_input is not None:
            mask = _mask_tensor(mask_input).to(model.device)
        tensors = PromptTensors.build([prompts], embedding.shape, model.device, mask)
        features = embedding.features.to(model.device).float()
        return model.decoder(features, tensors), embedding.shape


def embedding_key(picture: NDArray[np.uint8], encoder_hash: str) -> str:
    """Return the cache key of an RGB uint8 picture under an encoder."""
    digest = hashlib.blake2b(f"{encoder_hash} {picture.shape}".encode(), digest_size=20)
    digest.update(np.ascontiguousarray(picture).data)
    return digest.hexdigest()


def _prediction(
    output: DecoderOutput, index: int, shape: tuple[int, int]
) -> Prediction:
    logits = output.logits[:1, index : index + 1]
    mask = upscale_logits(logits, shape)[0, 0] > 0
    return Prediction(
        mask=mask.cpu().numpy(),
        score=float(output.iou[0, index]),
        low_res_logits=logits[0, 0].float().cpu().numpy(),
    )


def _mask_tensor(logits: ArrayLike) -> Tensor:
    """Return ``(1, 1, 256, 256)`` float32 from low-res logits."""
    values = _numbers(logits, "mask_input")
    if values.shape not in ((LOW_RES, LOW_RES), (1, LOW_RES, LOW_RES)):
        raise InfosamError(
            f"mask_input needs the shape ({LOW_RES}, {LOW_RES}), not {values.shape}: "
            "give the low_res_logits of an earlier prediction."
        )
    if not np.isfinite(values).all():
        raise InfosamError("mask_input needs finite numbers.")
    tensor = torch.tensor(values, dtype=torch.float32)
    return tensor.reshape(1, 1, LOW_RES, LOW_RES)


def _check_inside(prompts: PromptSet, shape: tuple[int, int]) -> None:
    """Raise a sentence for points, or a box, that do not touch the image."""
    height, width = shape
    for point in prompts.points:
        if not (-0.5 <= point.x <= width - 0.5 and -0.5 <= point.y <= height - 0.5):
            raise InfosamError(
                f"The point ({point.x:g}, {point.y:g}) lies outside the image of "
                f"{width} x {height} pixels; points are (x, y)."
            )
    box = prompts.box
    if box and (box.x1 < -0.5 or box.y1 < -0.5 or box.x0 > width or box.y0 > height):
        raise InfosamError(
            f"The box {box.as_array().tolist()} lies outside the image of {width} x "
            f"{height} pixels; boxes are XYXY."
        )


def _numbers(values: ArrayLike, what: str) -> NDArray[np.float64]:
    try:
        return np.asarray(values, np.float64)
    except (TypeError, ValueError) as error:
        raise InfosamError(f"{what} must be an array of numbers.") from error


def _prompt_set(
    points: ArrayLike | None, labels: ArrayLike | None, box: ArrayLike | None
) -> PromptSet:
    xy = _numbers([] if points is None else points, "Points")
    if xy.size and (xy.ndim > 2 or xy.shape[-1] != 2):
        raise InfosamError(f"Points need the shape (N, 2), not {xy.shape}.")
    xy = xy.reshape(-1, 2)
    signs = np.ones(len(xy)) if labels is None else np.asarray(labels).ravel()
    if len(signs) != len(xy) or not np.isin(signs, (0, 1)).all():
        raise InfosamError(
            f"Give one label, 0 or 1, for each of the {len(xy)} points, "
            f"not {signs.tolist()}."
        )
    corners = None
    if box is not None:
        values = _numbers(box, "A box").ravel()
        if values.size != 4:
            raise InfosamError(f"A box needs four numbers XYXY, not {values.size}.")
        corners = Box(*map(float, values))
    return PromptSet(
        tuple(
            Point(float(x), float(y), bool(sign))
            for (x, y), sign in zip(xy, signs, strict=True)
        ),
        corners,
    )
