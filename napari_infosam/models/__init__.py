"""Segment Anything models: loading, embedding images, answering prompts."""

from __future__ import annotations

from napari_infosam.models.embeddings import EmbeddingCache
from napari_infosam.models.loading import load_model, load_version
from napari_infosam.models.predictor import ImageEmbedding, Prediction, Predictor
from napari_infosam.models.sam_model import SamModel
from napari_infosam.models.tiles import TiledEmbedding

__all__ = [
    "EmbeddingCache",
    "ImageEmbedding",
    "Prediction",
    "Predictor",
    "SamModel",
    "TiledEmbedding",
    "load_model",
    "load_version",
]
