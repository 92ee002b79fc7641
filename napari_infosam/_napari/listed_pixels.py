"""The pixels of an image of the list, from its file or from the project."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_infosam._napari.channels import usual_choice
from napari_infosam.core.channels import PLAIN, ChannelChoice
from napari_infosam.core.errors import InfosamError
from napari_infosam.core.overview import pyramid, read_overview
from napari_infosam.core.preprocess import Preprocessing
from napari_infosam.core.tiles import is_huge
from napari_infosam.project.formats.pictures import SkipError, read_array, tiff_axes
from napari_infosam.project.formats.pixel_size import pixel_sizes
from napari_infosam.project.huge_files import has_colours, open_huge
from napari_infosam.project.image_files import FOLDERS
from napari_infosam.project.split import stack_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from napari_infosam.project import Project
    from napari_infosam.project.huge_files import HugeFile
    from napari_infosam.project.listing import ListedImage

_TOO_LARGE = 512 * 2**20
"""Files of more bytes are left to napari's readers, which may read them lazily."""


@dataclass(frozen=True, slots=True)
class Pixels:
    """What was read.

    Attributes
    ----------
    array
        As it goes into an image layer; None where napari is to open the file itself.
    axes
        Names of the axes, where the file has some; () where it has none.
    levels
        Instead of an array: those of a huge image, from the finest to the coarsest.
    rgb
        Whether the last axis is colour; None where napari is to guess.
    is_copy
        Whether the file is missing, and these are the pixels that the project keeps.
    choice
        Which channels the model saw, where the first axis holds them.
    sizes
        Micrometres of a pixel along the axes of which the file states them.
    """

    array: NDArray[Any] | None
    rgb: bool | None = None
    is_copy: bool = False
    choice: ChannelChoice | None = None
    axes: tuple[str, ...] = ()
    levels: list[Any] | None = None
    sizes: Mapping[str, float] = field(default_factory=dict)


def read_listed(
    row: ListedImage,
    project: Project,
    report: Callable[[float], None] = lambda _: None,
    cancelled: Callable[[], bool] = lambda: False,
    *,
    huge_too: bool = True,
) -> Pixels:
    """Return the pixels of an image; runs on a worker.

    Parameters
    ----------
    report
        Called with the part that is read of a huge image without coarse levels.
    cancelled
        Asked meanwhile whether nobody waits for it any more.
    huge_too
        Whether a huge image is opened, for which all of it may have to be read;
        otherwise it has no array, and no levels either.

    Raises
    ------
    InfosamError
        If its file is missing or can not be read, and the project has no copy.
    """
    path = None if row.path is None else Path(row.path)
    if path is not None and path.exists():
        huge, sizes = open_huge(path), pixel_sizes(path)
        if huge is not None and not huge.is_ngff:
            if not huge_too:
                return Pixels(None)
            levels = _with_overview(huge, report, cancelled)
            return Pixels(None, huge.rgb or None, levels=levels, sizes=sizes)
        if path.suffix.lower() in FOLDERS or os.path.getsize(path) > _TOO_LARGE:
            return Pixels(None, sizes=sizes)
        try:
            array = read_array(path)
        except SkipError as error:
            raise InfosamError(f"{error}: take it out of the list.") from error
        if array.dtype.kind not in "buif":
            raise InfosamError(
                f"{row.name} holds values of type {array.dtype}, which can not be "
                "shown: convert them to an integer or float type."
            )
        axes = _named_axes(tiff_axes(path), array.ndim)
        if "c" in axes and _has_single_channels(row, project, array.ndim - 2):
            axes = ()
        is_colour = not axes and array.ndim == 3 and array.shape[2] in (3, 4)
        return Pixels(array, is_colour or None, axes=axes, sizes=sizes)
    ids = project.listing.image_ids(row.id)
    if not ids:
        raise InfosamError(
            f"The file {row.path} is missing: put it back, or find it with Relink."
        )
    record = project.image(ids[0])
    if record.is_huge:
        raise InfosamError(_missing_huge(row))
    pixels = np.array(project.read_image(ids[0]))
    if record.axes == "YXC" and record.shape[2] not in (3, 4):
        choice = ChannelChoice(axis=0, seen=record.preprocessing.channels)
        return Pixels(np.moveaxis(pixels, -1, 0), False, path is not None, choice)
    return Pixels(pixels, record.axes == "YXC", path is not None)


