"""Files that ship with the package: weights, samples, licences."""

from __future__ import annotations

from pathlib import Path

from napari_infosam.core.errors import InfosamError

_PACKAGE = Path(__file__).resolve().parent


def resource_path(name: str) -> Path:
    """Return the path of a file or folder below ``resources/``.

    Parameters
    ----------
    name
        Path relative to the folder, with ``/``, for example
        ``mobile_sam.safetensors``.

    Raises
    ------
    InfosamError
        If it is not there, which means that the installation is incomplete.
    """
    path = _folder(_PACKAGE) / name
    if not path.exists():
        raise InfosamError(f"The file {path} is missing: install napari-infosam again.")
    return path


def _folder(package: Path) -> Path:
    """Return the folder inside the package (wheel) or beside it (editable install)."""
    inside = package / "_resources"
    return inside if inside.is_dir() else package.parent / "resources"
