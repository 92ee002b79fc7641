"""What the frozen part of the encoder says of each image, computed once for a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from napari_infosam.models.encoder_parts import early_features, late_embedding
from napari_infosam.models.peft.hq import with_early
from napari_infosam.models.prediction import ImageEmbedding, embedding_key

if TYPE_CHECKING:
    from napari_infosam.models.embeddings import EmbeddingCache
    from napari_infosam.models.sam_model import SamModel
    from napari_infosam.training.dataset import Sample


class FrozenFeatures:
    """Embeddings of the frozen base, which is the teacher too, and early features.

    Parameters
    ----------
    base
        The base model.
    cache
        Where both are kept.
    first_block
        First block that the student may change; None if its encoder stays frozen.
    """

    def __init__(
        self, base: SamModel, cache: EmbeddingCache, first_block: int | None
    ) -> None:
        self.base = base
        self.first_block = first_block
        self._cache = cache

    def prepare(self, sample: Sample) -> None:
        """Compute what is missing for a sample; one pass through the encoder."""
        key = embedding_key(sample.picture, self.base.encoder_hash)
        known = self._cache.get(key) is not None
        early_key = self._early_key(key)
        if known and (early_key is None or self._cache.get(early_key) is not None):
            return
        if self.first_block is None or early_key is None:
            self._cache.put(key, self.base.encode(sample.picture))
            return
        encoder = self.base.sam.image_encoder
        with torch.inference_mode(), self.base.autocast():
            x = self.base.encoder_input(sample.picture)
            early = early_features(encoder, x, self.first_block)
            embedding = late_embedding(encoder, early, self.first_block)
        self._cache.put(key, embedding.half())
        self._cache.put(early_key, early.half())

    def embedding(self, sample: Sample) -> Tensor:
        """Return the base's ``(1, 256, 64, 64)`` float32 embedding."""
        key = embedding_key(sample.picture, self.base.encoder_hash)
        return self._get(key, sample)

    def early(self, sample: Sample) -> Tensor:
        """Return the float32 features below the cut, one row."""
        key = self._early_key(embedding_key(sample.picture, self.base.encoder_hash))
        if key is None:
            raise ValueError("a frozen encoder has no early features")
        return self._get(key, sample)

    def image_embedding(
        self, sample: Sample, student: SamModel | None = None
    ) -> ImageEmbedding:
        """Return the embedding a predictor takes, of the base or of a student.

        Parameters
        ----------
        sample
            The image.
        student
            A student of `base`; the base itself if None.
        """
        key = embedding_key(sample.picture, self.base.encoder_hash)
        encoder_hash = (student or self.base).encoder_hash
        prepared = self.base.published_input
        if student is not None and student.published_input != prepared:
            features = student.encode(sample.picture)
        elif student is None or encoder_hash == self.base.encoder_hash:
            features = self.embedding(sample)
        else:
            if self.first_block is None:
                raise ValueError("the student's encoder has no early features")
            early = self.early(sample)
            with torch.inference_mode(), student.autocast():
                if student.has_hq_head:
                    features = with_early(self.embedding(sample), early)
                else:
                    features = late_embedding(
                        student.sam.image_encoder, early, self.first_block
                    )
        return ImageEmbedding(
            features.half().cpu(), sample.shape, key + encoder_hash, encoder_hash
        )

    def _get(self, key: str, sample: Sample) -> Tensor:
        value = self._cache.get(key)
        if value is None:
            self.prepare(sample)
            value = self._cache.get(key)
        if value is None:
            raise RuntimeError("an entry was dropped from memory as it was made")
        # a copy, since tensors made in inference mode can not take part in training
        return value.to(self.base.device, copy=True).float()

    def _early_key(self, key: str) -> str | None:
        return None if self.first_block is None else f"{key}-early{self.first_block}"
