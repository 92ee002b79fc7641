"""What a training does with less memory: smaller batches, then fewer objects."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from napari_infosam.core.words import counted
from napari_infosam.training.batches import IMAGES_PER_BATCH, OBJECTS_PER_GROUP
from napari_infosam.training.failures import is_out_of_memory

if TYPE_CHECKING:
    from napari_infosam.core.events import StageName


class Portions:
    """Images of a batch and objects of each; they shrink when memory runs out.

    Attributes
    ----------
    objects
        Of one image in a step.
    """

    def __init__(self) -> None:
        self._most_images = max(IMAGES_PER_BATCH.values())
        self.objects = OBJECTS_PER_GROUP

    def images(self, stage: StageName) -> int:
        """Return the images of a batch of a stage."""
        return min(IMAGES_PER_BATCH[stage], self._most_images)

    def shrink(self, stage: StageName) -> str | None:
        """Take less, and return what in one sentence; None if that is not possible."""
        images = self.images(stage)
        if images > 1:
            self._most_images = images // 2
            return (
                f"There is not enough memory: training goes on with "
                f"{counted(images // 2, 'image')} in a batch instead of {images}."
            )
        if self.objects > 1:
            before, self.objects = self.objects, self.objects // 2
            return (
                "There is not enough memory: training goes on with "
                f"{counted(self.objects, 'object')} of an image at a time instead of "
                f"{before}."
            )
        return None

    def begin_smaller(self, stage: StageName, deaths: int) -> str | None:
        """Take less from the beginning, since processes have vanished before.

        Parameters
        ----------
        stage
            The first one.
        deaths
            So many processes, in a row.

        Returns
        -------
        str or None
            What is taken, in one sentence; None if that is no less than otherwise.
        """
        shrunk = [self.shrink(stage) for _ in range(deaths)]
        if not any(shrunk):
            return None
        return (
            "The training process vanished, probably because memory ran out: now it "
            f"trains with {counted(self.images(stage), 'image')} in a batch, and "
            f"{counted(self.objects, 'object')} of each at a time."
        )


def fits(work: Callable[[], None]) -> bool:
    """Do some work, and return whether there was enough memory for it.

    If not, what it held is free again. Other errors are raised.
    """
    try:
        work()
    except Exception as error:
        if not is_out_of_memory(error):
            raise
    else:
        return True
    # only now: the error held on to all variables of the work
    release_memory()
    return False


def release_memory() -> None:
    """Give back what is not used any more, to the device as well."""
    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
