"""What importing costs, what the package offers, and which Qt the lane runs on."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

import napari_infosam

HEAVY = ("torch", "torchvision", "timm", "qtpy", "napari", "magicgui", "numpy")
_PROBE = """
import json, sys, time
start = time.perf_counter()
import {module}
seconds = time.perf_counter() - start
print(json.dumps([seconds, sorted({{name.partition(".")[0] for name in sys.modules}})]))
"""


def fresh_import(module, folder):
    """Import a module in an interpreter of its own: seconds, and what came along."""
    done = subprocess.run(
        [sys.executable, "-c", _PROBE.format(module=module)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    seconds, modules = json.loads(done.stdout)
    return seconds, set(modules)


def test_import_is_light_and_quick(tmp_path):
    runs = [fresh_import("napari_infosam", tmp_path) for _ in range(5)]
    for _, modules in runs:
        assert "napari_infosam" in modules
        assert not modules.intersection(HEAVY)
    assert min(seconds for seconds, _ in runs) < 0.1


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("napari_infosam.core.preprocess", {"torch", "qtpy", "napari"}),
        ("napari_infosam.core.clicks", {"torch", "qtpy", "napari"}),
        ("napari_infosam.project", {"torch", "qtpy", "napari"}),
        ("napari_infosam.training.job", {"torch", "qtpy", "napari"}),
        ("napari_infosam.cli", {"torch", "qtpy", "napari"}),
        ("napari_infosam.models", {"qtpy", "napari"}),
        ("napari_infosam._napari", {"torch"}),
        # what is marked as a session runs on one Qt only
        ("napari_infosam._napari.session", {"qtpy", "napari"}),
        ("napari_infosam._napari.image_list", {"qtpy", "napari"}),
        ("napari_infosam._napari.proposals", {"qtpy", "napari"}),
        ("napari_infosam._napari.what_next", {"qtpy", "napari"}),
    ],
)
def test_layers_do_not_drag_each_other_in(module, unwanted, tmp_path):
    _, modules = fresh_import(module, tmp_path)
    assert not modules & unwanted


@pytest.mark.parametrize("name", napari_infosam.__all__)
def test_every_public_name_is_there(name):
    assert getattr(napari_infosam, name) is getattr(napari_infosam, name)
    assert name in dir(napari_infosam)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'segment_everything'"):
        _ = napari_infosam.segment_everything


@pytest.mark.skipif(
    "INFOSAM_EXPECT_QT" not in os.environ, reason="outside the lanes of make test"
)
def test_the_lane_runs_on_the_binding_it_says(qapp):
    import qtpy
    from napari.qt import get_qapp

    expected = os.environ["INFOSAM_EXPECT_QT"]
    assert expected == qtpy.API_NAME
    for app in (qapp, get_qapp()):
        bases = {base.__module__ for base in type(app).__mro__}
        assert f"{expected}.QtWidgets" in bases
    others = {"PyQt5", "PyQt6", "PySide2", "PySide6"} - {expected}
    loaded = {name.partition(".")[0] for name in sys.modules}
    assert not others & loaded
