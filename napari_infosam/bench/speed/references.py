"""How others train the same model: nothing cached, float32, modules as they come."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_infosam.models.conv_gelu import ConvGelu
from napari_infosam.models.decoder import Decoder
from napari_infosam.models.registry import build_sam
from napari_infosam.models.student import StudentSpec, build_student
from napari_infosam.training.batches import Group
from napari_infosam.training.losses import structure_loss
from napari_infosam.training.prompting import PromptPlan, draw_prompts
from napari_infosam.training.relation import RelationModule, information_losses

if TYPE_CHECKING:
    from segment_anything.modeling import Sam

    from napari_infosam.models.decoder import PromptTensors
    from napari_infosam.models.sam_model import SamModel
    from napari_infosam.training.dataset import Sample

SIDE, WINDOW = 1024, 31
FIRST_BLOCK = 2
"""Above it lie all adapted blocks of the authors' recipe on MobileSAM."""

_POINT = PromptPlan(box=False, corrections=0)


def plain_sam(name: str) -> Sam:
    """Return a model of the registry without what this package makes faster in it."""
    sam, _ = build_sam(name)
    _in_two_passes(sam.image_encoder)
    return sam


def _in_two_passes(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, ConvGelu):
            setattr(module, name, nn.Sequential(child.conv(), nn.GELU()))
        else:
            _in_two_passes(child)


class AuthorsRecipe:
    """The published recipe of InfoSAM on MobileSAM, as its authors train.

    Teacher and student go forward through the whole encoder in each step, the student
    backward through all adapted blocks; one prompt an image; masks are compared at
    1024 x 1024.

    Parameters
    ----------
    base
        Whose architecture and weights are used.
    samples
        One for each image of the batch; its first object is learnt.
    """

    def __init__(self, base: SamModel, samples: list[Sample]) -> None:
        self.teacher = plain_sam(base.name)
        spec = StudentSpec.of(base, "adapter", FIRST_BLOCK)
        self.student, trained = build_student(self.teacher, spec)
        self.relation = RelationModule()
        self._unused = Decoder(self.student)  # it would answer corrective clicks
        self._optimizer = torch.optim.Adam([*trained, *self.relation.parameters()])
        self._groups = [Group(sample, (0,)) for sample in samples]
        inputs = [base.encoder_input(sample.picture) for sample in samples]
        self._inputs = torch.cat(inputs).contiguous()
        self._rng = np.random.default_rng(0)

    def step(self) -> None:
        """Take one step."""
        with torch.no_grad():
            known = self.teacher.image_encoder(self._inputs)
        seen = self.student.image_encoder(self._inputs)
        tokens: tuple[list[Tensor], list[Tensor]] = ([], [])
        loss = torch.zeros(())
        for number, group in enumerate(self._groups):
            targets = group.targets(seen.device)
            one, other = known[number : number + 1], seen[number : number + 1]
            prompts = draw_prompts(_POINT, targets, self._unused, other, self._rng)
            with torch.no_grad():
                tokens[0].append(_decode(self.teacher, one, prompts)[1])
            small, token = _decode(self.student, other, prompts)
            tokens[1].append(token)
            logits = F.interpolate(small[:, :1], (SIDE, SIDE), mode="bilinear")
            target = F.interpolate(targets, (SIDE, SIDE), mode="bilinear")
            masks = structure_loss(logits, target, WINDOW).mean()
            loss = loss + masks / len(self._groups)
        rows = [features.flatten(2).mT for features in (known, seen)]
        taught, learnt = map(torch.cat, tokens)
        losses = information_losses(self.relation, rows[0], taught, rows[1], learnt)
        self._optimizer.zero_grad()
        (loss + losses.weighted()).backward()
        self._optimizer.step()


class DecoderTuning:
    """The decoder alone, forward and backward, with one point on one object.

    Parameters
    ----------
    base
        Whose architecture and weights are used.
    sample
        Whose first object is learnt.
    embedding
        ``(1, 256, 64, 64)`` of it.
    """

    def __init__(self, base: SamModel, sample: Sample, embedding: Tensor) -> None:
        self.sam = plain_sam(base.name)
        self.sam.requires_grad_(False)
        self.sam.mask_decoder.requires_grad_(True)
        self._unused = Decoder(self.sam)
        self._optimizer = torch.optim.Adam(self.sam.mask_decoder.parameters())
        self._group = Group(sample, (0,))
        self._embedding = embedding
        self._rng = np.random.default_rng(0)

    def step(self) -> None:
        """Take one step."""
        targets = self._group.targets(self._embedding.device)
        prompts = draw_prompts(
            _POINT, targets, self._unused, self._embedding, self._rng
        )
        height, width = targets.shape[-2:]
        logits = _decode(self.sam, self._embedding, prompts)[0]
        loss = F.binary_cross_entropy_with_logits(
            logits[:, :1, :height, :width], targets
        )
        self._optimizer.zero_grad()
        loss.backward()
        self._optimizer.step()


def _decode(
    sam: Sam, embedding: Tensor, prompts: PromptTensors
) -> tuple[Tensor, Tensor]:
    """Return logits and mask token, by Segment Anything's own decoder."""
    points = (prompts.coords, prompts.labels)
    sparse, dense = sam.prompt_encoder(points=points, boxes=None, masks=None)
    kept: list[Tensor] = []
    handle = sam.mask_decoder.transformer.register_forward_hook(
        lambda _module, _inputs, output: kept.append(output[0][:, 1:2])
    )
    try:
        logits, _ = sam.mask_decoder.predict_masks(
            image_embeddings=embedding,
            image_pe=sam.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
        )
    finally:
        handle.remove()
    return logits, kept[0]
