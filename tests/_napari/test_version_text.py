from __future__ import annotations

from typing import Any

import pytest

from napari_infosam._napari.version_text import (
    base_entry,
    comparison,
    details,
    entry,
    stopping,
)
from napari_infosam.project import VersionRecord
from napari_infosam.training.prequential import RunningFigures
from napari_infosam.training.stopping import Plateau

METRICS = {
    "n_images": 5,
    "n_objects": 20,
    "iou_1": 0.65,
    "iou_3": 0.8,
    "iou_5": 0.85,
    "iou_box": 0.9,
    "noc85": 4.0,
    "max_clicks": 8,
}


def record(status: Any, **metrics: Any) -> VersionRecord:
    return VersionRecord(
        "v002", "base", "decoder", "quick", {}, "", metrics, status, "because"
    )


def test_the_line_says_how_the_active_version_compares() -> None:
    trained = record("active", base=METRICS, candidate={**METRICS, "iou_1": 0.86})
    assert comparison("v002", [trained]) == (
        "base 0.65 \N{RIGHTWARDS ARROW} v002 0.86 IoU after 1 click, 5 held-out images"
    )
    assert entry(trained) == "v002 · in use · IoU 0.86"
    assert entry(trained, is_next=True) == "v002 · next · IoU 0.86"
    assert base_entry("base", pinned=False, is_next=True) == "base · next"
    assert base_entry("v002", pinned=True, is_next=True) == "base · pinned"


@pytest.mark.parametrize(
    ("better", "line"),
    [
        ({"noc85": 3.2}, "base 4.0 -> v002 3.2 clicks to 0.85 IoU"),
        ({"iou_3": 0.84}, "base 0.80 -> v002 0.84 IoU after 3 clicks"),
        ({"iou_box": 0.93}, "base 0.90 -> v002 0.93 IoU of boxes"),
    ],
)
def test_where_the_first_click_lost_the_line_is_about_what_gained(
    better: dict[str, float], line: str
) -> None:
    own = {**METRICS, "iou_1": 0.64, **better}
    said = comparison("v002", [record("active", base=METRICS, candidate=own)])
    assert said.replace("\N{RIGHTWARDS ARROW}", "->") == f"{line}, 5 held-out images"


def test_one_image_is_no_plural() -> None:
    one = {**METRICS, "n_images": 1}
    line = comparison("v002", [record("active", base=one, candidate=one)])
    assert line.endswith("1 held-out image")


def test_versions_without_figures_are_named_all_the_same() -> None:
    assert comparison("base", []) == "The base model answers."
    waiting = comparison("base", [], is_next=True)
    assert waiting == "The base model answers from the next object on."
    assert comparison("v002", [record("active")]) == "v002 answers."
    assert comparison("v002", [record("active", base=None, candidate={"n": 1})])
    assert entry(record("accepted")) == "v002"


def test_a_rejection_is_explained() -> None:
    rejected = record("rejected", base=METRICS, candidate=METRICS)
    assert "rejected" in entry(rejected)
    assert "because" in details(rejected)


def test_the_end_of_gains_is_said_with_its_figures() -> None:
    assert stopping(None) == ""
    assert stopping(RunningFigures("v002")) == ""
    at_rest = RunningFigures("v002", plateau=Plateau(1.34, 1.29, 0.26))
    assert "1.3 \N{RIGHTWARDS ARROW} 1.3 over the last 30" in stopping(at_rest)
    assert "saved" in stopping(at_rest)
    assert "below 0.3" in stopping(at_rest)
