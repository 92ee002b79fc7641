"""The table of methods: data, rows, cells that are not run twice, and the table."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage import io

from napari_infosam.bench.cell import Protocol
from napari_infosam.bench.data import read_data_set
from napari_infosam.bench.rows import TABLE_1, Row, parse_row
from napari_infosam.bench.run import Cell, Plan, run_bench
from napari_infosam.bench.table import Result, draw, markdown, read_result
from napari_infosam.core.errors import InfosamError
from napari_infosam.core.options import FinetuneOptions
from napari_infosam.synthetic import make_set
from napari_infosam.training.teach import Teaching

SHARED = Path(__file__).parents[3] / "shared" / "data"


def write_folder(folder: Path, count: int, seed: int = 0) -> Path:
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    for number, cell in enumerate(make_set(count, seed=seed)):
        io.imsave(folder / "images" / f"{number}.png", cell.image, check_contrast=False)
        labels = cell.labels.astype(np.uint8)
        io.imsave(folder / "masks" / f"{number}.png", labels, check_contrast=False)
    return folder


def write_csv(folder: Path, count: int) -> Path:
    """Write a data set in the layout of the paper's."""
    write_folder(folder, count)
    for number in range(count):
        path = folder / "masks" / f"{number}.png"
        io.imsave(path, 255 * (io.imread(path) > 0).astype(np.uint8))
    rows = [f"images/{n}.png,masks/{n}.png" for n in range(count)]
    head = "image,label"
    (folder / "train.csv").write_text("\n".join([head, *rows[1:]]) + "\n")
    (folder / "test.csv").write_text("\n".join([head, rows[0]]) + "\n")
    return folder


def read_results(folder: Path) -> list[Result]:
    return [read_result(path) for path in folder.rglob("*.json")]


# --------------------------------------------------------------------- rows


@pytest.mark.parametrize("name", [*TABLE_1, "adapter+vid", "adapter+pkt", "lora+logit"])
def test_rows_have_their_names(name):
    assert parse_row(name).name == name


def test_a_row_may_differ_in_other_options():
    row = parse_row(" adapter+infosam  lambda_d=0.5 relation_bank=16")
    assert row.name == "adapter+infosam lambda_d=0.5 relation_bank=16"
    assert parse_row(row.name) == row
    options = row.options(FinetuneOptions(max_steps=7), seed=3)
    assert (options.lambda_d, options.relation_bank) == (0.5, 16)
    assert (options.method, options.distill) == ("adapter", "infosam")
    assert (options.max_steps, options.seed, options.stage) == (7, 3, "full")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("adapter foo=1", "'foo=1' is no option of a row"),
        ("adapter lambda_d", "'lambda_d' is no option"),
        ("adapter seed=1", "no option of a row"),
        ("adapter lambda_d=-1", "'adapter lambda_d=-1' can not be trained"),
        ("adapter freeze_relation=true", "a frozen relation module must come from"),
    ],
)
def test_options_a_row_can_not_have(name, says):
    with pytest.raises(InfosamError, match=says):
        parse_row(name)


def test_the_decoder_sees_as_many_images_as_the_others():
    """Two a step in the quick stage, four in the full one."""
    common = FinetuneOptions(max_steps=30, max_epochs=10)
    decoder = parse_row("decoder").options(common, seed=0)
    assert (decoder.stages, decoder.max_steps) == (("quick",), 90)
    assert decoder.max_epochs == 20
    paper = parse_row("decoder").options(FinetuneOptions.published(max_steps=5), seed=0)
    assert (paper.stages, paper.max_steps) == (("full",), 5)


def test_a_row_without_plus_learns_from_masks_only():
    assert parse_row("adapter") == Row("adapter", "none")
    assert parse_row("sam") == Row(None)


@pytest.mark.parametrize("name", ["", "unet", "adapter+", "adapter+foo", "sam+infosam"])
def test_unknown_rows(name):
    with pytest.raises(InfosamError, match="There is no method"):
        parse_row(name)


def test_a_frozen_encoder_has_no_teacher():
    with pytest.raises(InfosamError, match="nothing to learn from a teacher"):
        parse_row("decoder+infosam")


# --------------------------------------------------------------------- data


def test_a_folder_of_pairs(tmp_path):
    data = read_data_set(write_folder(tmp_path / "cells", 4))
    assert data.name == "cells"
    train, test = data.split(1, None, seed=0)
    assert (len(train), len(test)) == (1, 3)
    assert not set(train) & set(test)
    others = {data.split(1, None, seed=seed)[0][0] for seed in range(20)}
    assert len(others) > 1
    assert data.split(1, 2, seed=0) == (train, test[:2])
    samples = data.read(test)
    assert [len(sample.rles) > 1 for sample in samples] == [True] * 3
    with pytest.raises(InfosamError, match="has 4 pairs and no test set"):
        data.split(4, None, seed=0)


