"""The model behind the window: loads, embeds and answers, one thing at a time.

Everything slow goes through an executor; what comes back late, after the image or the
model has changed, is dropped.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from numpy.typing import NDArray
from psygnal import Signal

from napari_infosam._napari.last_answer import LastAnswer
from napari_infosam._napari.object_in_work import Answer
from napari_infosam._napari.safe_import import prepare_torch
from napari_infosam.core.cores import FreeCores

if TYPE_CHECKING:
    from napari_infosam._napari.image_source import ImageSource
    from napari_infosam._napari.object_in_work import ObjectInWork
    from napari_infosam._napari.voice import Voice
    from napari_infosam.core.huge_image import HugeImage
    from napari_infosam.models import (
        EmbeddingCache,
        ImageEmbedding,
        Predictor,
        SamModel,
        TiledEmbedding,
    )
    from napari_infosam.project import Project

logger = logging.getLogger(__name__)

T = TypeVar("T")


class Executor(Protocol):
    """Runs work in the background and hands its result back to the caller's thread."""

    def submit(
        self,
        work: Callable[[], T],
        done: Callable[[T], None],
        failed: Callable[[Exception], None],
    ) -> None:
        """Queue ``work``; then call ``done`` or ``failed`` in the caller's thread."""

    def post(self, callback: Callable[[], None]) -> None:
        """Call back in the caller's thread; may be called from the work."""

    def close(self) -> None:
        """Take no more work and hand nothing back any more."""


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """Which model is to answer: a base model, or a version of a project."""

    name: str
    device: str = "auto"
    version: str = "base"
    project: Project | None = None
    """The project of a version; None for a base model."""


