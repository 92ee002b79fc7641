"""Files of masks: label images, stacks of them, and binary masks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_infosam.project.formats.mask_runs import MaskRuns
from napari_infosam.project.formats.pictures import SkipError, read_array
from napari_infosam.project.formats.progress import Tell, nobody
from napari_infosam.project.huge_files import bands, open_huge

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_LOSSY = (".jpg", ".jpeg")


class ColourError(SkipError):
    """A mask file is a colour picture."""


class MaskFile:
    """The label image, or the stack of label images, of a file.

    A huge one is read in bands, and only while `objects` goes through it.

    Parameters
    ----------
    path
        An image file.
    binary
        Take all that is not zero as one object.

    Attributes
    ----------
    name
        Of the file.
    shape
        ``(..., H, W)``.

    Raises
    ------
    SkipError
        If it can not be read, or can not be labels.
    """

    def __init__(self, path: Path, *, binary: bool = False) -> None:
        self.name = path.name
        self._binary = binary
        self._is_lossy = path.suffix.lower() in _LOSSY
        huge = open_huge(path)
        self._array = read_array(path, labels=True) if huge is None else huge.levels[0]
        shape = tuple(map(int, self._array.shape))
        self._is_colour = len(shape) == 3 and shape[-1] in (3, 4)
        if len(shape) == 3 and shape[-1] == 1:
            self._array, shape = self._array[..., 0], shape[:-1]
        if self._is_colour:
            if not binary:
                raise ColourError(
                    f"{self.name} is a colour picture of shape {shape}, a mask has "
                    "one channel with one value for each object"
                )
            shape = shape[:-1]
        if len(shape) < 2:
            raise SkipError(f"{self.name} has the shape {shape}, a mask is (H, W)")
        self.shape = shape
        if self._array.dtype.kind not in "buif":
            raise SkipError(f"{self.name} holds values that are no numbers")
        if self._is_lossy and not binary:
            raise SkipError(
                f"{self.name} is a JPEG file, which blurs labels: save it as PNG or "
                "TIFF, or import it as binary"
            )

    def objects(
        self, position: tuple[int, ...] = (), tell: Tell = nobody
    ) -> list[tuple[int, bytes]]:
        """Return each value but zero, and the COCO encoding of its mask.

        Parameters
        ----------
        position
            Of the label image in the stack.

        Raises
        ------
        SkipError
            If it holds anything but whole numbers from zero on, or can not be read.
        """
        height, width = self.shape[-2:]
        runs = MaskRuns((height, width))
        for band in bands(self._array, len(position)):
            runs.add(self._read((*position, band)), band.start)
            tell(band.stop / height)
        return list(runs.rles())

    def whole(self) -> NDArray[Any]:
        """Return all of it, ``(..., H, W)``; raises as `objects` does."""
        return self._read(())

    def _read(self, place: tuple[Any, ...]) -> NDArray[Any]:
        """Return labels, bool if they are one object."""
        try:
            labels = np.asarray(self._array[place])
        except Exception as error:  # whatever a codec stumbles over
            raise SkipError(f"{self.name} can not be read ({error})") from error
        if self._is_colour:
            # the object may have any colour on black
            labels = labels[..., :3].max(axis=-1)
        kind = labels.dtype.kind
        if kind == "f" and not np.isfinite(labels).all():
            raise SkipError(f"{self.name} holds values that are no numbers")
        if self._is_lossy:
            bright: NDArray[np.bool_] = labels > np.iinfo(labels.dtype).max // 2
            return bright
        if self._binary:
            foreground: NDArray[np.bool_] = labels != 0
            return foreground
        if (kind == "f" and (labels % 1).any()) or labels.min(initial=0) < 0:
            raise SkipError(
                f"{self.name} holds values that are not 0, 1, 2, ...: save a label "
                "image"
            )
        return labels
