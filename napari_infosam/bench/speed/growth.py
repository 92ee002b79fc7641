"""How time and memory grow with image side, objects and images; all data generated."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from itertools import count as count_from
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from napari_infosam.bench.speed.measure import (
    Work,
    alternate,
    describe_machine,
    load,
    peak_memory,
)
from napari_infosam.core.prompts import Point, PromptSet
from napari_infosam.models import EmbeddingCache, Predictor, SamModel, load_model
from napari_infosam.project import Project
from napari_infosam.project.formats.export import export_project

SIDES = (1024, 2048, 4096, 8192)
OBJECTS_OF_ONE = (1, 10, 100, 1000)
IMAGES = (10, 100, 1000, 10_000)
OBJECTS = (10, 100, 1000, 10_000, 50_000)
OBJECTS_PER_IMAGE = 100
"""Where the number of all objects grows, and with it that of the images."""

REPETITIONS = 5
"""Of each work, all sizes in turn; the shortest counts: what else runs only adds."""

_SIDE, _RADIUS = 256, 6

Say: TypeAlias = Callable[[str], object]
Masks: TypeAlias = Iterator[NDArray[np.bool_]]


@dataclass
class Curve:
    """One work at growing size.

    Attributes
    ----------
    series
        What grows.
    work
        What was timed.
    flat
        Whether it concerns one object or picture, so that it should not grow at all;
        otherwise it concerns all of them, and may grow with their number.
    sizes, seconds, mebibytes
        Of each point; the memory is the highest above that before.
    """

    series: str
    work: str
    flat: bool
    sizes: list[int]
    seconds: list[float]
    mebibytes: list[float]

    def exponent(self) -> float | None:
        """Return the power by which the time grew over the last two steps."""
        if len(self.sizes) < 2:
            return None
        points = list(zip(self.sizes, self.seconds, strict=True))
        (small, before), (large, after) = points[-3:][0], points[-1]
        return float(np.log(after / before) / np.log(large / small))


def curves(
    series: str, works: Mapping[int, Mapping[str, Work]], flat: Sequence[str] = ()
) -> list[Curve]:
    """Measure works of several sizes, and return the curve of each.

    Parameters
    ----------
    series
        What grows.
    works
        By size and name. All sizes take turns, so that whatever else the machine does
        meanwhile, it does to all of them.
    flat
        Names of works that should not grow.
    """
    by_point = {(n, size): work for size in works for n, work in works[size].items()}
    peaks = {}
    for point, work in by_point.items():
        with peak_memory() as peak:
            work()
        peaks[point] = peak.mebibytes
    seconds = alternate(by_point, REPETITIONS)
    return [
        Curve(
            series,
            name,
            name in flat,
            sizes=list(works),
            seconds=[min(seconds[name, size]) for size in works],
            mebibytes=[peaks[name, size] for size in works],
        )
        for name in dict.fromkeys(name for name, _size in by_point)
    ]


def measure_growth(most: int, on_point: Say = lambda _line: None) -> dict[str, Any]:
    """Measure all series, and return what `curves.write` writes.

    Parameters
    ----------
    most
        Images or objects at most.
    on_point
        Told about each size.
    """
    machine = describe_machine()
    found = image_sides(load_model("vit_t", "cpu"), SIDES, on_point)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        found += objects_of_one_image(root, _up_to(OBJECTS_OF_ONE, most), on_point)
        found += images_of_a_project(root, _up_to(IMAGES, most), on_point)
        found += objects_of_a_project(root, _up_to(OBJECTS, most), on_point)
    machine["load_after"] = load()
    return {"machine": machine, "curves": [asdict(curve) for curve in found]}


def _up_to(sizes: Sequence[int], most: int) -> list[int]:
    return [size for size in sizes if size <= most]


def image_sides(model: SamModel, sides: Sequence[int], on_point: Say) -> list[Curve]:
    """Embed and click in square images of so many pixels a side."""
    rng = np.random.default_rng(0)
    works = {}
    for side in sides:
        on_point(f"Image of {side} x {side}")
        image = rng.integers(0, 255, (side, side, 3), np.uint8)
        works[side * side] = _of_an_image(model, image)
    return curves("pixels of an image", works)


def _of_an_image(model: SamModel, image: NDArray[np.uint8]) -> dict[str, Work]:
    predictor = _embed(model, image)
    click = PromptSet((Point(10.0, 10.0),))
    return {
        "set_image": partial(_embed, model, image),
        "click": partial(predictor.answer, click),
    }


def _embed(model: SamModel, image: NDArray[np.uint8]) -> Predictor:
    predictor = Predictor(model, EmbeddingCache())
    predictor.set_image(image)
    return predictor


def _projects(
    series: str,
    fill: Callable[[Project, int], dict[str, Work]],
    flat: Sequence[str],
    root: Path,
    counts: Sequence[int],
    on_point: Say,
) -> list[Curve]:
    """Measure the works on a project of each size; ``fill`` fills it and names them."""
    works = {}
    with ExitStack() as open_projects:
        for count in counts:
            on_point(f"{count} {series}")
            made = Project.create(root / f"{series} {count}")
            works[count] = fill(open_projects.enter_context(made), count)
        return curves(series, works, flat)


def objects_of_one_image(
    root: Path, counts: Sequence[int], on_point: Say
) -> list[Curve]:
    """Fill one image of each project with so many objects."""
    name, flat = "objects of one image", ["commit and undo"]
    return _projects(name, _of_one_image, flat, root, counts, on_point)


def _of_one_image(project: Project, count: int) -> dict[str, Work]:
    masks = discs(np.random.default_rng(0))
    image = project.add_image(_image(0), "one").id
    project.commit_many(image, islice(masks, count))
    return {
        "commit and undo": lambda: (
            project.commit(image, next(masks)),
            project.undo(),
        ),
        "list": lambda: project.summaries(image),
        "read": lambda: project.objects(image),
        "label image": lambda: project.label_image(image),
    }


def images_of_a_project(
    root: Path, counts: Sequence[int], on_point: Say
) -> list[Curve]:
    """Add so many images to each project; those that are timed have an object."""
    name, flat = "images of a project", ["add, commit", "open"]
    return _projects(name, _of_many_images, flat, root, counts, on_point)


def _of_many_images(project: Project, count: int) -> dict[str, Work]:
    masks = discs(np.random.default_rng(1))
    number = count_from(0)

    def add() -> int:
        n = next(number)
        return project.add_image(_image(n, 32), f"{n}").id

    def add_and_commit() -> None:
        project.commit(add(), next(masks)[:32, :32] | _corner())

    for _ in range(count):
        add()
    return {
        "add, commit": add_and_commit,
        "list": project.images,
        "open": lambda: Project.open(project.path, lock=False).close(),
    }


def objects_of_a_project(
    root: Path, counts: Sequence[int], on_point: Say
) -> list[Curve]:
    """Accept so many objects in each project, a hundred an image."""
    flat = ["commit and undo", "list an image", "label image", "open"]
    name = "objects of a project"
    return _projects(name, _of_many_objects, flat, root, counts, on_point)


def _of_many_objects(project: Project, count: int) -> dict[str, Work]:
    masks = discs(np.random.default_rng(2))
    for before in range(0, count, OBJECTS_PER_IMAGE):
        n = before // OBJECTS_PER_IMAGE
        image = project.add_image(_image(n), f"{n}").id
        project.commit_many(
            image, islice(masks, min(OBJECTS_PER_IMAGE, count - before))
        )
    first, exported = project.images()[0].id, count_from(0)
    return {
        "commit and undo": lambda: (
            project.commit(first, next(masks)),
            project.undo(),
        ),
        "list an image": lambda: project.summaries(first),
        "label image": lambda: project.label_image(first),
        "open": lambda: Project.open(project.path, lock=False).close(),
        "read all": project.objects,
        "hash for training": project.data_hash,
        "export as COCO": lambda: export_project(
            project, "coco", project.path.parent / f"coco{count}-{next(exported)}"
        ),
    }


def discs(rng: np.random.Generator) -> Masks:
    """Yield ``(256, 256)`` masks, each a small disc."""
    y, x = np.ogrid[:_SIDE, :_SIDE]
    while True:
        row, column = rng.integers(_RADIUS, _SIDE - _RADIUS, 2)
        yield (y - row) ** 2 + (x - column) ** 2 <= _RADIUS**2


def _corner() -> NDArray[np.bool_]:
    """Return a mask of one pixel, so that none is empty."""
    mask = np.zeros((32, 32), bool)
    mask[0, 0] = True
    return mask


def _image(number: int, side: int = _SIDE) -> NDArray[np.uint8]:
    """Return an image that differs from those of other numbers."""
    image = np.zeros((side, side), np.uint8)
    image[0, :4] = np.frombuffer(number.to_bytes(4, "little"), np.uint8)
    image[1:] = 128
    return image
