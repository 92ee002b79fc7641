"""The form for the options of a fine-tuning run."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, get_args

from magicgui.widgets import ComboBox, Container, SpinBox

from napari_infosam.core.options import Distill, Method, Stage

if TYPE_CHECKING:
    from napari_infosam.core.options import FinetuneOptions

_TITLES = {
    "quick": "Quick: decoder only",
    "full": "Full: InfoSAM adapters",
    "auto": "Auto: full if time allows",
    "adapter": "Adapters",
    "decoder": "Decoder only",
    "infosam": "InfoSAM losses",
    "none": "None",
}


def options_form(
    options: FinetuneOptions, on_change: Callable[[dict[str, Any]], None]
) -> Container[ComboBox | SpinBox]:
    """Return a form with one row an option, named like the fields of the model.

    Parameters
    ----------
    options
        What it shows at first.
    on_change
        Called with all values, by name, when one of them has changed.
    """
    rows: list[ComboBox | SpinBox] = [
        _choice("stage", Stage, options.stage, "How much is trained"),
        _choice(
            "method",
            Method,
            options.method,
            "What the full stage trains in the image encoder",
        ),
        _choice(
            "distill",
            Distill,
            options.distill,
            "Losses that tie the full stage to the frozen base model",
        ),
        SpinBox(
            name="max_seconds",
            label="Seconds",
            value=int(options.max_seconds),
            min=1,
            max=86_400,
            tooltip="At most this long, comparing included",
        ),
        SpinBox(
            name="seed",
            label="Seed",
            value=options.seed,
            min=0,
            max=2**31 - 1,
            tooltip="The same seed and objects give the same training",
        ),
    ]
    form: Container[ComboBox | SpinBox] = Container(widgets=rows)
    form.margins = (0, 0, 0, 0)
    form.changed.connect(lambda: on_change(form.asdict()))
    return form


def _choice(name: str, kind: Any, value: str, tip: str) -> ComboBox:
    choices = [(_TITLES[key], key) for key in get_args(kind)]
    return ComboBox(
        name=name, label=name.capitalize(), choices=choices, value=value, tooltip=tip
    )