def test_the_layout_of_the_papers_sets(tmp_path):
    data = read_data_set(write_csv(tmp_path / "polyp", 3))
    train, test = data.split(None, None, seed=0)
    assert (len(train), len(test)) == (2, 1)
    assert len(data.split(1, None, seed=0)[0]) == 1
    (sample,) = data.read(test)
    assert len(sample.rles) == 1  # all of a mask is one object


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("picture,label\na.png,b.png\n", "needs the columns image and label"),
        ("image,label\na.png,b.png\n", "which is not there"),
        ("", "needs the columns"),
    ],
)
def test_a_broken_csv(tmp_path, content, says):
    (tmp_path / "train.csv").write_text(content)
    with pytest.raises(InfosamError, match=says):
        read_data_set(tmp_path)


def test_no_data_set(tmp_path):
    with pytest.raises(InfosamError, match="is no data set"):
        read_data_set(tmp_path)


# -------------------------------------------------------------------- table


def result(row: str, data: str, seed: int, iou: float, other: float = 0.5) -> Result:
    figures = {"iou_1": iou, "iou_box": iou / 2}
    return Result(
        data, row, seed, figures, {"third": {"iou_1": other, "iou_box": other}}
    )


RESULTS = [
    result("sam", "a", 0, 0.5),
    result("sam", "a", 1, 0.5),
    result("adapter", "a", 0, 0.8, 0.4),
    result("adapter", "a", 1, 0.6, 0.6),
    result("sam", "b", 0, 0.3),
    result("adapter", "b", 0, 0.9),
]


def test_the_table_has_means_and_deviations():
    lines = markdown(RESULTS, ["sam", "adapter", "lora"]).splitlines()
    assert lines[0] == "| **IoU, 1 click** | a | b | mean |"
    assert lines[2] == "| sam | 0.500 ± 0.000 | 0.300 | 0.400 |"
    assert lines[3] == "| adapter | 0.700 ± 0.141 | 0.900 | 0.800 |"
    assert lines[4] == "| lora |  |  |  |"  # not run yet
    assert len([line for line in lines if "elsewhere" in line]) == 1
    # less the base with the same data and seed: -0.1, +0.1 and 0
    spread = "+0.000 ± 0.100"
    assert f"| adapter | {spread} | {spread} |  |  |" in lines


def test_what_distillation_adds_is_paired_by_set_and_seed():
    more = [
        result("adapter+infosam", "a", 0, 0.9),
        result("adapter+infosam", "a", 1, 0.5),
        result("adapter+infosam", "b", 0, 0.8),
        result("adapter+infosam", "b", 1, 0.1),  # the adapter has no such seed
    ]
    rows = ["sam", "adapter", "adapter+infosam", "lora+infosam"]
    lines = markdown([*RESULTS, *more], rows).splitlines()
    begin = lines.index("| **adapter+infosam less adapter** | a | b | mean |")
    assert lines[begin + 2] == ("| IoU, 1 click | +0.000 ± 0.141 | -0.100 | -0.050 |")
    assert lines[begin + 3].startswith("| IoU, box | +0.000 ± 0.071 | -0.050 |")
    assert not [line for line in lines if "less lora" in line]


def test_the_table_says_what_is_missing():
    table = markdown(RESULTS, ["sam"], ["a, lora, seed 0 has no result: ..."])
    assert table.endswith("\n\n- a, lora, seed 0 has no result: ...\n")


def test_the_plot_is_a_picture(tmp_path):
    draw(tmp_path / "plot.png", RESULTS, ["sam", "adapter"])
    assert io.imread(tmp_path / "plot.png").std() > 0


