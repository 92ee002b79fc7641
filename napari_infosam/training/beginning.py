"""What a training begins with: the base, or what a version before has learnt."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors.torch import load_file

from napari_infosam.core.errors import InfosamError
from napari_infosam.models.student import STUDENT_FILE, StudentSpec, read_spec
from napari_infosam.project.versions import BASE, JUDGED_ON_IMAGES
from napari_infosam.training.predecessor import predecessor
from napari_infosam.training.relation import RELATION_FILE, RelationModule

if TYPE_CHECKING:
    from segment_anything.modeling import Sam
    from torch import Tensor

    from napari_infosam.core.options import FinetuneOptions
    from napari_infosam.models.sam_model import SamModel
    from napari_infosam.project import Project

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Beginning:
    """Where a training begins.

    Attributes
    ----------
    version
        Who has learnt before, for the model card.
    weights
        By their names in the student, of its decoder or of everything; they have been
        through the quick stage. None leaves the student as it is made, or as a
        checkpoint has it.
    relation
        File of the version's relation module, if it has one that goes on.
    """

    version: str = BASE
    weights: Mapping[str, Tensor] | None = None
    relation: Path | None = None

    def copy_to(self, student: Sam) -> None:
        """Give a student these weights.

        Raises
        ------
        ValueError
            If they are of another kind of student.
        """
        if self.weights is None:
            return
        unknown = student.load_state_dict(self.weights, strict=False).unexpected_keys
        if unknown:
            raise ValueError(f"weights of another kind of student: {unknown}")


def decoder_weights(sam: Sam) -> dict[str, Tensor]:
    """Return the weights of the mask decoder, by their names in the whole model."""
    weights: dict[str, Tensor] = sam.mask_decoder.state_dict(prefix="mask_decoder.")
    return weights


def begin_with(project: Project, base: SamModel, options: FinetuneOptions) -> Beginning:
    """Return where a training begins.

    With its `predecessor`, if the student will be of its kind, or if the version has
    changed the decoder only, where any student but HQ-SAM goes on; with the base
    otherwise. With the base, too, if all that the version learnt was in one image: of
    its objects other ones judge as soon as there are more images, and the version has
    learnt them.

    Parameters
    ----------
    project
        The project.
    base
        Its base model.
    options
        Of the run.
    """
    before = predecessor(project)
    if before is None or options.begin == "base" or options.recipe == "paper":
        return Beginning()
    if not before.metrics.get(JUDGED_ON_IMAGES):
        return Beginning()
    file = project.version_dir(before.id) / STUDENT_FILE
    known = read_spec(file)
    method = options.method if options.stages[-1] == "full" else "decoder"
    wanted = StudentSpec.of(base, method, options.first_block)
    if known == wanted:
        goes_on = options.relation_from is None
        return Beginning(
            before.id, load_file(file), _relation(file) if goes_on else None
        )
    is_decoder = known.method == "decoder" and not known.published_input
    if is_decoder and wanted.method != "hq-sam":
        return Beginning(before.id, load_file(file))
    return Beginning()


def _relation(student: Path) -> Path | None:
    """Return the file of the relation module of a student, if it can be read."""
    path = student.with_name(RELATION_FILE)
    if not path.is_file():
        return None
    try:
        RelationModule().load(path)
    except InfosamError as error:
        logger.warning("The relation module begins anew: %s", error)
        return None
    return path
