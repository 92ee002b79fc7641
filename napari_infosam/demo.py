"""The whole loop without a window: label, fine-tune, and measure what it brought."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_infosam.core.clicks import next_click
from napari_infosam.core.cores import all_cores
from napari_infosam.core.errors import InfosamError
from napari_infosam.core.masks import encode_rle, iter_objects
from napari_infosam.core.metrics import iou
from napari_infosam.core.options import FinetuneOptions
from napari_infosam.core.prompts import PromptSet
from napari_infosam.synthetic import SyntheticImage, make_set

if TYPE_CHECKING:
    from napari_infosam.core.events import TrainingEvent
    from napari_infosam.models import Predictor
    from napari_infosam.project import ImageRecord, Project
    from napari_infosam.report import Example
    from napari_infosam.training.evaluate import Evaluation

PROJECT_NAME = "demo.infosam"
REPORT_NAME = "report.json"
PICTURE_NAME = "report.png"

PATIENCE = 6
"""Clicks after which the simulated annotator corrects the mask by hand."""

_CURVE_CLICKS = 10
_N_EXAMPLES = 4

OnProgress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is, and how much there is."""

OnEvent = Callable[["TrainingEvent"], None]


@dataclass(frozen=True, slots=True)
class DemoPlan:
    """How large a demo is.

    Attributes
    ----------
    seed
        Seed of the set and of the training.
    n_labelled, n_held_out
        Images to learn from, and images to measure on.
    finetune_seconds, finetune_epochs
        Bounds of the fine-tuning; a fast machine ends by the second.
    max_clicks
        Clicks on a held-out object at most, and what NoC85 counts for a failure.
    """

    seed: int = 0
    n_labelled: int = 10
    n_held_out: int = 6
    finetune_seconds: float = 100.0
    finetune_epochs: int = 5
    max_clicks: int = 20


@dataclass(frozen=True, slots=True)
class DemoReport:
    """What a demo came to; ``report.json`` holds the same.

    Attributes
    ----------
    seed, n_labelled_images, n_labelled_objects, n_held_out_images, n_held_out_objects
        The set: what was learnt from, and what was measured on.
    version, accepted, reason
        The student, and the gate's verdict on it.
    base, student
        ``iou_1``, ``iou_3``, ``iou_5``, ``iou_box`` and ``noc85`` of the held-out
        objects, before and after.
    fewer_clicks
        Share of the base's clicks (NoC85) that the student saves.
    seconds
        Wall-clock time of each part, and ``total``.
    project, picture
        Paths of the project and of the picture.
    """

    seed: int
    n_labelled_images: int
    n_labelled_objects: int
    n_held_out_images: int
    n_held_out_objects: int
    version: str
    accepted: bool
    reason: str
    base: dict[str, float]
    student: dict[str, float]
    fewer_clicks: float
    seconds: dict[str, float]
    project: str
    picture: str


def make_sample_project(out: Path, plan: DemoPlan | None = None) -> Path:
    """Make a project of the synthetic images in a folder, or find the one there.

    Returns
    -------
    pathlib.Path
        The project folder. Nothing in a new one is labelled yet.
    """
    from napari_infosam.project import Project
    from napari_infosam.project.files import make_folder

    plan = plan or DemoPlan()
    path = out / PROJECT_NAME
    if not path.exists():
        make_folder(out, "choose another one with --out")
        images = make_set(plan.n_labelled + plan.n_held_out, plan.seed)
        with Project.create(path) as project:
            _add_images(project, images)
    return path


def run_demo(
    out: Path,
    plan: DemoPlan | None = None,
    *,
    on_progress: OnProgress | None = None,
    on_event: OnEvent | None = None,
) -> DemoReport:
    """Run the loop on the synthetic set with a simulated annotator.

    Leaves the project ``demo.infosam``, ``report.json`` and ``report.png``.

    Parameters
    ----------
    out
        Folder for them; it is made where it is missing.
    plan
        How large the demo is.
    on_progress, on_event
        Told about labelling and measuring, and about the fine-tuning.

    Raises
    ------
    InfosamError
        If the folder holds a demo already, or can not be written to.
    """
    from napari_infosam.models import EmbeddingCache, Predictor, load_version
    from napari_infosam.project import Project
    from napari_infosam.project.files import make_folder
    from napari_infosam.training.job import finetune

    plan = plan or DemoPlan()
    tell = on_progress or _silent
    if (out / PROJECT_NAME).exists():
        raise InfosamError(
            f"There is a demo in {out} already: choose another folder with --out, or "
            "delete that one."
        )
    clock = _Clock()
    make_folder(out, "choose another one with --out")
    images = make_set(plan.n_labelled + plan.n_held_out, plan.seed)
    labelled, held_out = images[: plan.n_labelled], images[plan.n_labelled :]
    with Project.create(out / PROJECT_NAME) as project:
        records = _add_images(project, images)
        base = load_version(project, "base")
        cache = EmbeddingCache(project.cache_dir)
        with clock.part("label"):
            _label(project, Predictor(base, cache), records, labelled, tell)
        with clock.part("finetune"):
            options = FinetuneOptions(
                seed=plan.seed,
                threads=all_cores(),
                max_seconds=plan.finetune_seconds,
                max_epochs=plan.finetune_epochs,
            )
            version = finetune(project, options, on_event)
        with clock.part("measure"):
            student = load_version(project, version.id, base=base)
            before = _measure(Predictor(base, cache), held_out, plan, tell)
            after = _measure(Predictor(student, cache), held_out, plan, tell)
        with clock.part("report"):
            picture = out / PICTURE_NAME
            predictors = Predictor(base, cache), Predictor(student, cache)
            _draw(picture, predictors, held_out, before, after)
        n_objects = project.n_objects()
        path = project.path
    report = DemoReport(
        seed=plan.seed,
        n_labelled_images=len(labelled),
        n_labelled_objects=n_objects,
        n_held_out_images=len(held_out),
        n_held_out_objects=len(before.objects),
        version=version.id,
        accepted=version.status != "rejected",
        reason=version.reason,
        base=_figures(before),
        student=_figures(after),
        fewer_clicks=1 - after.noc(0.85) / before.noc(0.85),
        seconds=clock.seconds(),
        project=str(path),
        picture=str(picture),
    )
    text = json.dumps(asdict(report), indent=2)
    (out / REPORT_NAME).write_text(text + "\n", encoding="utf-8")
    return report


