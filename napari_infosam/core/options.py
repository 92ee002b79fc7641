"""What a person may choose before fine-tuning: one model for window, CLI and run."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Stage = Literal["quick", "full", "auto"]
Method = Literal[
    "decoder",
    "bitfit",
    "lora",
    "conv-lora",
    "adapter",
    "adaptformer",
    "su-sam",
    "hq-sam",
]
Distill = Literal["infosam", "vid", "pkt", "logit", "none"]
Relation = Literal["learned", "dot"]
Recipe = Literal["default", "paper"]
Begin = Literal["active", "base"]
ExportFormat = Literal["onnx", "safetensors", "state-dict", "published"]

AUTO_FULL_SECONDS = 120.0
"""The least budget in seconds with which ``auto`` runs the full stage."""


UNLIMITED = 1e7
"""Budget in seconds of a run that ends by its steps."""


class FinetuneOptions(BaseModel):
    """Options of one fine-tuning run.

    Attributes
    ----------
    recipe
        ``paper`` trains as the authors of InfoSAM published it, quirks included, for
        comparison with their tables; see `FinetuneOptions.published`.
    stage
        ``quick`` tunes the mask decoder on cached embeddings; ``full`` starts with
        that and goes on with adapters in the encoder; ``auto`` is full where there
        are at least two minutes for it.
    begin
        The weights of the first step: those of the version that is active, or of the
        newest student where that gained on it, but too little for the gate, so that
        what it has learnt is not learnt again, where it is a student of the same kind
        or has changed the decoder only; or those of the base. The published recipe
        always begins with the base.
    method
        What the full stage tunes in the encoder. ``decoder`` leaves it frozen;
        ``hq-sam`` leaves all frozen and trains a head beside the decoder.
    distill
        What the full stage learns from the frozen base beside the masks: ``infosam``
        adds the information losses, ``vid``, ``pkt`` and ``logit`` are controls.
    model
        Base model of the project, to make sure of it; None takes the project's.
    device
        ``auto``, ``cpu``, ``cuda`` or ``mps``.
    threads
        CPU threads of the training process at most; None takes half of the cores and
        leaves the others to the window.
    seed
        Seed of every random choice of the run, 0 or more.
    max_seconds
        Wall-clock budget in seconds of the whole run, evaluation included. Three fifths
        of it are for teaching, even if what comes before takes longer than the rest.
    max_epochs, max_steps
        At most this many passes over the training objects, and steps, in each stage.
    learning_rate
        Peak learning rate of the decoder (Adam).
    encoder_rate
        Learning rate of what is tuned in the encoder, over that of the decoder, which
        has learnt already when the full stage begins (paper: 1).
    first_block
        First attention block of the encoder that is tuned; None takes the method's
        default.
    lambda_r, lambda_d
        Weights of the InfoSAM losses L_r and L_d (paper: 1 and 0.5). A heavier L_d
        slows a short training on few images down; see ``docs/benchmarks.md``.
    relation
        ``learned``, or ``dot``: the fixed dot product of the paper's ablation.
    relation_from
        File of a relation module to start from, of another version or project.
    freeze_relation
        Whether the relation module stays as it was loaded.
    relation_bank
        Images of earlier batches whose latest rows the information losses look at
        too (paper: 0).
    distill_weight
        Weight of ``vid``, ``pkt`` and ``logit``.
    anchor
        Weight of the squared distance of all weights from the base.
    replay
        Photographs in each batch beside the images that are learnt, with the masks
        that the base gives them.
    interpolate
        Share of the base in the student's weights when the training is over.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    recipe: Recipe = "default"
    stage: Stage = "quick"
    begin: Begin = "active"
    method: Method = "adapter"
    distill: Distill = "infosam"
    model: str | None = None
    device: str = "auto"
    threads: int | None = Field(default=None, gt=0)
    seed: int = Field(default=0, ge=0, lt=2**63)
    max_seconds: float = Field(default=300.0, gt=0)
    max_epochs: int = Field(default=30, gt=0)
    max_steps: int | None = Field(default=None, gt=0)
    learning_rate: float = Field(default=1.5e-4, gt=0, lt=1)
    encoder_rate: float = Field(default=4.0, gt=0, allow_inf_nan=False)
    first_block: int | None = Field(default=None, ge=0)
    lambda_r: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    lambda_d: float = Field(default=0.05, ge=0, allow_inf_nan=False)
    relation: Relation = "learned"
    relation_from: str | None = None
    freeze_relation: bool = False
    relation_bank: int = Field(default=16, ge=0, le=64)
    distill_weight: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    anchor: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    replay: int = Field(default=0, ge=0, le=8)
    interpolate: float = Field(default=0.0, ge=0, lt=1)

    @classmethod
    def published(cls, **changes: Any) -> FinetuneOptions:
        """Return the options of the published recipe, but for what is given.

        Ten epochs, Adam at 2e-4 for all of the student, seed 42, lambda_d 0.5, the
        rows of one batch (configurations of the authors' code).
        """
        known = {
            "max_epochs": 10,
            "learning_rate": 2e-4,
            "seed": 42,
            "lambda_d": 0.5,
            "encoder_rate": 1.0,
            "relation_bank": 0,
            # ten epochs of a ViT take what they take
            "max_seconds": UNLIMITED,
        }
        return cls(recipe="paper", **{**known, **changes})

    @property
    def stages(self) -> tuple[Literal["quick", "full"], ...]:
        """The stages that are run, one after the other."""
        if self.recipe == "paper":
            return ("full",)
        short = self.stage == "auto" and self.max_seconds < AUTO_FULL_SECONDS
        if self.stage == "quick" or self.method == "decoder" or short:
            return ("quick",)
        # the quick stage would change the decoder, which HQ-SAM leaves as it is
        return ("full",) if self.method == "hq-sam" else ("quick", "full")

    def of_quick_stage(self) -> FinetuneOptions:
        """Return the options of the quick stage alone, where this begins with it."""
        kept = {
            "recipe",
            "model",
            "device",
            "threads",
            "seed",
            "max_seconds",
            "max_epochs",
            "max_steps",
            "learning_rate",
            "anchor",
            "replay",
        }
        return FinetuneOptions(
            **self.model_dump(include=kept), method="decoder", distill="none"
        )

    @model_validator(mode="after")
    def _check(self) -> FinetuneOptions:
        if self.recipe == "paper" and self.replay:
            raise ValueError("the published recipe has no replay")
        if self.freeze_relation and self.relation_from is None:
            raise ValueError(
                "a frozen relation module must come from somewhere: name it with "
                "relation_from"
            )
        return self
