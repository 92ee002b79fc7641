from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from napari._app_model.constants import MenuId
from npe2 import PluginManifest

import napari_infosam
from napari_infosam._napari.keys import KEYS

ROOT = Path(napari_infosam.__file__).parents[1]


@pytest.fixture(scope="module")
def manifest() -> PluginManifest:
    return PluginManifest.from_distribution("napari-infosam")


def test_the_manifest_at_the_top_is_the_one_in_the_package() -> None:
    link = ROOT / "napari.yaml"
    if not link.exists():
        pytest.skip("an installed package has no top level")
    assert link.resolve() == (ROOT / "napari_infosam" / "napari.yaml").resolve()


def test_every_command_can_be_imported(manifest: PluginManifest) -> None:
    for command in manifest.contributions.commands or ():
        module, _, name = str(command.python_name).partition(":")
        assert callable(getattr(import_module(module), name)), command.id


def test_every_key_is_a_command_as_well(manifest: PluginManifest) -> None:
    known = {command.id for command in manifest.contributions.commands or ()}
    other_name = {
        "points": "segment",
        "clear": "reject",
        "help": "keys",
        "compare": "difference",  # what is held down has no command: this stays
    }
    for key in KEYS:
        name = other_name.get(key.action, key.action)
        assert f"napari-infosam.{name}" in known


def test_menus_are_ones_that_napari_shows(manifest: PluginManifest) -> None:
    known = {str(menu) for menu in MenuId.contributables()}
    assert set(manifest.contributions.menus) <= known
    segment = manifest.contributions.menus["napari/layers/segment"]
    assert "napari-infosam.widget" in {item.command for item in segment}


def test_samples_need_no_network(manifest: PluginManifest) -> None:
    for sample in manifest.contributions.sample_data or ():
        commands = {c.id: c.python_name for c in manifest.contributions.commands or ()}
        module, _, name = str(commands[sample.command]).partition(":")
        layers = getattr(import_module(module), name)()
        data, settings, kind = layers[-1]
        assert kind == "image"
        assert np.asarray(data).size
        assert settings["name"]


def test_the_synthetic_sample_knows_the_truth() -> None:
    from napari_infosam._napari.samples import synthetic

    (labels, _, _), (images, settings, _) = synthetic()
    assert settings["rgb"]
    assert images.shape == (*labels.shape, 3)
    assert all(plane.max() >= 2 for plane in labels)


@pytest.mark.parametrize(
    "module", ["commands", "widget", "samples", "readers", "writers"]
)
def test_what_napari_imports_leaves_torch_out(module: str) -> None:
    program = (
        f"import napari_infosam._napari.{module}, sys;sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True)