def _add_images(
    project: Project, images: Sequence[SyntheticImage]
) -> list[ImageRecord]:
    return [project.add_image(image.image, image.name) for image in images]


def _label(
    project: Project,
    predictor: Predictor,
    records: Sequence[ImageRecord],
    images: Sequence[SyntheticImage],
    tell: OnProgress,
) -> None:
    """Let the simulated annotator accept every object of the images."""
    from napari_infosam.training.annotator import annotate_object

    for done, (record, image) in enumerate(zip(records, images, strict=False)):
        tell("Labelling", done, len(images))
        embedding = predictor.embed(image.image)
        for _, mask in iter_objects(image.labels):
            steps = annotate_object(predictor, embedding, mask, patience=PATIENCE)
            project.commit(
                record.id,
                mask,
                prompts=steps[-1].prompts,
                score=steps[-1].answer.score,
                proposal_ious=[step.iou for step in steps],
            )
    tell("Labelling", len(images), len(images))


def _measure(
    predictor: Predictor,
    images: Sequence[SyntheticImage],
    plan: DemoPlan,
    tell: OnProgress,
) -> Evaluation:
    from napari_infosam.training.dataset import Sample
    from napari_infosam.training.evaluate import evaluate

    samples = [
        Sample(
            image.name,
            image.image,
            tuple(encode_rle(mask) for _, mask in iter_objects(image.labels)),
        )
        for image in images
    ]
    what = f"Measuring {predictor.model.version}"
    return evaluate(
        predictor,
        samples,
        max_clicks=plan.max_clicks,
        on_progress=lambda done, total: tell(what, done, total),
    )


def _figures(result: Evaluation) -> dict[str, float]:
    names = ("iou_1", "iou_3", "iou_5", "iou_box", "noc85")
    return result.metrics().model_dump(include=set(names))


def _draw(
    path: Path,
    predictors: tuple[Predictor, Predictor],
    images: Sequence[SyntheticImage],
    before: Evaluation,
    after: Evaluation,
) -> None:
    from napari_infosam.report import Curve, draw_report

    base, student = (
        Curve(
            [result.iou_after(click) for click in range(1, _CURVE_CLICKS + 1)],
            result.noc(0.85),
        )
        for result in (before, after)
    )
    draw_report(
        path,
        [_example(*predictors, image) for image in images[:_N_EXAMPLES]],
        base=base,
        student=student,
        title=(
            f"Held-out cells: {base.noc85:.1f} clicks each with the base, "
            f"{student.noc85:.1f} with the student"
        ),
    )


def _example(base: Predictor, student: Predictor, image: SyntheticImage) -> Example:
    """Return the answers of both models to one click on the first object."""
    from napari_infosam.report import Example

    target = image.labels == 1
    click = next_click(target, np.zeros_like(target))
    if click is None:
        raise ValueError(f"{image.name} has no object")
    prompts = PromptSet((click,))
    one, other = (
        predictor.answer(prompts, None, predictor.embed(image.image)).mask
        for predictor in (base, student)
    )
    return Example(
        image.image, target, one, other, click, iou(one, target), iou(other, target)
    )


class _Clock:
    """Wall-clock seconds of the parts of a demo."""

    def __init__(self) -> None:
        self._start = time.perf_counter()
        self._parts: dict[str, float] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self._parts[name] = round(time.perf_counter() - start, 1)

    def seconds(self) -> dict[str, float]:
        return {**self._parts, "total": round(time.perf_counter() - self._start, 1)}


def _silent(_what: str, _done: int, _total: int) -> None:
    """Tell nobody."""
