"""A picture that any model segments, and an executor that works at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from napari_infosam._napari.image_source import ImageSource

T = TypeVar("T")


class AtOnce:
    """An executor that works in the caller's thread, when it is told to."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], None]] = []
        self.holds = False

    def submit(
        self,
        work: Callable[[], T],
        done: Callable[[T], None],
        failed: Callable[[Exception], None],
    ) -> None:
        def task() -> None:
            try:
                result = work()
            except Exception as error:
                failed(error)
            else:
                done(result)

        self.waiting.append(task)
        if not self.holds:
            self.release()

    def release(self, number: int | None = None) -> None:
        """Work through what is queued, or through the first few."""
        while self.waiting and number != 0:
            number = None if number is None else number - 1
            self.waiting.pop(0)()

    def post(self, callback: Callable[[], None]) -> None:
        callback()

    def close(self) -> None:
        self.waiting.clear()
        self.holds = True


DISCS = ((40, 44), (40, 120), (92, 80))
"""(row, column) of the discs in `picture`; their radius is 18."""


def picture(brightness: int = 200) -> NDArray[np.uint8]:
    """Return ``(128, 160)`` with three discs that any model segments."""
    rows, columns = np.mgrid[:128, :160]
    image = np.random.default_rng(0).integers(20, 40, (128, 160))
    for row, column in DISCS:
        image[np.hypot(rows - row, columns - column) < 18] = brightness
    return image.astype(np.uint8)


def disc(number: int) -> NDArray[np.bool_]:
    """Return the true mask of one disc of `picture`."""
    rows, columns = np.mgrid[:128, :160]
    row, column = DISCS[number]
    return np.hypot(rows - row, columns - column) < 18


def source(image: NDArray[Any], name: str = "discs", **kwargs: Any) -> ImageSource:
    """Return an image as a session takes it."""
    values: dict[str, Any] = {
        "key": name,
        "layer": name,
        "name": name,
        "shape": image.shape[:2],
        "slice_index": (),
        "source": None,
        "read": lambda: image,
    }
    return ImageSource(**{**values, **kwargs})
