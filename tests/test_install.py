"""The package as others get it: from a wheel, and in editable mode.

Each is installed into an environment of its own that borrows everything but
napari-infosam from the environment the tests run in.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

pytestmark = pytest.mark.slow

_PROBE = """
import importlib, json, sys
from importlib.metadata import version

import napari_infosam
from napari_infosam.resources import resource_path
from npe2 import PluginManager

plugins = PluginManager.instance()
plugins.discover()
manifest = plugins.get_manifest("napari-infosam")
for command in manifest.contributions.commands:
    module, name = command.python_name.split(":")
    getattr(importlib.import_module(module), name)
print(json.dumps({
    "package": napari_infosam.__file__,
    "version": version("napari-infosam"),
    "weights": str(resource_path("mobile_sam.safetensors")),
    "commands": [command.id for command in manifest.contributions.commands],
}))
"""


def call(*command: str | Path, cwd: Path) -> str:
    """Run a command away from the checkout, and show what it said if it fails."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, "QT_QPA_PLATFORM": "offscreen", "PYTHONPATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def borrowing_environment(folder: Path) -> Path:
    """Make an environment over the packages of this one; return its interpreter."""
    call(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder.parent)
    scripts = "Scripts" if os.name == "nt" else "bin"
    python = folder / scripts / "python"
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
    own = Path(call(python, "-c", ask, cwd=folder).strip())
    # a plain path: the .pth files over there, ours among them, are not read
    (own / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


def install(python: Path, *what: str | Path) -> None:
    call(
        *(sys.executable, "-m", "pip", "--python", python, "install", "--quiet"),
        *("--no-deps", "--no-index", "--no-build-isolation", *what),
        cwd=python.parent,
    )


def probe(python: Path) -> dict[str, object]:
    answer: dict[str, object] = json.loads(
        call(python, "-c", _PROBE, cwd=python.parent).splitlines()[-1]
    )
    return answer


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    call(
        *(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index"),
        *("--no-build-isolation", "--wheel-dir", folder, ROOT),
        cwd=folder,
    )
    (path,) = folder.glob("napari_infosam-*.whl")
    return path


def test_wheel_holds_the_package_and_its_resources_alone(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert len(names) == len(set(names))
    assert {name.split("/")[0].split("-")[0] for name in names} == {"napari_infosam"}
    for needed in (
        "napari_infosam/napari.yaml",
        "napari_infosam/py.typed",
        "napari_infosam/_resources/mobile_sam.safetensors",
        "napari_infosam/_resources/licences/Apache-2.0.txt",
    ):
        assert needed in names
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_installed_from_the_wheel(wheel, tmp_path):
    python = borrowing_environment(tmp_path / "wheel")
    install(python, wheel)
    found = probe(python)
    inside = tmp_path / "wheel"
    assert Path(found["package"]).is_relative_to(inside)
    assert Path(found["weights"]).is_relative_to(inside)
    assert Path(found["weights"]).stat().st_size > 10e6
    assert found["commands"]
    said = call(python.with_name("infosam"), "--help", cwd=tmp_path)
    assert "finetune" in said


def test_installed_editable(tmp_path):
    python = borrowing_environment(tmp_path / "editable")
    install(python, "--editable", ROOT)
    found = probe(python)
    assert Path(found["package"]) == ROOT / "napari_infosam" / "__init__.py"
    assert Path(found["weights"]) == ROOT / "resources" / "mobile_sam.safetensors"
    assert found["commands"]


def test_the_manifest_of_the_checkout_is_that_of_the_package():
    link = ROOT / "napari.yaml"
    assert link.is_symlink()
    assert link.resolve() == ROOT / "napari_infosam" / "napari.yaml"
