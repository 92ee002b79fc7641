"""Names, formats, and that an export is there completely or not at all."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from napari_infosam.core.errors import InfosamError
from napari_infosam.models.export.files import (
    all_or_none,
    choose_format,
    target_paths,
)
from napari_infosam.models.export.write import export_model

resource = pytest.importorskip("resource", reason="limits of a process, on Unix")


@pytest.mark.parametrize(
    ("out", "expected"),
    [
        ("a.onnx", "onnx"),
        ("a.safetensors", "safetensors"),
        ("a.pth", "published"),
        ("a.pt", "published"),
    ],
)
def test_the_ending_means_a_format(out, expected):
    assert choose_format(out) == expected
    assert choose_format(out, "state-dict") == "state-dict"


@pytest.mark.parametrize("out", ["model", "model.bin", "folder/"])
def test_no_format_at_all(out):
    with pytest.raises(
        InfosamError, match=r"--format onnx\|safetensors\|published\|state-dict"
    ):
        choose_format(out)


@pytest.mark.parametrize(
    ("out", "file_format", "names"),
    [
        ("cells.onnx", "onnx", ["cells.encoder.onnx", "cells.decoder.onnx"]),
        ("cells", "onnx", ["cells.encoder.onnx", "cells.decoder.onnx"]),
        ("cells.v3", "onnx", ["cells.v3.encoder.onnx", "cells.v3.decoder.onnx"]),
        ("new/", "onnx", ["new/encoder.onnx", "new/decoder.onnx"]),
        ("old", "onnx", ["old/encoder.onnx", "old/decoder.onnx"]),
        ("old", "safetensors", ["old/model.safetensors", "old/card.json"]),
        ("a.safetensors", "safetensors", ["a.safetensors", "a.card.json"]),
        ("a.b.pt", "state-dict", ["a.b.pt"]),
        ("new/", "published", ["new/model.pth"]),
    ],
)
def test_files_of_an_export(out, file_format, names, tmp_path):
    (tmp_path / "old").mkdir()
    targets = target_paths(f"{tmp_path}/{out}", file_format)
    assert targets == [tmp_path / name for name in names]


@pytest.mark.parametrize(
    ("out", "file_format", "endings"),
    [
        ("a.onnx", "safetensors", r"\.safetensors"),
        ("a.pth", "onnx", r"\.onnx"),
        ("a.safetensors", "state-dict", r"\.pth or \.pt"),
        ("a", "published", r"\.pth or \.pt"),
    ],
)
def test_an_ending_of_another_format(out, file_format, endings, tmp_path):
    sentence = f"format {file_format}: end it in {endings}"
    with pytest.raises(InfosamError, match=sentence):
        target_paths(f"{tmp_path}/{out}", file_format)


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(InfosamError, match=r"no folder .*gone: make"):
        target_paths(f"{tmp_path}/gone/a.pth", "published")


def test_nothing_is_overwritten_unless_asked(base, tmp_path):
    path = tmp_path / "a.pth"
    path.write_text("precious")
    with pytest.raises(InfosamError, match=r"a\.pth is there already.*--overwrite"):
        export_model(base, path)
    assert path.read_text() == "precious"
    export_model(base, path, overwrite=True)
    assert path.stat().st_size > 10**7
    assert list(tmp_path.iterdir()) == [path]


def test_one_of_two_files_is_there_already(base, tmp_path):
    card = tmp_path / "a.card.json"
    card.write_text("precious")
    with pytest.raises(InfosamError, match=r"a\.card\.json is there already"):
        export_model(base, tmp_path / "a.safetensors")
    assert list(tmp_path.iterdir()) == [card]


def test_a_folder_in_place_of_a_file(tmp_path):
    (tmp_path / "decoder.onnx").mkdir()
    targets = target_paths(str(tmp_path), "onnx")
    with (
        pytest.raises(InfosamError, match=r"decoder\.onnx is a folder"),
        all_or_none(targets, overwrite=True),
    ):
        pass


@pytest.mark.parametrize(
    ("out", "file_format"),
    [
        ("model.safetensors", "safetensors"),
        ("model.pth", "published"),
        ("model.pth", "state-dict"),
        ("new/", "state-dict"),
        pytest.param("new/", "onnx", marks=pytest.mark.slow),
    ],
)
def test_a_full_disk_leaves_nothing_behind(base, out, file_format, tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # no file may grow beyond 1 MB: the write fails as on a full disk
    resource.setrlimit(resource.RLIMIT_FSIZE, (10**6, hard))
    try:
        sentence = r"could not be written to .*File too large.*: free some space"
        with pytest.raises(InfosamError, match=sentence):
            export_model(base, f"{tmp_path}/{out}", file_format)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


def test_the_second_file_can_not_be_moved(base, tmp_path, monkeypatch):
    replace = Path.replace

    def full(self: Path, target: Path) -> Path:
        if target.suffix == ".safetensors":
            raise OSError(errno.ENOSPC, "No space left on device")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(InfosamError, match="No space left on device"):
        export_model(base, tmp_path / "model.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_a_bug_leaves_nothing_behind(tmp_path):
    def write() -> None:
        with all_or_none(target_paths(f"{tmp_path}/new/", "onnx")) as draft:
            (draft / "encoder.onnx").write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write()
    assert list(tmp_path.iterdir()) == []
