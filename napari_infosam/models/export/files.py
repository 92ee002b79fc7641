"""Where an export goes, and that it is there completely or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING

from napari_infosam.core.errors import InfosamError
from napari_infosam.project.files import sync_directory

if TYPE_CHECKING:
    from napari_infosam.core.options import ExportFormat

ENDINGS: dict[ExportFormat, tuple[str, ...]] = {
    "onnx": (".onnx",),
    "safetensors": (".safetensors",),
    "published": (".pth", ".pt"),
    "state-dict": (".pth", ".pt"),
}
"""Endings of each format; an ending alone means the first format that has it."""

_KNOWN = {ending for endings in ENDINGS.values() for ending in endings}
_IN_FOLDER: Mapping[ExportFormat, tuple[str, ...]] = {
    "onnx": ("encoder.onnx", "decoder.onnx"),
    "safetensors": ("model.safetensors", "card.json"),
    "published": ("model.pth",),
    "state-dict": ("model.pth",),
}


def choose_format(out: str, chosen: ExportFormat | None = None) -> ExportFormat:
    """Return the format that was chosen, or that the ending of ``out`` means.

    Raises
    ------
    InfosamError
        If nothing was chosen and the ending means nothing.
    """
    if chosen is not None:
        return chosen
    for file_format, endings in ENDINGS.items():
        if Path(out).suffix in endings:
            return file_format
    raise InfosamError(
        f"{out} does not end in one of {', '.join(sorted(_KNOWN))}: choose a format "
        f"with --format {'|'.join(ENDINGS)}."
    )


def target_paths(out: str, file_format: ExportFormat) -> list[Path]:
    """Return the files that an export writes.

    Parameters
    ----------
    out
        A folder (one that is there, or with a slash at its end), a file, or for
        ``onnx`` the beginning of both names.
    file_format
        The format.

    Raises
    ------
    InfosamError
        For an ending of another format, or a folder in a place that is not there.
    """
    path = Path(out).expanduser()
    if path.is_dir() or out.endswith(("/", os.sep)):
        targets = [path / name for name in _IN_FOLDER[file_format]]
    else:
        targets = _beside(path, file_format)
    if not path.parent.is_dir():
        raise InfosamError(f"There is no folder {path.parent}: make it first.")
    return targets


def _beside(path: Path, file_format: ExportFormat) -> list[Path]:
    endings = ENDINGS[file_format]
    if path.suffix not in endings and (
        path.suffix in _KNOWN or file_format != "onnx" or not path.name
    ):
        raise InfosamError(
            f"{path.name} is no name for the format {file_format}: end it in "
            f"{' or '.join(endings)}, or name a folder."
        )
    stem = path.stem if path.suffix in endings else path.name
    if file_format == "onnx":
        return [path.with_name(f"{stem}.{name}") for name in _IN_FOLDER["onnx"]]
    if file_format == "safetensors":
        return [path, path.with_name(f"{stem}.card.json")]
    return [path]


@contextmanager
def all_or_none(targets: Sequence[Path], *, overwrite: bool = False) -> Iterator[Path]:
    """Give a folder to write files in, which become ``targets`` if all goes well.

    Parameters
    ----------
    targets
        Files of one folder; the folder is made if it is not there. Other files that
        are written beside them go along.
    overwrite
        Whether files that are there may be replaced.

    Raises
    ------
    InfosamError
        If a file is there already, or the disk is full or read-only.
    """
    folder = targets[0].parent
    for target in targets:
        if target.is_dir():
            raise InfosamError(f"{target} is a folder: name another file.")
        if target.exists() and not overwrite:
            raise InfosamError(
                f"{target} is there already: name another file, or choose to replace "
                "it (on the command line: --overwrite)."
            )
    made = not folder.exists()
    try:
        folder.mkdir(exist_ok=True)
        # in the same folder, so that moving needs no space
        draft = Path(mkdtemp(prefix=f".{targets[0].stem}-", dir=folder))
        try:
            yield draft
            _move(draft, folder)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    except OSError as error:
        raise not_written(folder, error) from error
    finally:
        if made:
            with suppress(OSError):  # it stays if it holds the files
                folder.rmdir()


def _move(draft: Path, folder: Path) -> None:
    """Move all files of a folder to another one, or none."""
    files = sorted(draft.iterdir())
    for file in files:
        with file.open("rb+") as opened:
            os.fsync(opened.fileno())
    moved: list[Path] = []
    try:
        for file in files:
            file.replace(folder / file.name)
            moved.append(folder / file.name)
    except BaseException:
        for path in moved:
            path.unlink(missing_ok=True)
        raise
    sync_directory(folder)


def not_written(path: Path, error: Exception) -> InfosamError:
    """Return the sentence about a place that could not be written to."""
    reason = (isinstance(error, OSError) and error.strerror) or error
    return InfosamError(
        f"The model could not be written to {path} ({reason}): free some space, or "
        "choose another place."
    )
