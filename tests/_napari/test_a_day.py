"""A day of labelling: ten images, sixty objects, every tool, and everything is kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pytest
import tifffile
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from skimage import io

from napari_infosam._napari import preview
from napari_infosam._napari.images_model import NAME, OBJECTS, STATE
from napari_infosam._napari.objects_dialogs import ExportDialog
from napari_infosam.core.metrics import iou
from napari_infosam.core.prompts import CHOICES

from . import labelling
from .annotator import SHIFT, Annotator, Key
from .cells import BESIDE, CENTRES, faint, nested, plain
from .labelling import CLASSES
from .window import choose_folder

if TYPE_CHECKING:
    from napari.viewer import Viewer
    from numpy.typing import NDArray
    from pytestqt.qtbot import QtBot

Picture: TypeAlias = "Callable[[int], NDArray[np.uint8]]"
Deed: TypeAlias = "Callable[[Annotator], None]"
Labels: TypeAlias = "NDArray[Any]"
DAY: tuple[tuple[Picture, Deed, Deed], ...] = (
    (plain, labelling.one_by_one, labelling.delete_and_undo),
    (plain, labelling.in_boxes_and_painted, labelling.undo_and_redo_everything),
    (plain, labelling.proposed_one_by_one, labelling.delete_and_label_again),
    (nested, labelling.meanings, labelling.merge_and_split),
    (plain, labelling.otherwise, labelling.paint_a_correction),
    (faint, labelling.proposed_above_a_score, labelling.erase_a_correction),
    (plain, labelling.in_boxes, labelling.go_on_with_an_accepted_one),
    (plain, labelling.painted, labelling.relabel_by_key),
    (plain, labelling.one_by_one, labelling.change_in_the_list),
    (plain, labelling.otherwise, labelling.reject),
)
"""What each image is, how it is labelled, and what is changed then."""
GOOD = 0.9
GRID = 9
"""Points along an image for proposals; the usual 32 would take a minute each time."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with an image for each line of `DAY`."""
    made = tmp_path / "scans"
    made.mkdir()
    for number, (picture, _, _) in enumerate(DAY):
        path = made / f"scan{number}.png"
        io.imsave(path, picture(number), check_contrast=False)
    return made


