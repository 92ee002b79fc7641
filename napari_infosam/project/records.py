"""What a project holds, as read from its database."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from napari_infosam.core.huge_image import SAMPLED
from napari_infosam.core.masks import BoolArray, decode_rle

if TYPE_CHECKING:
    from napari_infosam.core.preprocess import Preprocessing
    from napari_infosam.core.prompts import Box, PromptSet

Split = Literal["train", "val"]
Status = Literal["active", "accepted", "rejected"]
Action = Literal[
    "commit",
    "delete",
    "relabel",
    "replace",
    "merge",
    "split",
    "paint",
    "propagate",
    "import",
    "add_class",
    "rename_class",
    "recolor_class",
]
Overlap = Literal["allow", "keep", "replace"]
"""What becomes of pixels that earlier objects have: both have them (``allow``), the
earlier ones keep them (``keep``), or the new one takes them (``replace``)."""


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """An image of the project, whose pixels lie in ``images/<content_hash>.npy``.

    Of a huge image there are tiles in the folder ``images/<content_hash>``.

    ``axes`` is ``YX`` or ``YXC`` and ``shape`` follows it. ``source`` is where the
    image came from, as text, or None. ``split`` is None until the image gets its
    first reviewed object, and never changes afterwards.
    """

    id: int
    name: str
    content_hash: str
    shape: tuple[int, ...]
    axes: str
    dtype: str
    source: str | None
    preprocessing: Preprocessing
    split: Split | None

    @property
    def is_huge(self) -> bool:
        """Whether there are only tiles of it."""
        return self.content_hash.startswith(SAMPLED)


@dataclass(frozen=True, slots=True)
class ClassRecord:
    """A class of objects; ``color`` is ``#rrggbb``."""

    id: int
    name: str
    color: str


class ClassChange(NamedTuple):
    """A class before a step and after it; one that is new was none before."""

    before: ClassRecord | None
    after: ClassRecord


@dataclass(frozen=True, slots=True)
class ObjectRecord:
    """An accepted object, as it is since its last change.

    Attributes
    ----------
    id
        Of this state of it: an object that is changed is written anew, under
        another id, so that undo can bring the old state back.
    instance_id
        Its value in the label image: 1, 2, ... within an image and slice. It stays
        when the class or the mask is changed.
    rle, shape
        COCO run-length encoding of the mask, and its (height, width).
    box
        Tight box in pixel coordinates, XYXY, both corners included.
    area
        Number of pixels.
    score
        IoU the model predicted for its own proposal; None where there was none, or
        where pixels were changed since.
    model_version
        What answered the prompts: ``base``, ``v003``; or ``import``, ``painted``.
    created
        Seconds since the epoch.
    prompts, proposal_ious
        The prompts of its author, and the IoU of the proposal with the accepted mask
        after each of them, where known. A rough mask counts before the box, and that
        before the points.
    """

    id: int
    image_id: int
    slice_index: tuple[int, ...]
    class_name: str
    instance_id: int
    rle: bytes
    shape: tuple[int, int]
    box: Box
    area: int
    score: float | None
    model_version: str
    reviewed: bool
    created: float
    prompts: PromptSet
    proposal_ious: tuple[float, ...]

    def mask(self) -> BoolArray:
        """Return the ``(H, W)`` mask."""
        return decode_rle(self.rle, self.shape)


class ObjectSummary(NamedTuple):
    """What a list of objects shows; fields as in `ObjectRecord`."""

    id: int
    instance_id: int
    class_name: str
    area: int
    score: float | None
    model_version: str


@dataclass(frozen=True, slots=True)
class VersionRecord:
    """A trained student and what the gate said about it.

    ``id`` is ``vNNN`` and ``parent`` the version that was active then, or ``base``.
    ``status`` is ``active`` for the version that answers clicks, else the gate's
    verdict. ``options`` and ``metrics`` hold plain JSON values; ``created`` is in
    seconds since the epoch. ``name`` and ``pinned`` are a person's marks: what is read
    from a project has them, and `Shelf` sets them.
    """

    id: str
    parent: str
    method: str
    stage: str
    options: dict[str, Any]
    data_hash: str
    metrics: dict[str, Any]
    status: Status
    reason: str = ""
    created: float = field(default_factory=time.time)
    name: str = ""
    pinned: bool = False


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """A step of the undo journal: what was done to which object, or to which class.

    Attributes
    ----------
    object_id, image_id
        The first object that the step made, and its image; of a delete the first that
        it hid. 0 where the step is about a class.
    n_objects
        Number of objects it made, or hid if it made none.
    box, slice_index
        Where its pixels lie: outside of them the label image is as it was before. No
        box where the step may be in several images, or in none.
    classes
        What became of classes.
    """

    action: Action
    object_id: int
    image_id: int
    n_objects: int = 1
    box: Box | None = field(default=None, compare=False)
    slice_index: tuple[int, ...] = field(default=(), compare=False)
    classes: tuple[ClassChange, ...] = ()
