"""How time and memory grow with image side, objects and images; all data generated."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import count as count_from
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from napari_infosam.bench.speed.measure import describe_machine, load, peak_memory
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
"""Of each work; the shortest counts, since whatever else runs only adds."""

_SIDE, _RADIUS = 256, 6

Work: TypeAlias = Callable[[], object]
Say: TypeAlias = Callable[[str], object]


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
    sizes: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    mebibytes: list[float] = field(default_factory=list)

    def exponent(self) -> float | None:
        """Return the power by which the time grew over the last step of the size."""
        if len(self.sizes) < 2:
            return None
        (small, large), (before, after) = self.sizes[-2:], self.seconds[-2:]
        return float(np.log(after / before) / np.log(large / small))


class Curves:
    """Curves by series and work."""

    def __init__(self) -> None:
        self.curves: dict[tuple[str, str], Curve] = {}

    def measure(
        self, series: str, size: int, works: dict[str, Work], flat: Sequence[str] = ()
    ) -> None:
        """Add a point to the curve of each work."""
        for name, work in works.items():
            key = series, name
            curve = self.curves.setdefault(key, Curve(series, name, name in flat))
            with peak_memory() as peak:
                seconds = [_timed(work) for _ in range(REPETITIONS)]
            curve.sizes.append(size)
            curve.seconds.append(min(seconds))
            curve.mebibytes.append(peak.mebibytes)


def _timed(work: Work) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


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
    curves = Curves()
    image_sides(curves, load_model("vit_t", "cpu"), SIDES, on_point)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        objects_of_one_image(curves, root, _up_to(OBJECTS_OF_ONE, most), on_point)
        images_of_a_project(curves, root, _up_to(IMAGES, most), on_point)
        objects_of_a_project(curves, root, _up_to(OBJECTS, most), on_point)
    machine["load_after"] = load()
    return {"machine": machine, "curves": [asdict(c) for c in curves.curves.values()]}


def _up_to(sizes: Sequence[int], most: int) -> list[int]:
    return [size for size in sizes if size <= most]


def image_sides(
    curves: Curves, model: SamModel, sides: Sequence[int], on_point: Say
) -> None:
    """Embed and click in square images of so many pixels a side."""
    click = PromptSet((Point(10.0, 10.0),))
    rng = np.random.default_rng(0)
    for side in sides:
        on_point(f"Image of {side} x {side}")
        image = rng.integers(0, 255, (side, side, 3), np.uint8)
        predictor = _embed(model, image)
        works: dict[str, Work] = {
            "set_image": partial(_embed, model, image),
            "click": partial(predictor.answer, click),
        }
        curves.measure("pixels of an image", side * side, works)


def _embed(model: SamModel, image: NDArray[np.uint8]) -> Predictor:
    predictor = Predictor(model, EmbeddingCache())
    predictor.set_image(image)
    return predictor


def objects_of_one_image(
    curves: Curves, root: Path, counts: Sequence[int], on_point: Say
) -> None:
    """Fill one image with objects."""
    masks = discs(np.random.default_rng(0))
    with Project.create(root / "one") as project:
        image = project.add_image(_image(0), "one").id
        for before, count in pairwise([0, *counts]):
            on_point(f"{count} objects of one image")
            project.commit_many(image, islice(masks, count - before))
            works: dict[str, Work] = {
                "commit and undo": lambda: (
                    project.commit(image, next(masks)),
                    project.undo(),
                ),
                "list": lambda: project.summaries(image),
                "read": lambda: project.objects(image),
                "label image": lambda: project.label_image(image),
            }
            curves.measure("objects of one image", count, works, ["commit and undo"])


def images_of_a_project(
    curves: Curves, root: Path, counts: Sequence[int], on_point: Say
) -> None:
    """Add images, each with an object."""
    masks, number = discs(np.random.default_rng(1)), count_from(0)
    with Project.create(root / "many") as project:

        def add() -> int:
            n = next(number)
            return project.add_image(_image(n, 32), f"{n}").id

        def add_and_commit() -> None:
            project.commit(add(), next(masks)[:32, :32] | _corner())

        for before, count in pairwise([0, *counts]):
            on_point(f"{count} images of a project")
            for _ in range(count - before - REPETITIONS):
                add()
            works: dict[str, Work] = {
                "add, commit": add_and_commit,
                "list": project.images,
                "open": lambda: Project.open(project.path, lock=False).close(),
            }
            flat = ["add, commit"]
            curves.measure("images of a project", count, works, flat)


def objects_of_a_project(
    curves: Curves, root: Path, counts: Sequence[int], on_point: Say
) -> None:
    """Accept objects, a hundred an image."""
    masks = discs(np.random.default_rng(2))
    with Project.create(root / "objects") as project:
        image = first = project.add_image(_image(0), "0").id
        exported = count_from(0)
        for before, count in pairwise([0, *counts]):
            on_point(f"{count} objects of a project")
            left = count - before
            while left:
                if not project.n_objects() % OBJECTS_PER_IMAGE:
                    n = project.n_objects() // OBJECTS_PER_IMAGE
                    image = project.add_image(_image(n), f"{n}").id
                room = OBJECTS_PER_IMAGE - project.n_objects() % OBJECTS_PER_IMAGE
                some = min(room, left)
                project.commit_many(image, islice(masks, some))
                left -= some
            works: dict[str, Work] = {
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
                    project, "coco", root / f"coco{next(exported)}"
                ),
            }
            flat = ["commit and undo", "list an image", "label image", "open"]
            curves.measure("objects of a project", count, works, flat)


def discs(rng: np.random.Generator) -> Iterator[NDArray[np.bool_]]:
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