@pytest.mark.slow
def test_a_day_of_labelling(
    folder: Path,
    tmp_path: Path,
    make_napari_viewer: Callable[..., Viewer],
    qtbot: QtBot,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # the machine that tests may be a busy one
    monkeypatch.setattr(preview, "SLOW_SECONDS", 60.0)
    day = Annotator(qtbot, make_napari_viewer(show=True))
    day.add_folder(folder, monkeypatch)
    day.wait(lambda: day.session.source is not None)
    day.wait_ready()
    for name in CLASSES:
        day.add_class(name)
    seen = label_all(day)
    choose_folder(tmp_path, monkeypatch)
    check_labels(export(day, "Label images"), seen)
    check_coco(export(day, "COCO"), day, seen)
    day.click(*BESIDE)  # it is not accepted before the evening
    day.wait_answer()
    project = day.session.desk.path
    close(day)

    again = Annotator(qtbot, make_napari_viewer(show=True))
    choose_folder(project, monkeypatch)
    again.choose_in_menu(again.annotate.project_menu.menu(), "Open project …")
    check_reopened(again, day, seen)
    again.close()


def label_all(day: Annotator) -> dict[str, Labels]:
    """Label image after image; return what is seen in the end, by their names."""
    day.proposals.points_per_side = GRID
    steps = (
        lambda: day.key(Key.Key_N),
        lambda: day.key(Key.Key_PageDown),
        lambda: day.press(day.images.next),
    )
    seen: dict[str, Labels] = {}
    for number, (_, label, correct) in enumerate(DAY):
        assert day.name == f"scan{number}.png"
        day.choose_class(CLASSES[number % len(CLASSES)])
        label(day)
        correct(day)
        seen[day.name] = labels = day.labels()
        assert len(np.unique(labels)) == len(CENTRES) + 1
        for cell, (_, mask) in day.here.items():
            assert iou(labels == labels[CENTRES[cell]], mask) > GOOD
        if number == len(DAY) - 1:
            break
        day.key(Key.Key_R, SHIFT)
        day.go(steps[number % len(steps)])
        if number == 5:  # a look back
            day.go(lambda: day.key(Key.Key_PageUp))
            np.testing.assert_array_equal(day.labels(), seen[day.name])
            day.go(lambda: day.key(Key.Key_PageDown))
    return seen


def export(day: Annotator, title: str) -> Path:
    """Export by the window for it; return the folder that it made."""
    day.choose_in_menu(day.annotate.project_menu.menu(), "Export objects …")
    (dialog,) = day.panel.findChildren(ExportDialog)
    day.wait(dialog.isVisible)
    day.choose(dialog.kind, title)
    folder, *_ = dialog.out.parentWidget().findChildren(type(dialog.go))
    day.press(folder)
    day.press(dialog.go)
    day.wait(lambda: dialog.outcome.text())
    out = dialog.out_path
    said = f"{6 * len(DAY)} objects in {len(DAY)} images exported to {out}."
    assert dialog.outcome.text() == said
    day.press(dialog.leave)
    day.wait(lambda: not day.panel.findChildren(ExportDialog))
    return out


def close(day: Annotator) -> None:
    """Close the window, as by a click on its cross; the program ends then."""
    window = day.panel.window()
    window.close()
    day.wait(lambda: not window.isVisible())
    day.close()


# ------------------------------------------------------------------------ checks
def check_labels(out: Path, seen: dict[str, Labels]) -> None:
    files = {path.stem: path for path in out.glob("*.tif")}
    assert {*files} == {Path(name).stem for name in seen}
    for name, labels in seen.items():
        np.testing.assert_array_equal(tifffile.imread(files[Path(name).stem]), labels)


def check_coco(out: Path, day: Annotator, seen: dict[str, Labels]) -> None:
    coco = COCO(str(out / "annotations.json"))
    assert len(coco.imgs) == len(DAY)
    assert len(coco.anns) == 6 * len(DAY)
    for image in coco.imgs.values():
        labels, meant = seen[image["file_name"]], day.meant[image["file_name"]]
        numbers = {int(labels[CENTRES[cell]]): cell for cell in meant}
        for annotation in coco.imgToAnns[image["id"]]:
            mask = coco_mask.decode(coco.annToRLE(annotation)).astype(bool)
            (number,) = np.unique(labels[mask])
            np.testing.assert_array_equal(mask, labels == number)
            category = coco.cats[annotation["category_id"]]["name"]
            assert category == meant[numbers.pop(int(number))][0]
        assert not numbers


def check_reopened(again: Annotator, day: Annotator, seen: dict[str, Labels]) -> None:
    """Everything is where it was left: images, objects, classes, and what was begun."""
    names = list(seen)
    again.wait(lambda: again.name == names[-1])
    again.wait(lambda: again.n_points == 1)
    again.wait(lambda: again.proposal_area() > 0)
    check_undo(again)
    model = again.images.model
    rows = range(model.rowCount())
    assert [model.index(row, NAME).data() for row in rows] == names
    assert [model.index(row, OBJECTS).data() for row in rows] == ["6"] * len(names)
    states = [model.index(row, STATE).data() for row in rows]
    assert states == ["reviewed"] * (len(names) - 1) + ["in work"]
    check_prompts(again)
    for name in reversed(names):
        assert again.name == name
        again.wait_objects(len(CENTRES))
        np.testing.assert_array_equal(again.labels(), seen[name])
        listed = again.session.objects.summaries()
        classes = {one.instance_id: one.class_name for one in listed}
        for cell, (class_name, _) in day.meant[name].items():
            assert classes[again.number(cell)] == class_name
        if name != names[0]:
            again.go(lambda: again.key(Key.Key_PageUp))


def check_undo(again: Annotator) -> None:
    """What was accepted before the window was closed is undone and redone."""
    again.key(Key.Key_Escape)
    while again.session.objects_here() == len(CENTRES):
        again.undo()
    while again.annotate.redo.isEnabled():
        again.redo()
    again.wait_objects(len(CENTRES))
    assert again.n_points == 0


def check_prompts(again: Annotator) -> None:
    """Each object has the prompts that it was labelled with."""
    prompts = [one.prompts for one in again.session.desk.require().objects()]
    points = [point for one in prompts for point in one.points]
    assert {point.positive for point in points} == {True, False}
    assert {one.choice for one in prompts} >= {CHOICES.index("part"), len(CHOICES) - 1}
    assert any(one.box for one in prompts)
    assert any(one.rough for one in prompts)
    assert any(not one for one in prompts)  # nobody prompted for what was proposed
