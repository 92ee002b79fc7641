from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from napari_infosam.project.files import content_hash, why_not_a_folder, write_json


def test_the_hash_does_not_know_how_an_image_lies_in_memory() -> None:
    image = np.arange(12, dtype="<u2").reshape(3, 4)
    others = (image.astype(">u2"), np.asfortranarray(image), image[::-1][::-1])
    assert {content_hash(other) for other in others} == {content_hash(image)}
    assert content_hash(image.T) != content_hash(image)
    assert content_hash(image.view("<i2")) != content_hash(image)


def test_a_file_that_can_not_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert json.loads(path.read_text()) == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_why_nothing_can_be_written_into_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not why_not_a_folder(tmp_path)
    assert not why_not_a_folder(tmp_path / "to" / "be" / "made")
    assert "root of a disk" in why_not_a_folder(Path("cells"))
    file = tmp_path / "notes.txt"
    file.touch()
    for below in (file, file / "cells"):
        assert why_not_a_folder(below) == f"{file} is a file"
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert why_not_a_folder(tmp_path / "new").startswith("nothing can be written to")
