"""What a training run says: JSON lines, the same for window, CLI and remote runs."""

from __future__ import annotations

import time
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

EVENT_VERSION = 1

StageName = Literal["prepare", "quick", "full", "gate"]


# NaN and infinities are written as strings: a diverging loss must stay readable JSON
_CONFIG = ConfigDict(extra="ignore", frozen=True, ser_json_inf_nan="strings")


class _Event(BaseModel):
    model_config = _CONFIG

    version: int = EVENT_VERSION
    time: float = Field(default_factory=time.time)
    """Seconds since the epoch."""


class Metrics(BaseModel):
    """How a model version does on the held-out images, means over objects."""

    model_config = _CONFIG

    n_images: int
    n_objects: int
    iou_1: float
    iou_3: float
    iou_5: float
    iou_box: float
    noc85: float
    max_clicks: int
    noc90: float | None = None
    """None in what earlier releases wrote."""


class Started(_Event):
    """The process runs and has read the project.

    ``parent`` is the active version, ``begun_with`` the one whose weights are those of
    the first step.
    """

    kind: Literal["started"] = "started"
    pid: int
    device: str
    model: str
    parent: str
    begun_with: str = "base"
    n_train_images: int
    n_train_objects: int
    n_validation_images: int
    n_validation_objects: int
    resumed: bool = False


class StageStarted(_Event):
    """A part of the run begins; ``steps`` is 0 while it is not known."""

    kind: Literal["stage"] = "stage"
    stage: StageName
    message: str
    steps: int = 0


class Step(_Event):
    """One step of the running stage is done."""

    kind: Literal["step"] = "step"
    stage: StageName
    step: int
    steps: int
    seconds_left: float | None = None
    loss: float | None = None
    parts: dict[str, float] = {}
    """Loss terms by name: structure, iou, relation (L_r), distill (L_d)."""


class Validation(_Event):
    """Held-out quality of the student so far."""

    kind: Literal["validation"] = "validation"
    step: int
    iou_1: float
    iou_box: float


class Notice(_Event):
    """One sentence the person should read; the run goes on."""

    kind: Literal["notice"] = "notice"
    message: str


class Candidate(_Event):
    """A student is trained and on disk; the gate is next."""

    kind: Literal["candidate"] = "candidate"
    version_id: str


class Gate(_Event):
    """The gate has compared the candidate with the active version and the base.

    ``interpolation`` is the share of the base in the weights of the candidate.
    """

    kind: Literal["gate"] = "gate"
    version_id: str
    accepted: bool
    reason: str
    base: Metrics | None
    active: Metrics | None
    candidate: Metrics | None
    interpolation: float = 0.0


class Finished(_Event):
    """The run is over; ``version_id`` is None where no student was made."""

    kind: Literal["finished"] = "finished"
    version_id: str | None
    accepted: bool
    seconds: float
    cancelled: bool = False


class Failed(_Event):
    """The run could not go on; ``message`` is one sentence for a person."""

    kind: Literal["failed"] = "failed"
    message: str
    details: str = ""


class Heartbeat(_Event):
    """The process is alive."""

    kind: Literal["heartbeat"] = "heartbeat"


TrainingEvent = Annotated[
    Started
    | StageStarted
    | Step
    | Validation
    | Notice
    | Candidate
    | Gate
    | Finished
    | Failed
    | Heartbeat,
    Field(discriminator="kind"),
]
_ADAPTER: TypeAdapter[TrainingEvent] = TypeAdapter(TrainingEvent)


def parse_event(line: str | bytes) -> TrainingEvent:
    """Return the event of one JSON line; unknown fields are ignored."""
    return _ADAPTER.validate_json(line)
