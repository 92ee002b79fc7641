"""Click to segment in napari while Segment Anything learns from what you accept.

The public names are loaded when they are first used: importing the package costs
neither torch nor napari.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_infosam.core.errors import InfosamError
    from napari_infosam.core.options import FinetuneOptions
    from napari_infosam.models import Prediction, Predictor, load_model
    from napari_infosam.project import Project
    from napari_infosam.training.evaluate import evaluate
    from napari_infosam.training.job import finetune

    __version__: str

__all__ = [
    "FinetuneOptions",
    "InfosamError",
    "Prediction",
    "Predictor",
    "Project",
    "__version__",
    "evaluate",
    "finetune",
    "load_model",
]

_HOMES = {
    "FinetuneOptions": "napari_infosam.core.options",
    "InfosamError": "napari_infosam.core.errors",
    "Prediction": "napari_infosam.models",
    "Predictor": "napari_infosam.models",
    "Project": "napari_infosam.project",
    "evaluate": "napari_infosam.training.evaluate",
    "finetune": "napari_infosam.training.job",
    "load_model": "napari_infosam.models",
}


def __getattr__(name: str) -> Any:
    """Load a public name on first use (PEP 562)."""
    if name == "__version__":
        from importlib.metadata import version

        value: Any = version("napari-infosam")
    elif name in _HOMES:
        value = getattr(import_module(_HOMES[name]), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
