"""What is expensive, once for an image: its embedding, from the cache or the model."""

from __future__ import annotations

from threading import RLock
from typing import TYPE_CHECKING, Any, overload

from napari_infosam.core.errors import InfosamError
from napari_infosam.core.huge_image import HugeImage
from napari_infosam.core.preprocess import Preprocessing, to_rgb_uint8
from napari_infosam.models.embeddings import EmbeddingCache
from napari_infosam.models.prediction import ImageEmbedding, embedding_key
from napari_infosam.models.tiles import TiledEmbedding

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_infosam.models.sam_model import SamModel


class Embedder:
    """Embeds images with a model, and knows the image that was set last.

    Safe to use from several threads.

    Parameters
    ----------
    model
        The model whose encoder is asked.
    cache
        Where embeddings are kept; by default a small one in memory.
    """

    def __init__(self, model: SamModel, cache: EmbeddingCache | None = None) -> None:
        self._model = model
        self._cache = cache or EmbeddingCache()
        self._embedding: ImageEmbedding | TiledEmbedding | None = None
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

    @overload
    def embed(
        self, image: NDArray[Any], preprocessing: Preprocessing | None = ...
    ) -> ImageEmbedding: ...

    @overload
    def embed(
        self, image: HugeImage, preprocessing: Preprocessing | None = ...
    ) -> TiledEmbedding: ...

    def embed(
        self,
        image: NDArray[Any] | HugeImage,
        preprocessing: Preprocessing | None = None,
    ) -> ImageEmbedding | TiledEmbedding:
        """Return the embedding of an image, from the cache if it is there.

        Takes from 0.3 s (``vit_t``) to half a minute (``vit_h`` on a CPU).

        Parameters
        ----------
        image
            ``(Y, X)`` or ``(Y, X, C)`` of any dtype; see `to_rgb_uint8`. Of a huge
            image the tiles are embedded later, when prompts lie in them.
        preprocessing
            How intensities become RGB uint8; a huge image has its own.
        """
        if isinstance(image, HugeImage):
            return TiledEmbedding(image, self._model.encoder_hash)
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
        self,
        image: NDArray[Any] | HugeImage,
        preprocessing: Preprocessing | None = None,
    ) -> None:
        """Embed an image and let the following predictions be about it."""
        self._embedding = self.embed(image, preprocessing)

    def _require(
        self, embedding: ImageEmbedding | TiledEmbedding | None
    ) -> ImageEmbedding | TiledEmbedding:
        """Return the embedding if the model can use it."""
        embedding = embedding or self._embedding
        if embedding is None:
            raise InfosamError("Choose an image first: set_image has not been called.")
        model = self._model
        if embedding.encoder_hash != model.encoder_hash:
            raise InfosamError(
                "This embedding belongs to another encoder than that of "
                f"{model.name} {model.version}: embed the image again."
            )
        return embedding
