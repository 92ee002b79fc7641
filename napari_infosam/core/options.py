"""What a person may choose before fine-tuning: one model for window, CLI and run."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Stage = Literal["quick", "full", "auto"]
Method = Literal["decoder", "adapter"]
Distill = Literal["infosam", "none"]

AUTO_FULL_SECONDS = 120.0
"""The least budget in seconds with which ``auto`` runs the full stage."""


class FinetuneOptions(BaseModel):
    """Options of one fine-tuning run.

    Attributes
    ----------
    stage
        ``quick`` tunes the mask decoder on cached embeddings; ``full`` starts with
        that and goes on with adapters in the encoder; ``auto`` is full where there
        are at least two minutes for it.
    method
        What the full stage tunes in the encoder. ``decoder`` leaves it frozen.
    distill
        ``infosam`` adds the information losses of InfoSAM to the full stage.
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
        Wall-clock budget in seconds of the whole run, evaluation included.
    max_epochs
        At most this many passes over the training objects in each stage.
    learning_rate
        Peak learning rate of decoder, adapters and norms (Adam).
    lambda_r, lambda_d
        Weights of the InfoSAM losses L_r and L_d (paper: 1 and 0.5).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    stage: Stage = "quick"
    method: Method = "adapter"
    distill: Distill = "infosam"
    model: str | None = None
    device: str = "auto"
    threads: int | None = Field(default=None, gt=0)
    seed: int = Field(default=0, ge=0, lt=2**63)
    max_seconds: float = Field(default=300.0, gt=0)
    max_epochs: int = Field(default=30, gt=0)
    learning_rate: float = Field(default=1.5e-4, gt=0, lt=1)
    lambda_r: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    lambda_d: float = Field(default=0.5, ge=0, allow_inf_nan=False)

    @property
    def stages(self) -> tuple[Literal["quick", "full"], ...]:
        """The stages that are run, one after the other."""
        short = self.stage == "auto" and self.max_seconds < AUTO_FULL_SECONDS
        if self.stage == "quick" or self.method == "decoder" or short:
            return ("quick",)
        return ("quick", "full")
