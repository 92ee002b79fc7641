from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from napari_infosam.core.masks import encode_rle, iter_objects
from napari_infosam.models import EmbeddingCache, SamModel, load_model
from napari_infosam.models.student import (
    STUDENT_FILE,
    StudentSpec,
    build_student,
    save_student,
)
from napari_infosam.project import Project, VersionRecord
from napari_infosam.project.versions import JUDGED_ON_IMAGES
from napari_infosam.synthetic import SyntheticImage, make_set
from napari_infosam.training import run as run_module
from napari_infosam.training.batches import Group
from napari_infosam.training.dataset import Sample
from napari_infosam.training.features import FrozenFeatures

from .versions import figures

if TYPE_CHECKING:
    import numpy as np


def as_sample(picture: np.ndarray, masks: Sequence[np.ndarray], name: str) -> Sample:
    return Sample(name, picture, tuple(encode_rle(mask) for mask in masks))


@pytest.fixture(scope="session")
def base() -> SamModel:
    """Return the bundled model; never changed."""
    return load_model("vit_t", "cpu")


@pytest.fixture(scope="session")
def cells() -> list[SyntheticImage]:
    return make_set(4, seed=3)


@pytest.fixture(scope="session")
def samples(cells: list[SyntheticImage]) -> list[Sample]:
    """Return four images with three or more cells each."""
    return [
        as_sample(c.image, [mask for _, mask in iter_objects(c.labels)], c.name)
        for c in cells
    ]


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> EmbeddingCache:
    """Return a cache for all tests, so that an image is embedded once."""
    return EmbeddingCache(tmp_path_factory.mktemp("embeddings"))


@pytest.fixture(scope="session")
def frozen(base: SamModel, cache: EmbeddingCache) -> FrozenFeatures:
    """Return the features for decoder students."""
    return FrozenFeatures(base, cache, None)


@pytest.fixture
def project_of(
    cells: list[SyntheticImage], tmp_path: Path
) -> Callable[[Sequence[int]], Project]:
    """Return a function that makes a project with so many objects on each image."""

    def make(counts: Sequence[int], name: str = "cells") -> Project:
        project = Project.create(tmp_path / name)
        for cell, count in zip(cells, counts, strict=False):
            image = project.add_image(cell.image, cell.name)
            masks = [mask for _, mask in iter_objects(cell.labels)]
            for mask in masks[:count]:
                project.commit(image.id, mask)
        return project

    return make


@pytest.fixture(scope="session")
def adapted(base: SamModel, cache: EmbeddingCache) -> FrozenFeatures:
    """Return the features for students whose encoder is tuned."""
    return FrozenFeatures(base, cache, 2)


@pytest.fixture(scope="session")
def groups(samples: list[Sample]) -> list[Group]:
    """Return three groups of different images, of 2, 1 and 2 objects."""
    return [
        Group(samples[0], (0, 1)),
        Group(samples[1], (2,)),
        Group(samples[2], (1, 0)),
    ]


@pytest.fixture
def frugal(base, cache, monkeypatch):
    """Share model and embeddings with the other tests, and click less."""
    monkeypatch.setattr(run_module, "GATE_CLICKS", 3)
    monkeypatch.setattr(run_module, "load_model", lambda *_: base)
    monkeypatch.setattr(run_module, "EmbeddingCache", lambda *_: cache)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def add_student(base):
    """Return a function that adds a version, active, and returns its weights."""

    def add(
        project: Project,
        method: str = "decoder",
        shift: float = 0.0,
        *,
        judged_on_images: bool = True,
        status: str = "active",
        parent: str = "base",
        gained: float | None = None,
        **changes: object,
    ) -> Path:
        """Add a student whose weights are all a little beside those of the base."""
        spec = StudentSpec.of(base, method).model_copy(update=changes)
        student, trained = build_student(base.sam, spec)
        with torch.no_grad():
            for parameter in trained:
                parameter += shift
        version_id = project.reserve_version()
        path = project.version_dir(version_id) / STUDENT_FILE
        save_student(student, path, spec)
        project.add_version(
            VersionRecord(
                id=version_id,
                parent=parent,
                method=method,
                stage="quick",
                options={},
                data_hash="",
                metrics={JUDGED_ON_IMAGES: judged_on_images} | figures(gained),
                status=status,
                reason="",
            )
        )
        return path

    return add
