from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from napari_infosam.training.evaluate import ObjectResult
from napari_infosam.training.held_out import HeldOut
from napari_infosam.training.known_results import (
    FILE,
    keep_results,
    keys_of,
    read_results,
)

from .helpers import make_stage


def measure(views, model, frozen, known=None):
    """Return results without the seconds, and how many objects were measured."""
    told = []
    found = views.evaluate(
        model,
        frozen,
        max_clicks=2,
        on_progress=lambda *at: told.append(at),
        known=known,
    )
    objects = [
        replace(result, seconds=0.0, seconds_in_all=0.0) for result in found.objects
    ]
    return found, objects, max((done for done, _ in told), default=0)


@pytest.fixture
def few(samples):
    return [replace(s, rles=s.rles[:2]) for s in samples[:2]]


def test_what_is_known_is_not_measured_again(base, frozen, few, tmp_path):
    views = HeldOut.of(few, 8)
    known = read_results(tmp_path / "cache")
    first, objects, n_measured = measure(views, base, frozen, known)
    assert n_measured == len(objects) == 8
    for _ in range(2):
        views.keep(known, base, first)
    assert len((tmp_path / "cache" / FILE).read_text().split("\n\n")) == 8

    again = read_results(tmp_path / "cache")
    found, _, n_measured = measure(views, base, frozen, again)
    assert n_measured == 0
    assert found == first


def test_new_objects_are_measured_in_their_places(base, frozen, few, samples, tmp_path):
    known = read_results(tmp_path)
    views = HeldOut.of(few, 8)
    views.keep(known, base, measure(views, base, frozen)[0])
    more = [replace(s, rles=(s.rles[2], *s.rles[:2])) for s in samples[:2]]
    more[0] = replace(more[0], authors={more[0].rles[1]: "v007"})
    wider = HeldOut.of(more, 12)
    assert wider.n_views == views.n_views == 2
    found, objects, n_measured = measure(wider, base, frozen, known)
    assert n_measured == 4
    assert objects == measure(wider, base, frozen)[1]
    assert [o.author for o in found.objects[:3]] == [None, "v007", None]


def test_another_model_or_protocol_is_measured(base, frozen, few, tmp_path):
    known = read_results(tmp_path)
    views = HeldOut.of(few, 4)
    views.keep(known, base, measure(views, base, frozen)[0])
    stage = make_stage(frozen, "decoder")
    same = stage.model()  # of the same weights, with another answer to a first click
    assert measure(views, same, frozen, known)[2] == 4
    views.keep(known, same, measure(views, same, frozen)[0])
    assert measure(views, stage.model(), frozen, known)[2] == 0
    with torch.no_grad():
        stage.trained[0].add_(0.01)
    assert measure(views, stage.model(), frozen, known)[2] == 4
    assert not {*keys_of(base, few[0], 2)} & {*keys_of(base, few[0], 3)}


def test_lines_that_are_no_results_cost_nothing_else(tmp_path):
    result = ObjectResult((0.5, 0.75), 0.5, 0.6, scores=(0.5, 0.5, 0.25))
    known = read_results(tmp_path)
    keep_results(known, [("good", result)])
    whole = json.loads((tmp_path / FILE).read_text())["result"]
    with (tmp_path / FILE).open("a") as file:
        for entry in (
            {"key": "no ious", "result": whole | {"ious": []}},
            {"key": "no number", "result": whole | {"ious": [float("nan")]}},
            {"key": "too few scores", "result": whole | {"scores": [0.5]}},
            {"key": "words", "result": whole | {"iou_box": "half"}},
            {"key": "nothing"},
            ["a list"],
        ):
            file.write(f"\n{json.dumps(entry)}\n")
        file.write('{"key": "torn", "resu')
    again = read_results(tmp_path)
    keep_results(again, [("later", result)])
    last = read_results(tmp_path)
    bad = ("no ious", "no number", "too few scores", "words", "nothing", "torn")
    assert [bool(last.get(name)) for name in bad] == [False] * 6
    assert last.get("later") == result
    assert last.get("good") == result


def test_a_folder_that_can_not_be_written_is_no_failure(tmp_path):
    (tmp_path / "cache").write_text("a file")
    known = read_results(tmp_path / "cache")
    result = ObjectResult((0.5,), 0.5, 0.6)
    keep_results(known, [("here", result)])
    assert known.get("here") == result
