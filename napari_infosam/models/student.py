"""Students: what fine-tuning changed, as one small file beside the base weights."""

from __future__ import annotations

import copy
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from napari_infosam.core.errors import InfosamError
from napari_infosam.core.options import Method
from napari_infosam.models.encoder_parts import attention_blocks
from napari_infosam.models.peft.hq import HqHead, early_channels, fusion_block
from napari_infosam.models.peft.method import attach_method, first_tuned_block
from napari_infosam.models.sam_model import FirstClick, SamModel

if TYPE_CHECKING:
    from segment_anything.modeling import Sam

STUDENT_FILE = "student.safetensors"
_METADATA = "infosam_student"


class StudentSpec(BaseModel):
    """How a student differs from its base; stored inside the weights file.

    Attributes
    ----------
    base
        Name of the base model or path of its weights.
    base_hash
        Hash of the base's exact weights: a student fits no other base.
    method
        ``decoder`` changes the mask decoder only, ``hq-sam`` adds a head to it and
        leaves the rest, the others change the decoder and the encoder.
    first_block
        First attention block that is changed; below it lies what is computed once
        for an image. For ``hq-sam`` the block whose input the head looks at.
    first_click, published_input
        How a single click is answered and pictures are prepared; see `SamModel`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = 1
    base: str
    base_hash: str
    method: Method
    first_block: int = 2
    first_click: FirstClick = "single"
    published_input: bool = False

    @classmethod
    def of(
        cls, base: SamModel, method: Method, first_block: int | None = None
    ) -> StudentSpec:
        """Return the spec of a new student.

        Parameters
        ----------
        base
            The base model.
        method
            What is changed.
        first_block
            First attention block that is changed; None takes the method's default.

        Raises
        ------
        InfosamError
            If the encoder has no such block.
        """
        encoder = base.sam.image_encoder
        blocks = len(attention_blocks(encoder))
        if first_block is not None and not 0 <= first_block < blocks:
            raise InfosamError(
                f"{base.name} has {blocks} attention blocks and no number "
                f"{first_block}: choose a first block from 0 to {blocks - 1}."
            )
        if method == "hq-sam":
            first_block = fusion_block(encoder)
        elif first_block is None:
            first_block = first_tuned_block(method, encoder)
        return cls(
            base=base.name,
            base_hash=base.weights_hash,
            method=method,
            first_block=first_block,
            published_input=base.published_input,
        )

    @property
    def needs_early(self) -> bool:
        """Whether the student looks at the features below its first block."""
        return self.method != "decoder"


def build_student(
    sam: Sam, spec: StudentSpec, *, share_encoder: bool = False
) -> tuple[Sam, list[nn.Parameter]]:
    """Return a student that still equals its base, and what may be trained of it.

    Parameters
    ----------
    sam
        The base; not changed.
    spec
        What to add.
    share_encoder
        Take the image encoder of the base itself, which is frozen then, and not a copy;
        only where the method leaves it as it is.

    Returns
    -------
    student, parameters
        The parameters of the decoder come first, those of the encoder after.
    """
    shared = {id(sam.image_encoder): sam.image_encoder} if share_encoder else {}
    student: Sam = copy.deepcopy(sam, shared)
    student.requires_grad_(False)
    device = next(sam.parameters()).device
    if spec.method == "hq-sam":
        student.mask_decoder.hq = HqHead(early_channels(student.image_encoder))
        trained = [
            *student.mask_decoder.hq.parameters(),
            *student.mask_decoder.iou_prediction_head.parameters(),
        ]
    else:
        trained = list(student.mask_decoder.parameters())
    trained += attach_method(student.image_encoder, spec.method, spec.first_block)
    student.to(device)
    for parameter in trained:
        parameter.requires_grad_(True)
    return student, trained


def save_student(student: Sam, path: Path, spec: StudentSpec) -> None:
    """Write the trainable weights of a student, atomically.

    Raises
    ------
    InfosamError
        If the disk is full or read-only.
    """
    weights = {
        key: value.detach().cpu().contiguous()
        for key, value in student.named_parameters()
        if value.requires_grad
    }
    write_tensors(path, weights, {_METADATA: spec.model_dump_json()})


def write_tensors(
    path: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None
) -> None:
    """Write a safetensors file, atomically and durably.

    Raises
    ------
    InfosamError
        If the disk is full or read-only.
    """
    temporary = path.with_suffix(".tmp")
    try:
        save_file(tensors, temporary, metadata=metadata)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except (OSError, SafetensorError) as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise InfosamError(
            f"The model could not be written to {path}: {error}. Free some space "
            "and fine-tune again."
        ) from error


def read_spec(path: Path) -> StudentSpec:
    """Return what a student file says of itself.

    Raises
    ------
    InfosamError
        If the file is missing, damaged, or no student of this program.
    """
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
        return StudentSpec.model_validate(json.loads(metadata[_METADATA]))
    except (OSError, SafetensorError, KeyError, ValidationError, ValueError) as error:
        raise InfosamError(
            f"{path} is missing or not a student of napari-infosam: activate "
            "another version."
        ) from error


def load_weights(student: Sam, path: Path) -> None:
    """Copy the weights of a file into a student built with the same spec.

    Raises
    ------
    InfosamError
        If the file is damaged or does not fit.
    """
    try:
        with safe_open(path, "pt") as file, torch.no_grad():
            wanted = {k: p for k, p in student.named_parameters() if p.requires_grad}
            if set(file.keys()) != set(wanted):
                raise InfosamError(f"{path} does not fit its model description.")
            for key, parameter in wanted.items():
                value: Tensor = file.get_tensor(key)
                if value.shape != parameter.shape:
                    raise InfosamError(f"{path} does not fit its model description.")
                parameter.copy_(value)
    except (OSError, SafetensorError, RuntimeError) as error:
        raise InfosamError(
            f"{path} is damaged ({error}): activate another version."
        ) from error


def load_student(base: SamModel, path: Path, version: str) -> SamModel:
    """Return the student of a file on top of its base.

    Parameters
    ----------
    base
        The base model; not changed.
    path
        The student's weights.
    version
        Name the student answers under.

    Raises
    ------
    InfosamError
        If the file is damaged or belongs to another base.
    """
    spec = read_spec(path)
    if spec.base_hash != base.weights_hash:
        raise InfosamError(
            f"{path} was trained on other weights of {spec.base} than those of "
            f"{base.name}: load the base it belongs to."
        )
    # a version is exchanged between two clicks: hundreds of megabytes are not copied
    share = spec.method in ("decoder", "hq-sam")
    student, _ = build_student(base.sam, spec, share_encoder=share)
    load_weights(student, path)
    student.requires_grad_(False)
    model = SamModel(
        student,
        base.name,
        base.device,
        version=version,
        first_click=spec.first_click,
        published_input=spec.published_input,
    )
    if share:
        model.has_encoder_of(base)
    return model
