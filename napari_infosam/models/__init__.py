"""Segment Anything models: loading, embedding images, answering prompts."""

from __future__ import annotations

from napari_infosam.core.small_masks import SmallMask
from napari_infosam.models.batch import Cancelled
from napari_infosam.models.embeddings import EmbeddingCache
from napari_infosam.models.huge_pages import use_huge_pages
from napari_infosam.models.loading import load_model, load_version
from napari_infosam.models.prediction import ImageEmbedding, Prediction
from napari_infosam.models.predictor import Predictor
from napari_infosam.models.sam_model import SamModel
from napari_infosam.models.tiles import TiledEmbedding

__all__ = [
    "Cancelled",
    "EmbeddingCache",
    "ImageEmbedding",
    "Prediction",
    "Predictor",
    "SamModel",
    "SmallMask",
    "TiledEmbedding",
    "load_model",
    "load_version",
]

use_huge_pages()