def shown_of(
    pixels: Pixels, chosen: ChannelChoice | None, *, any_slice: bool = False
) -> tuple[NDArray[Any], Preprocessing] | None:
    """Return what the model will be shown of an image that is not in a layer yet.

    Parameters
    ----------
    pixels
        What was read.
    chosen
        Which channels a person chose for its file, or None.
    any_slice
        Whether the middle slice may stand for a stack.

    Returns
    -------
    tuple or None
        The pixels, ``(Y, X)`` or ``(Y, X, C)``, and how they are preprocessed. None
        where that depends on what is in view (the slice of a stack, other layers), and
        for huge images.
    """
    array = pixels.array
    if array is None:
        return None
    rgb = pixels.rgb
    if rgb is None:
        rgb = not pixels.axes and has_colours(array.shape)
    choice = pixels.choice or chosen or _usual(array.shape, pixels.axes, rgb=rgb)
    n_channels = array.shape[-1] if rgb else 0
    axis = choice.axis
    if axis is not None and axis < array.ndim - 2 and not rgb:
        array, n_channels = np.moveaxis(array, axis, -1), array.shape[axis]
    elif choice.is_own_picture:
        return None
    leading = array.shape[: array.ndim - 2 - bool(n_channels)]
    if leading and not any_slice:
        return None
    array = array[tuple(number // 2 for number in leading)]
    seen = choice.seen
    if is_huge(array.shape) or any(channel >= n_channels for channel in seen or ()):
        return None
    return array, Preprocessing(channels=seen)


def _usual(
    shape: tuple[int, ...], axes: tuple[str, ...], *, rgb: bool
) -> ChannelChoice:
    return PLAIN if rgb else usual_choice(shape, axes)


def _named_axes(axes: str, ndim: int) -> tuple[str, ...]:
    """Return the names of the axes of a stack of planes, if one at least is known.

    Colours on the last axis are none of it, and neither are pages without a meaning;
    colours in planes of their own are channels.
    """
    axes = axes.replace("S", "C")
    is_stack = len(axes) == ndim and axes.endswith("YX") and set(axes) & set("TZC")
    return tuple(axes.lower()) if is_stack else ()


def _has_single_channels(row: ListedImage, project: Project, n_leading: int) -> bool:
    """Return whether channels were annotated as slices by an earlier release."""
    for image_id in project.listing.image_ids(row.id):
        record = project.image(image_id)
        stack = stack_of(record.name)
        if record.axes == "YX" and stack is not None and len(stack[1]) == n_leading:
            return True
    return False


def _with_overview(
    huge: HugeFile, report: Callable[[float], None], cancelled: Callable[[], bool]
) -> list[Any]:
    """Return the levels of a huge image, with coarser ones if there is but one.

    Of a stack they are made when they are looked at, slice by slice.
    """
    full, *coarser = huge.levels
    if coarser:
        return huge.levels
    made = None
    if full.ndim == 2 + huge.rgb:
        made = read_overview(full, report, cancelled)
    if made is None:
        return pyramid(full, rgb=huge.rgb)
    return pyramid(full, rgb=huge.rgb, made=made[0], made_stride=made[1])


def _missing_huge(row: ListedImage) -> str:
    """Say why a huge image can not be shown, and what to do."""
    if row.path is None:
        return (
            f"{row.name} was opened without a file, and is too large for a copy in the "
            "project: open it again, and its objects are found."
        )
    return (
        f"The file {row.path} is missing, and it is too large for a copy in the "
        "project: put the file back, or find it with Relink."
    )
