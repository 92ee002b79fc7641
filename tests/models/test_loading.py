from __future__ import annotations

import shutil
import time

import numpy as np
import pytest

from napari_infosam.core.errors import InfosamError
from napari_infosam.models import load_model, load_version
from napari_infosam.project import Project, VersionRecord


@pytest.fixture
def project(tmp_path):
    with Project.create(tmp_path / "cells") as project:
        yield project


@pytest.fixture
def with_version(project, decoder_student_file):
    """Return a project whose version v001 is there, but not active."""
    version_id = project.reserve_version()
    folder = project.version_dir(version_id)
    shutil.copy(decoder_student_file, folder / "student.safetensors")
    record = VersionRecord(
        id=version_id,
        parent="base",
        method="decoder",
        stage="quick",
        options={},
        data_hash="",
        metrics={},
        status="accepted",
        reason="",
        created=time.time(),
    )
    project.add_version(record)
    return project


def test_the_model_in_the_box(base):
    assert (base.name, base.version, base.first_click) == ("vit_t", "base", "multimask")
    assert base.device.type == "cpu"


@pytest.mark.parametrize(
    ("name", "device", "sentence"),
    [
        ("vit_x", "cpu", "There is no model 'vit_x'"),
        ("vit_t", "tpu", "There is no device 'tpu'"),
        ("vit_t", "cuda:99", "GPU"),
    ],
)
def test_wrong_names_get_one_sentence(name, device, sentence):
    with pytest.raises(InfosamError, match=sentence):
        load_model(name, device)


def test_a_project_starts_with_its_base(project, base):
    assert load_version(project, base=base) is base
    loaded = load_version(project, "base", "cpu")
    assert loaded.weights_hash == base.weights_hash
    assert loaded is not base


def test_versions_by_name_and_the_active_one(with_version, base):
    assert load_version(with_version, base=base).version == "base"
    student = load_version(with_version, "v001", base=base)
    assert student.version == "v001"
    assert student.encoder_hash == base.encoder_hash
    with_version.activate("v001")
    active = load_version(with_version, base=base)
    assert active.version == "v001"
    assert active.weights_hash == student.weights_hash
    assert load_version(with_version, "base", base=base) is base


def test_a_version_without_its_base_in_hand(with_version, base):
    student = load_version(with_version, "v001", "cpu")
    assert student.version == "v001"
    assert student.encoder_hash == base.encoder_hash


def test_a_version_that_is_not_there(with_version, base):
    with pytest.raises(InfosamError, match="no version 'v009': choose one of base, v0"):
        load_version(with_version, "v009", base=base)


def test_a_damaged_version(with_version, base):
    path = with_version.version_dir("v001") / "student.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(InfosamError, match="activate another version"):
        load_version(with_version, "v001", base=base)
    path.unlink()
    with pytest.raises(InfosamError, match="activate another version"):
        load_version(with_version, "v001", base=base)


def test_the_base_of_another_project_is_refused(with_version, base):
    """`base` is trusted by its weights, not by its name."""
    import copy

    import torch

    from napari_infosam.models import SamModel

    other = copy.deepcopy(base.sam)
    with torch.no_grad():
        other.mask_decoder.iou_token.weight += 1
    with pytest.raises(InfosamError, match="trained on other weights"):
        load_version(with_version, "v001", base=SamModel(other, "vit_t", base.device))


def test_a_project_with_its_own_weights_file(tmp_path, base):
    from napari_infosam.resources import resource_path

    weights = shutil.copy(resource_path("mobile_sam.safetensors"), tmp_path)
    with Project.create(tmp_path / "cells", model=str(weights)) as project:
        model = load_version(project, "base", "cpu")
    assert model.name == str(weights)
    assert model.weights_hash == base.weights_hash
    picture = np.zeros((4, 4, 3), np.uint8)
    assert model.encoder_input(picture).shape == (1, 3, 1024, 1024)
