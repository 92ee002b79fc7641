"""Scenes of objects that overlap, have holes and parts, and lie at the border."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_infosam.core.masks import encode_rle
from napari_infosam.core.preprocess import Preprocessing
from napari_infosam.project import Project
from napari_infosam.project.formats.importing import Draft, write_draft
from napari_infosam.project.formats.items import Item, Picture
from napari_infosam.project.formats.polygons import outline
from napari_infosam.project.formats.targets import Target
from napari_infosam.project.objects import Origin

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_infosam.core.masks import BoolArray

SHAPE = (20, 30)
CLASSES = {"object": "#e69f00", "Kern: groß, 2": "#010203"}


def one_pixel() -> BoolArray:
    mask = np.zeros(SHAPE, np.bool_)
    mask[7, 11] = True
    return mask


def ring() -> BoolArray:
    """Return a square with a hole in which an island lies."""
    mask = np.zeros(SHAPE, np.bool_)
    mask[2:15, 3:16] = True
    mask[4:13, 5:14] = False
    mask[7:10, 8:11] = True
    return mask


def corners() -> BoolArray:
    """Return parts in all corners of the image, two of which touch in one point."""
    mask = np.zeros(SHAPE, np.bool_)
    mask[[0, 0, -1, -1], [0, -1, 0, -1]] = True
    mask[1, 1] = True
    return mask


def whole() -> BoolArray:
    return np.ones(SHAPE, np.bool_)


SCENE = (ring(), one_pixel(), corners(), whole())


def trace(mask: BoolArray) -> Any:
    """Return the outline of a mask."""
    return outline(encode_rle(mask), mask.shape)


def masks(side: int = 12) -> st.SearchStrategy[BoolArray]:
    """Return a strategy for one mask that is not empty, of any small size."""
    shapes = st.tuples(st.integers(1, side), st.integers(1, side))
    return shapes.flatmap(lambda shape: arrays(np.bool_, shape)).filter(np.any)


@st.composite
def pictures(draw: st.DrawFn, *, own_pixels: bool = False) -> Picture:
    """Draw a picture with objects; with ``own_pixels`` none lies on another."""
    shape = draw(st.tuples(st.integers(1, 12), st.integers(1, 12)))
    n = draw(st.integers(1, 4))
    if own_pixels:
        labels = draw(arrays(np.uint8, shape, elements=st.integers(0, n)))
        found = [labels == value for value in range(1, n + 1)]
    else:
        found = [draw(arrays(np.bool_, shape)) for _ in range(n)]
    ids = draw(st.lists(st.integers(1, 70_000), min_size=n, max_size=n, unique=True))
    items = tuple(
        Item.of_mask(
            mask,
            class_name=draw(st.sampled_from(sorted(CLASSES))),
            instance_id=number,
            score=draw(st.none() | st.floats(0, 1)),
            model_version=draw(st.sampled_from(["base", "v003", "import"])),
            reviewed=draw(st.booleans()),
        )
        for mask, number in zip(found, ids, strict=True)
        if mask.any()
    )
    return Picture("cells", "cells.png", shape, items)


class OneImage:
    """Stands for the images of a project: there is one, and it is always meant."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self.shape = shape

    def find(self, name: str, digest: str | None = None) -> Target:
        return Target(name, self.shape, "", lambda: np.zeros(self.shape, np.uint8))


def picture(seed: int = 0, shape: tuple[int, ...] = SHAPE) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 255, shape, np.uint8)


def origin(**values: Any) -> Origin:
    known = {
        "class_name": "object",
        "slice_index": (),
        "model_version": "base",
        "score": None,
        "reviewed": True,
    }
    return Origin(**(known | values))


def make_project(path: Path, *, overlaps: bool = True) -> Project:
    """Return a project of a grey, a deep and a colour image, with all kinds of objects.

    Without ``overlaps`` no object lies on another.
    """
    project = Project.create(path)
    grey = project.add_image(picture(0), "grey.png", source="/somewhere/grey.png")
    deep = project.add_image(
        picture(1).astype(np.uint16) * 200, "deep", preprocessing=Preprocessing(low=3)
    )
    colour = project.add_image(picture(2, (*SHAPE, 3)), "colour.v2.tif")
    project.add_image(picture(3), "not annotated.png")
    scene = list(SCENE)
    if not overlaps:
        scene = [mask & ~np.any(SCENE[:n], axis=0) for n, mask in enumerate(SCENE)]
        scene = [mask for mask in scene if mask.any()]
    named = "Kern: groß, 2"
    for name, colour_of_class in CLASSES.items():
        project.add_class(name, colour_of_class)
    project.commit_each(
        grey.id,
        (
            (
                mask,
                origin(
                    class_name=named if number % 2 else "object",
                    score=0.1 + 0.2 * number if number else None,
                    model_version=f"v00{number}" if number else "base",
                    instance_id=3 * number + 2,
                ),
            )
            for number, mask in enumerate(scene)
        ),
    )
    project.commit_many(deep.id, scene[:1])
    project.commit_many(colour.id, scene[:2], class_name=named)
    return project


def content(project: Project) -> dict[str, Any]:
    """Return what a project holds, apart from names of images and times."""
    return {
        image.content_hash: [Item.of_record(o) for o in project.objects(image.id)]
        for image in project.images()
        if project.objects(image.id)
    }


def import_draft(project: Project, draft: Draft) -> tuple[int, int]:
    """Return how many images and new objects an import brought."""
    report = write_draft(project, draft)
    return report.n_images, report.n_objects


def save_images(project: Project, folder: Path) -> Path:
    """Write the images of a project as a person may have them."""
    from skimage import io

    folder.mkdir()
    for image in project.images():
        name = Path(image.name).stem if image.name.endswith("png") else image.name
        suffix = "" if image.name.endswith("tif") else ".png"
        pixels = np.array(project.read_image(image.id))
        io.imsave(folder / f"{name}{suffix}", pixels, check_contrast=False)
    return folder
