"""The form for the options of a fine-tuning run."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias, get_args

from magicgui.widgets import ComboBox, Container, FloatSpinBox, SpinBox
from qtpy.QtWidgets import QFormLayout, QLabel, QWidget

from napari_infosam.core.options import Distill, Method, Stage

if TYPE_CHECKING:
    from napari_infosam.core.options import FinetuneOptions

Row: TypeAlias = ComboBox | SpinBox | FloatSpinBox

_TITLES = {
    "quick": "Quick: decoder only",
    "full": "Full: encoder too",
    "auto": "Auto: full if time allows",
    "decoder": "Decoder only",
    "bitfit": "BitFit (biases)",
    "lora": "LoRA",
    "conv-lora": "Conv-LoRA",
    "adapter": "Adapters in series",
    "adaptformer": "AdaptFormer (parallel)",
    "su-sam": "SU-SAM (mixed)",
    "hq-sam": "HQ-SAM (head only)",
    "infosam": "InfoSAM losses",
    "vid": "VID",
    "pkt": "PKT",
    "logit": "Teacher's masks",
    "none": "None",
}


def options_form(
    options: FinetuneOptions, on_change: Callable[[dict[str, Any]], None]
) -> Container[Row]:
    """Return a form with one row an option, named like the fields of the model.

    Parameters
    ----------
    options
        What it shows at first.
    on_change
        Called with all values, by name, when one of them has changed.
    """
    rows: list[Row] = [
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
            "What the full stage learns from the frozen base beside the masks",
        ),
        _weight("lambda_r", "L_r weight", options.lambda_r),
        _weight("lambda_d", "L_d weight", options.lambda_d),
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
            tooltip="The same seed, objects and version in use give the same training",
        ),
    ]
    form: Container[Row] = Container(widgets=rows, labels=False)
    for name in ("method", "distill"):
        form[name].changed.connect(lambda: _use_full_stage(form))
    form.changed.connect(lambda: on_change(form.asdict()))
    return form


def in_two_columns(form: Container[Row]) -> QWidget:
    """Return the rows of a form with all fields below one another.

    Those that a magicgui container labels itself start where their label ends, as soon
    as a style sheet makes labels wider than their text.
    """
    made = QWidget()
    layout = QFormLayout(made)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setVerticalSpacing(2)
    layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    for row in form:
        label = QLabel(row.label)
        label.setToolTip(row.tooltip or "")
        layout.addRow(label, row.native)
    return made


def _use_full_stage(form: Container[Row]) -> None:
    """Run the stage in which a choice takes effect: the quick one has none of it."""
    form["stage"].value = "quick" if form["method"].value == "decoder" else "full"


def _weight(name: str, label: str, value: float) -> FloatSpinBox:
    return FloatSpinBox(
        name=name,
        label=label,
        value=value,
        min=0,
        max=100,
        step=0.05,
        tooltip="Weight of an information loss of InfoSAM (paper: 1 for L_r, 0.5 "
        "for L_d)",
    )


def _choice(name: str, kind: Any, value: str, tip: str) -> ComboBox:
    choices = [(_TITLES[key], key) for key in get_args(kind)]
    return ComboBox(
        name=name, label=name.capitalize(), choices=choices, value=value, tooltip=tip
    )