# ---------------------------------------------------------------------- run


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    """Give the other tests their threads back: a bench takes what is fastest."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def plan_of(data: list[Path], rows: str, **changes) -> Plan:
    known = {
        "data": [read_data_set(folder) for folder in data],
        "rows": [parse_row(name) for name in rows.split(",")],
        "seeds": [0],
        "n_train": 3,
        "n_test": 1,
        "n_others": 0,
        "model": "vit_t",
        "options": FinetuneOptions(max_seconds=1e6, max_steps=1, threads=1),
        "protocol": Protocol(max_clicks=2, max_objects=1),
    }
    return Plan(**{**known, **changes})


@pytest.mark.slow
def test_cells_are_run_once(tmp_path):
    data = write_folder(tmp_path / "cells", 4)
    rows = ["sam", "decoder", "adapter+infosam"]
    plan = plan_of([data], ",".join(rows))
    ran = []

    def on_cell(cell: Cell) -> None:
        ran.append(cell.name)

    table = run_bench(plan, tmp_path / "out", on_cell=on_cell)
    assert ran == [f"cells, {row}, seed 0" for row in rows]
    results = read_results(tmp_path / "out" / "results")
    assert {found.row for found in results} == set(rows)
    assert "| adapter+infosam | 0." in table.read_text()
    path = tmp_path / "out" / "results" / "cells" / "adapter+infosam-0.json"
    stored = json.loads(path.read_text())
    assert stored["steps"] == {"quick": 1, "full": 1}
    assert stored["settings"]["options"]["distill"] == "infosam"

    run_bench(plan, tmp_path / "out", on_cell=on_cell)
    assert len(ran) == 3
    path.write_text("{")  # the machine went down while it was written
    changed = plan_of([data], "sam,adapter+infosam", protocol=Protocol(3, 1))
    table = run_bench(changed, tmp_path / "out", on_cell=on_cell)
    assert len(ran) == 5  # other settings are other results
    # the decoder's, of the plan before, lies there still and is left out
    assert len(read_results(tmp_path / "out" / "results")) == 3
    assert "decoder" not in table.read_text()


@pytest.mark.slow
def test_rows_go_on_from_the_same_quick_stage(tmp_path):
    data = write_folder(tmp_path / "cells", 4)
    started = []

    def on_event(event) -> None:
        if event.kind == "stage":
            started.append(event.stage)

    lora = "lora first_block=8"  # the last stage alone: quicker
    rows = f"adapter first_block=8,{lora},{lora} learning_rate=0.001"
    run_bench(plan_of([data], rows), tmp_path / "shared", on_event=on_event)
    assert started == ["quick", "full", "full", "quick", "full"]
    run_bench(plan_of([data], lora), tmp_path / "alone")

    def stored(folder: str) -> dict:
        path = tmp_path / folder / "results" / "cells" / f"{lora}-0.json"
        return json.loads(path.read_text())

    found = stored("shared"), stored("alone")
    assert found[0]["steps"] == found[1]["steps"] == {"quick": 1, "full": 1}
    ious = [result["figures"]["iou_1"] for result in found]
    assert ious[0] == pytest.approx(ious[1], abs=0.01)


@pytest.mark.slow
def test_a_cell_that_fails_leaves_the_others(tmp_path, monkeypatch):
    data = write_folder(tmp_path / "cells", 5)
    Path(data / "masks" / "0.png").write_bytes(b"no picture")
    notices = []

    def on_event(event) -> None:
        if event.kind == "notice":
            notices.append(event.message)

    train = Teaching.teach

    def teach(self, *arguments, **named):
        if self.options.method == "lora":
            raise FloatingPointError("the loss is not a number")
        return train(self, *arguments, **named)

    monkeypatch.setattr(Teaching, "teach", teach)
    plan = plan_of([data], "lora,adapter first_block=8", n_train=4)
    table = run_bench(plan, tmp_path / "out", on_event=on_event).read_text()
    assert "| lora |  |  |" in table
    assert "| adapter first_block=8 | 0." in table
    assert "cells, lora, seed 0 has no result: Training stopped because" in table
    assert any("cells: 0.png: " in line for line in notices)


@pytest.mark.slow
def test_what_students_make_of_other_images(tmp_path):
    folders = [write_folder(tmp_path / name, 4, seed=n) for n, name in enumerate("ab")]
    plan = plan_of(folders, "sam,decoder replay=1", n_others=1)
    table = run_bench(plan, tmp_path / "out").read_text()
    assert "photographs: IoU, box" in table
    for found in read_results(tmp_path / "out" / "results"):
        others = {"a", "b", "photographs"} - {found.data}
        assert found.others.keys() == others


@pytest.mark.parametrize(("recipe", "least"), [("default", 2), ("paper", 4)])
def test_too_few_images_are_refused_before_anything_is_loaded(tmp_path, recipe, least):
    data = write_folder(tmp_path / "cells", 4)
    options = FinetuneOptions(recipe=recipe)
    plan = plan_of([data], "adapter", n_train=least - 1, options=options)
    with pytest.raises(InfosamError, match=f"at least {least} are needed"):
        run_bench(plan, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_the_published_recipe_on_the_papers_layout(tmp_path):
    data = write_csv(tmp_path / "polyp", 5)
    plan = plan_of(
        [data],
        "adapter+infosam",
        n_train=None,
        options=FinetuneOptions.published(max_seconds=1e6, max_steps=1, threads=1),
        protocol=Protocol(1, 1, "points"),
    )
    table = run_bench(plan, tmp_path / "out").read_text()
    assert "S-measure" in table
    (found,) = read_results(tmp_path / "out" / "results")
    assert 0 <= found.figures["paper_iou"] <= found.figures["paper_dice"] <= 1


@pytest.mark.slow
@pytest.mark.bench
@pytest.mark.timeout(3600)
@pytest.mark.skipif(not SHARED.is_dir(), reason="the real image sets are not here")
def test_fine_tuning_helps_on_real_images(tmp_path):
    """A part of the table in docs/benchmarks.md, some twenty minutes on two cores."""
    plan = plan_of(
        [SHARED / "blood_cells", SHARED / "leaf_disease"],
        "sam,decoder,adapter+infosam",
        n_train=12,
        n_test=20,
        options=FinetuneOptions(max_seconds=1e6, max_steps=40, threads=2),
        protocol=Protocol(5, 20),
    )
    run_bench(plan, tmp_path / "out")
    means = {row.name: [] for row in plan.rows}
    for found in read_results(tmp_path / "out" / "results"):
        means[found.row].append(found.figures["iou_1"])
    base = np.mean(means["sam"])
    assert np.mean(means["decoder"]) > base + 0.03
    assert np.mean(means["adapter+infosam"]) > base + 0.03