class Engine:
    """Keeps one model and the embedding of one image, and answers prompts.

    Parameters
    ----------
    executor
        Where loading, embedding and answering run.
    voice
        Tells the person what went wrong.
    between_objects
        Says whether no object is in work; only then is a model exchanged.
    is_training
        Says whether a training process works beside, and is not held; each then takes
        half the cores.
        Otherwise it takes those that other programs leave free.

    Attributes
    ----------
    last
        What was answered last: asked for the same again, it is there at once.
    """

    changed = Signal()
    """The activity, the model or the readiness is another one."""
    load_failed = Signal(object)
    """The request of a model that could not be loaded."""
    asked = Signal()
    """Prompts are about to be answered."""
    answered = Signal()
    """There is a new answer to the prompts of the object in work."""

    def __init__(
        self,
        executor: Executor,
        voice: Voice,
        between_objects: Callable[[], bool],
        is_training: Callable[[], bool],
    ) -> None:
        self._executor = executor
        self._voice = voice
        self._between_objects = between_objects
        self._is_training = is_training
        self._free_cores = FreeCores()
        self._cache: EmbeddingCache | None = None
        self._cache_dir: Path | None = None
        self._predictor: Predictor | None = None
        self.answers_to: ModelRequest | None = None
        self._next: tuple[ModelRequest, Predictor] | None = None
        self._request: ModelRequest | None = None
        self._base: SamModel | None = None
        self._base_of: tuple[str, str] | None = None
        self._cancel = Event()
        self._loading = ""
        self._source: ImageSource | None = None
        self._embedding: ImageEmbedding | TiledEmbedding | None = None
        self._embedding_of: tuple[ImageSource, Predictor] | None = None
        self._work: ObjectInWork | None = None
        self._asking = False
        self._is_read = False
        self.last = LastAnswer()
        self.pixels: NDArray[Any] | HugeImage | None = None
        self.load_error = ""

    # ------------------------------------------------------------------ state
    @property
    def model(self) -> SamModel | None:
        """The model that answers."""
        return self._predictor.model if self._predictor else None

    @property
    def predictor(self) -> Predictor | None:
        """What answers, for work on this engine's executor."""
        return self._predictor

    @property
    def next_version(self) -> str:
        """The version that waits for the object in work to be finished, or ''."""
        return self._next[0].version if self._next else ""

    @property
    def is_ready(self) -> bool:
        """Whether a prompt would be answered at once."""
        return self._embedding is not None

    @property
    def embedding(self) -> ImageEmbedding | TiledEmbedding | None:
        """The embedding of the picture by the model that answers, once it is there."""
        return self._embedding

    @property
    def loading(self) -> str:
        """Which model is being loaded, in words; '' when none is."""
        return self._loading

    def pixels_of(self, source: ImageSource | None) -> NDArray[Any] | HugeImage | None:
        """Return the pixels of a picture; None before they are read, or of another."""
        return self.pixels if source is self._source else None

    @property
    def activity(self) -> str:
        """What keeps a prompt from being answered at once; '' when nothing does."""
        if self._loading and self._predictor is None:
            return self._loading
        to_come = self.pixels is None or self._predictor is None
        begun = self._embedding_of or (self._is_read and to_come)
        if self._source and begun and not self.is_ready and not self.load_error:
            return f"Looking at {self._source.name} …"
        return ""

    # ------------------------------------------------------------------ model
    def load(self, request: ModelRequest) -> None:
        """Load a model; it answers as soon as no object is in work."""
        self._cancel.set()
        cancel = self._cancel = Event()
        self._request, self._next = request, None
        self.load_error = self._loading = ""
        if self._predictor is not None and self.answers_to == request:
            self.changed.emit()
            return
        self._loading = f"Loading {_title(request)} …"

        def on_progress(done: int, total: int) -> None:
            text = f"Downloading {request.name}: {done >> 20} of {total >> 20} MB"
            self._executor.post(lambda: self._show_progress(request, text))

        def work() -> Predictor:
            return self._build(request, on_progress, cancel.is_set)

        def done(predictor: Predictor) -> None:
            if request is self._request:
                self._loading = ""
                self._next = (request, predictor)
                self.swap()

        def failed(error: Exception) -> None:
            if request is self._request:
                self._loading = ""
                self.load_error = self._voice.report(
                    error, f"loading {_title(request)}"
                )
                self.load_failed.emit(request)
                self.changed.emit()

        self._executor.submit(work, done, failed)
        self.changed.emit()

    def cancel_loading(self) -> None:
        """Stop a download; what is there already is kept for the next time."""
        self._cancel.set()

    def swap(self) -> None:
        """Let the model that was loaded last answer, if no object is in work."""
        in_work = self._predictor is not None and not self._between_objects()
        if self._next is None or in_work:
            self.changed.emit()
            return
        old = self.model
        self.answers_to, self._predictor = self._next
        self._next = None
        if self._work is not None:
            self._work.forget_answers()  # the same click may be answered better now
        if old is None or old.encoder_hash != self._predictor.model.encoder_hash:
            self._embedding = None
        self._embed()
        self.changed.emit()

    def _build(
        self,
        request: ModelRequest,
        on_progress: Callable[[int, int], None],
        cancelled: Callable[[], bool],
    ) -> Predictor:
        """Return a predictor; runs on the worker, where torch may be imported."""
        prepare_torch()
        from napari_infosam.models import (
            EmbeddingCache,
            Predictor,
            load_model,
            load_version,
        )

        if self._base is None or self._base_of != (request.name, request.device):
            self._base = load_model(
                request.name,
                request.device,
                on_progress=on_progress,
                cancelled=cancelled,
            )
            self._base_of = (request.name, request.device)
            # what importing left behind: here, and not in the midst of the first clicks
            gc.collect()
        model = self._base
        if request.project is not None:
            model = load_version(request.project, request.version, base=model)
        if self._cache is None:
            self._cache = EmbeddingCache(self._cache_dir)
        _ = model.encoder_hash  # hashed here: seconds for the largest models
        return Predictor(model, self._cache, leave_out_specks=True)

    def _take_cores(self) -> None:
        """Choose the number of threads; runs on the worker, and holds there."""
        from napari_infosam.models.threads import set_threads

        set_threads(self._free_cores.to_use(training=self._is_training()))

    def now(self) -> tuple[Predictor, ImageEmbedding | TiledEmbedding] | None:
        """Return what answers, and what it looks at; None while that is not ready."""
        if self._predictor is None or self._embedding is None:
            return None
        return self._predictor, self._embedding

    def beside(self) -> tuple[Predictor, Predictor] | None:
        """Return predictors of the base and of the model that answers.

        They are for another thread than the one that answers clicks, and share its
        embeddings. None while there is no such model, or another one is being loaded.
        """
        if self._predictor is None or self._base is None or self._loading:
            return None
        request = self.answers_to
        if request is None or self._base_of != (request.name, request.device):
            return None
        predictor = self._predictor
        return predictor.beside(self._base), predictor.beside(predictor.model)

    def keep_embeddings_in(self, directory: Path | None) -> None:
        """Keep embeddings on disk from now on, the one in use among them."""
        self._cache_dir = directory
        cache, embedding = self._cache, self._embedding
        if cache is None:
            return
        cache.directory = directory
        features = None if embedding is None else embedding.features
        if directory is not None and embedding is not None and features is not None:
            self._executor.submit(
                lambda: cache.put(embedding.key, features),
                lambda _: None,
                lambda error: logger.warning("Embedding not kept", exc_info=error),
            )

    def _show_progress(self, request: ModelRequest, text: str) -> None:
        if request is self._request and self._loading:
            self._loading = text
            self.changed.emit()

    # ------------------------------------------------------------------ image
    def show(self, source: ImageSource | None) -> None:
        """Read another image, and embed it as soon as there is a model."""
        self._source, self._embedding, self._embedding_of = source, None, None
        self.pixels, self._is_read = None, False
        self.last.forget()
        self._read()
        self.changed.emit()

    def _read(self) -> None:
        source = self._source
        if source is None or self._is_read:
            return
        self._is_read = True

        def done(pixels: NDArray[Any] | HugeImage) -> None:
            if source is self._source:
                self.pixels = pixels
                self.changed.emit()
                self._embed()

        def failed(error: Exception) -> None:
            if source is self._source:
                self._is_read = False  # the next prompt tries again
                self._voice.report(error, f"reading {source.name}")
                self.changed.emit()

        self._executor.submit(source.read, done, failed)

    def _embed(self) -> None:
        source, predictor, pixels = self._source, self._predictor, self.pixels
        if source is None or predictor is None or pixels is None:
            return
        if self._embedding is not None or self._embedding_of == (source, predictor):
            return
        token = self._embedding_of = (source, predictor)

        def work() -> ImageEmbedding | TiledEmbedding:
            return predictor.embed(pixels, source.preprocessing)

        def done(embedding: ImageEmbedding | TiledEmbedding) -> None:
            if token is self._embedding_of:
                self._embedding = embedding
                self.changed.emit()
                self._ask()

        def failed(error: Exception) -> None:
            if token is self._embedding_of:
                self._embedding_of = None
                self._voice.report(error, f"looking at {source.name}")
                self.changed.emit()

        self._executor.submit(work, done, failed)

    # ---------------------------------------------------------------- prompts
    def ask(self, work: ObjectInWork) -> None:
        """Answer the prompts of an object, now or when the image is embedded."""
        self._work = work
        if work.prompts and self._embedding is None:
            self._read()  # what failed before is tried again
            self._embed()
        self._ask()

    def _ask(self) -> None:
        work, predictor, embedding = self._work, self._predictor, self._embedding
        if self._asking or work is None or predictor is None or embedding is None:
            return
        prompts, before = work.prompts, work.previous_answer()
        if not prompts or work.answer is not None:
            return
        self._asking = True
        self.asked.emit()
        previous = before.prediction if before else None
        version = predictor.model.version

        def answer() -> Answer:
            self._take_cores()
            refined = previous
            if refined is None:
                # of prompts that came back, each is answered as when it was placed
                *earlier, _ = prompts.steps()
                for placed in earlier:
                    refined = predictor.answer(placed, refined, embedding)
            found = self.last.answer(predictor, prompts, refined, embedding)
            return Answer(found, version)

        def done(answer: Answer) -> None:
            self._asking = False
            if predictor is self._predictor and embedding is self._embedding:
                work.remember(prompts, answer)
                if work is self._work:
                    self.answered.emit()
            self._ask()

        def failed(error: Exception) -> None:
            self._asking = False
            self._voice.report(error, "answering the prompts")
            if work is not self._work or work.prompts != prompts:
                self._ask()

        self._executor.submit(answer, done, failed)


def _title(request: ModelRequest) -> str:
    name = Path(request.name).name if "/" in request.name else request.name
    return name if request.version == "base" else f"{name} {request.version}"
