"""The benchmark of speed: its arithmetic, its table, its check, and its command."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from napari_infosam.bench.speed import growth
from napari_infosam.bench.speed.answering import Answering
from napari_infosam.bench.speed.curves import markdown as growth_table
from napari_infosam.bench.speed.curves import verdict, write
from napari_infosam.bench.speed.growth import Curve
from napari_infosam.bench.speed.learning import Learning
from napari_infosam.bench.speed.measure import (
    Row,
    alternate,
    compare,
    describe_machine,
    peak_memory,
)
from napari_infosam.bench.speed.references import DecoderTuning
from napari_infosam.bench.speed.report import markdown, regressions
from napari_infosam.bench.speed.roofline import _tally
from napari_infosam.cli import app
from napari_infosam.core.errors import InfosamError

COMMITTED = Path(__file__).parents[2] / "benchmarks" / "speed"


@pytest.fixture
def row() -> Row:
    return compare("click", ("ours", "theirs"), ([2, 4, 6], [4, 4, 8]), aim=0.5)


def test_works_take_turns_and_each_is_the_first_as_often():
    order = []
    works = {name: lambda name=name: order.append(name) for name in "ab"}
    seconds = alternate(works, 3)
    assert "".join(order) == "ab" + "ab" + "ba" + "ab"  # once before
    assert {name: len(values) for name, values in seconds.items()} == {"a": 3, "b": 3}


def test_a_ratio_is_of_medians_and_its_spread_of_neighbours(row):
    assert (row.ratio, row.value, row.reference) == (1, 4, 4)
    assert (row.quartile_1, row.quartile_3) == (0.625, 0.875)
    half = compare("quick", ("a", "b"), ([2, 4, 6], [4, 4, 8]), share=0.5)
    assert (half.ratio, half.value) == (0.5, 2)


def test_memory_is_that_of_the_block():
    with peak_memory() as small:
        np.ones(1000).sum()
    with peak_memory() as large:
        np.ones(64 * 2**20 // 8).sum()
    assert small.mebibytes < 32 < large.mebibytes


def test_the_check_names_what_became_slower(row, tmp_path):
    committed = tmp_path / "speed.json"
    committed.write_text(json.dumps({"rows": [asdict(replace(row, ratio=0.7))]}))
    assert regressions([replace(row, ratio=0.87)], committed) == []
    other = replace(row, work="not there before")
    (sentence,) = regressions([row, other], committed)
    assert sentence == "ours / theirs is 1.00, and was 0.70"
    with pytest.raises(InfosamError, match="none of the rows"):
        regressions([other], committed)
    committed.write_text("{}")
    with pytest.raises(InfosamError, match="holds no ratios"):
        regressions([row], committed)


def test_the_table_shows_rows_roof_and_machine(row):
    machine = {
        "processor": "Cray",
        "bfloat16": [],
        "cores": 2,
        "threads": 2,
        "memory_gib": 8.0,
        "packages": {"torch": "3"},
        "load": 1.0,
        "load_after": 2.0,
        "repetitions": 3,
    }
    work = {"work": "click", "gflop": 2.0, "seconds": 0.5, "gflops": 4.0}
    operations = [
        {"name": "mm", "share": 0.7, "gflops": 5.7},
        {"name": "gelu", "share": 0.2, "gflops": 0.0},
    ]
    work |= {"share": 0.1, "dtype": "float32", "operations": operations}
    result = {
        "machine": machine,
        "rows": [asdict(row)],
        "agreement": {"mean": 0.99, "least": 0.98},
        "roofline": {
            "peak_gflops": {"float32": 40.0, "bfloat16": 80.0},
            "works": [work],
        },
        "notes": ["left out"],
    }
    table = markdown(result)
    assert "| ours | theirs | 1.00 (0.62 to 0.88) | 0.50 | 4 s and 4 s |" in table
    assert "| click | 2.00 | 0.5 | 4 | 10% of float32 |" in table
    assert "| click | `mm` (70%, 6), `gelu` (20%) |" in table
    assert "Cray (no bfloat16 of its own)" in table
    assert table.endswith("- left out\n")


def test_proposals_are_measured_beside_those_of_segment_anything():
    (row,) = Answering(onnx=False).proposals(1, n_side=2)
    assert row.key == "proposals 2 x 2 / SamAutomaticMaskGenerator"
    assert row.aim == 1 / 3
    assert row.value > 0 < row.reference


def test_what_was_measured_is_kept_if_a_later_part_fails(tmp_path, monkeypatch, row):
    def rows(_run, part):
        if part == "boxes":
            raise InfosamError("The disk is gone.")
        return [row]

    monkeypatch.setattr("napari_infosam.bench.speed.run._Run.rows", rows)
    parts = ["--only", "click", "--only", "boxes"]
    result = CliRunner().invoke(app, ["bench-speed", "--out", str(tmp_path), *parts])
    assert result.exit_code != 0
    kept = json.loads((tmp_path / "speed.json").read_text("utf-8"))
    assert [Row(**found) for found in kept["rows"]] == [row]
    assert "| ours | theirs | 1.00" in (tmp_path / "speed.md").read_text("utf-8")


@pytest.mark.parametrize("name", ["amx.json", "bfloat16.json", "float32.json"])
def test_the_committed_table_can_be_checked_against(name):
    committed = COMMITTED / name
    rows = [Row(**found) for found in json.loads(committed.read_text("utf-8"))["rows"]]
    assert regressions(rows, committed) == []
    worse = [replace(row, ratio=2 * row.ratio) for row in rows]
    assert len(regressions(worse, committed)) == len(rows)


@pytest.mark.parametrize(
    ("flat", "seconds", "said"),
    [
        (True, [1, 1.1], "n^0.04"),
        (True, [1, 10], "n^1.00 (too fast)"),
        (False, [1, 10], "n^1.00"),
        (False, [9, 1, 20, 100], "n^1.00"),
        (False, [1, 50], "n^1.70 (too fast)"),
        (False, [1], ""),
    ],
)
def test_growth_is_judged_by_its_last_two_steps(flat, seconds, said):
    sizes = [1, 10, 100, 1000][-len(seconds) :]
    curve = Curve("objects", "list", flat, sizes, seconds, [0.0] * len(seconds))
    assert verdict(curve) == said


@pytest.mark.parametrize(
    ("series", "flat"),
    [
        (growth.objects_of_one_image, {"commit and undo"}),
        (growth.images_of_a_project, {"add, commit", "open"}),
        (
            growth.objects_of_a_project,
            {"commit and undo", "list an image", "label image", "open"},
        ),
    ],
)
def test_growth_of_a_project_is_measured_and_drawn(tmp_path, series, flat):
    found = series(tmp_path, [10, 120], lambda _line: None)
    assert {curve.series for curve in found} == {series.__name__.replace("_", " ")}
    assert {curve.work for curve in found if curve.flat} == flat
    assert all(c.sizes == [10, 120] and min(c.seconds) > 0 for c in found)
    result = {"curves": [asdict(c) for c in found]}
    table = write(result, tmp_path / "out")
    assert table.read_text("utf-8") == growth_table(found)
    assert (tmp_path / "out" / "growth.png").stat().st_size > 1000
    assert json.loads((tmp_path / "out" / "growth.json").read_text()) == result


def test_the_reference_of_the_quick_stage_learns():
    learning = Learning()
    sample = learning.samples[0]
    embedding = learning.base.encode(sample.picture).float()
    reference = DecoderTuning(learning.base, sample, embedding)
    before = [p.detach().clone() for p in reference.sam.mask_decoder.parameters()]
    encoder = next(reference.sam.image_encoder.parameters()).detach().clone()
    reference.step()
    after = reference.sam.mask_decoder.parameters()
    moved = [not a.equal(b) for a, b in zip(before, after, strict=True)]
    assert np.mean(moved) > 0.7  # three of the four masks are not asked for
    assert encoder.equal(next(reference.sam.image_encoder.parameters()))


def test_operations_are_those_of_the_matrix_products():
    left, right = torch.rand(8, 16), torch.rand(16, 4, requires_grad=True)
    linear = torch.nn.Linear(16, 4)

    def forward_and_backward() -> None:
        (left @ right).sum().backward()

    @torch.inference_mode()
    def inferred() -> None:
        linear(left)

    product = 2 * 8 * 16 * 4 / 1e9
    assert _tally(forward_and_backward, 2).gflop == pytest.approx(2 * product)
    assert _tally(inferred, 1).gflop == pytest.approx(product)


def test_the_operations_that_take_longest_are_named():
    large = torch.rand(500, 500)

    def work() -> None:
        torch.special.digamma(large @ large)

    tally = _tally(work, 3)
    assert {found.name for found in tally.longest()} == {"mm", "digamma"}
    assert sum(found.share for found in tally.longest()) == pytest.approx(1)
    rates = {found.name: found.gflops for found in tally.longest()}
    assert rates["mm"] > rates["digamma"] == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--only", "warp"], "There is no part 'warp': choose from embedding, click"),
        (["--growth", "--only", "click"], "--growth measures no ratios"),
    ],
)
def test_the_command_refuses_what_it_can_not_measure(arguments, says, tmp_path):
    result = CliRunner().invoke(
        app, ["bench-speed", "--out", str(tmp_path), *arguments]
    )
    said = result.output + str(result.exception)
    assert result.exit_code
    assert says in said


@pytest.mark.bench
def test_no_ratio_is_worse_than_committed(tmp_path):
    """Minutes, and only of use on a quiet machine: ``pytest -m bench``."""
    native = describe_machine()["bfloat16"]
    kind = "amx" if "amx_bf16" in native else "bfloat16" if native else "float32"
    committed = COMMITTED / f"{kind}.json"
    result = CliRunner().invoke(
        app, ["bench-speed", "--out", str(tmp_path), "--check", str(committed)]
    )
    assert result.exit_code == 0, result.output
