"""Time to the first mask on a huge zarr, and what memory grows by.

Run: ``python benchmarks/huge_image.py`` (the library alone), and with ``--window`` in a
real napari window (under ``xvfb-run`` where there is no display). The image, 20,000 x
20,000 uint8 of noise and discs, is written to ``--folder`` once: half a gigabyte.

Baseline of the memory is the process after the model has answered a click on a small
image: what grows is what the huge image costs. ``--single`` leaves out the coarse
levels; napari itself then reads the whole image, to show it. ``--listed`` opens the
single level from the list of images, which makes coarse levels of it; ``--opened`` as a
person does who drops the folder on napari (``viewer.open``).

A click ends with the first frame on the screen after its answer.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import zarr

SIDE, CHUNK, RADIUS, PERIOD = 20_000, 1000, 60, 400
FACTORS = (1, 2, 4, 8, 16, 32)


def write_image(folder: Path) -> list[zarr.Array[Any]]:
    """Return the levels of the image, which are written if they are not there."""
    names = [folder / f"huge-{SIDE}-{factor}.zarr" for factor in FACTORS]
    if all((name / "done").exists() for name in names):
        return [zarr.open_array(name, mode="r") for name in names]
    levels = [
        zarr.create_array(
            name,
            shape=(SIDE // factor, SIDE // factor),
            chunks=(min(CHUNK, SIDE // factor),) * 2,
            dtype="uint8",
            overwrite=True,
        )
        for name, factor in zip(names, FACTORS, strict=True)
    ]
    rng = np.random.default_rng(0)
    near = np.arange(SIDE) % PERIOD - PERIOD / 2
    for row in range(0, SIDE, CHUNK):
        band = rng.integers(20, 60, (CHUNK, SIDE), np.uint8)
        band[np.hypot(near[row : row + CHUNK, None], near[None]) < RADIUS] += 140
        levels[0][row : row + CHUNK] = band
    for (
        coarse,
        fine,
    ) in zip(levels[1:], levels, strict=False):
        size = coarse.shape[0]
        for row in range(0, size, CHUNK):
            part = np.asarray(fine[2 * row : 2 * min(row + CHUNK, size), : 2 * size])
            blocks = part.reshape(part.shape[0] // 2, 2, size, 2)
            coarse[row : row + blocks.shape[0]] = blocks.mean(axis=(1, 3))
    for name in names:
        (name / "done").touch()
    return [zarr.open_array(name, mode="r") for name in names]


class Memory:
    """Watches how far the resident memory of this process grows."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self.start = self.peak = self._process.memory_info().rss
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._stop.wait(0.01):
            self.peak = max(self.peak, self._process.memory_info().rss)

    def grown_mb(self) -> float:
        """Return the growth to the peak so far, in MB."""
        return round((self.peak - self.start) / 1e6, 1)


def places(number: int) -> list[tuple[int, int]]:
    """Return (row, column) of discs all over the image."""
    rng = np.random.default_rng(1)
    cells = rng.integers(1, SIDE // PERIOD - 1, (number, 2))
    return [(int(r), int(c)) for r, c in cells * PERIOD + PERIOD // 2]


def small_image() -> np.ndarray:
    image = np.full((512, 512), 40, np.uint8)
    image[200:300, 200:300] = 180
    return image


def library(levels: list[Any], clicks: int) -> dict[str, Any]:
    """Click with the predictor, without a window."""
    from napari_infosam.core.huge_image import HugeImage
    from napari_infosam.core.prompts import Point, PromptSet
    from napari_infosam.models import Predictor, load_model

    predictor = Predictor(load_model("vit_t", "cpu"))
    small = predictor.embed(small_image())
    predictor.answer(PromptSet((Point(250, 250),)), None, small)
    memory, results = Memory(), dict[str, Any]()
    start = time.perf_counter()
    seen_at = 1.0
    image = HugeImage(levels, seen_at=lambda: seen_at).prepare()
    embedding = predictor.embed(image)
    results["seconds_prepare"] = time.perf_counter() - start

    def click(row: int, column: int) -> float:
        start = time.perf_counter()
        prompts = PromptSet((Point(column, row),))
        found = predictor.answer(prompts, None, embedding)
        if not found.mask.any():
            raise SystemExit("no mask was found")
        return time.perf_counter() - start

    where = places(clicks + 5)
    results["cpu_seconds_of_parts"] = parts(predictor, image, where.pop())
    cpu = time.process_time()
    results["seconds_first_click"] = click(*where[0])
    results["cpu_seconds_first_click"] = time.process_time() - cpu
    results["seconds_same_tile"] = click(*where[0])
    for stride, place in zip((4, 16), where[1:3], strict=True):
        seen_at = float(stride)
        results[f"seconds_first_click_at_stride_{stride}"] = click(*place)
    seen_at = 1.0
    spent = [click(*place) for place in where[4:]]
    results["seconds_other_tiles_median"] = float(np.median(spent))
    results["memory_growth_mb"] = memory.grown_mb()
    return results


def parts(predictor: Any, image: Any, place: tuple[int, int]) -> dict[str, float]:
    """Return the processor time of the parts of an answer in a new tile."""
    from napari_infosam.core.prompts import Point, PromptSet
    from napari_infosam.core.tiles import choose_tile

    prompts = PromptSet((Point(place[1], place[0]),))
    tile = choose_tile(image.plane, prompts)
    start = time.process_time()
    pixels = image.read_tile(tile)
    read = time.process_time()
    embedding = predictor.embed(pixels)
    embedded = time.process_time()
    predictor.answer(tile.prompts_inside(prompts), None, embedding)
    answered = time.process_time()
    return {
        "read": round(read - start, 3),
        "embed": round(embedded - read, 3),
        "answer": round(answered - embedded, 3),
    }


def window(
    levels: list[Any], clicks: int, path: Path | None = None, *, listed: bool = False
) -> dict[str, Any]:
    """Click in a napari window, from the mouse event to the painted mask.

    ``path`` is opened in place of the levels: by napari, or from the list of images.
    """
    import napari
    from qtpy.QtCore import QPoint, Qt
    from qtpy.QtTest import QTest
    from qtpy.QtWidgets import QApplication, QWidget

    viewer = napari.Viewer()
    viewer.window.resize(1200, 800)
    viewer.add_image(small_image(), name="small")
    _, panel = viewer.window.add_plugin_dock_widget("napari-infosam", "InfoSAM")
    session = panel.session
    canvas = next(
        child
        for child in panel.window().findChildren(QWidget)
        if type(child).__name__.startswith("CanvasBackend")
    )

    frames = 0

    def on_frame() -> None:
        nonlocal frames
        frames += 1

    canvas.frameSwapped.connect(on_frame)

    def wait(condition: Any, seconds: float = 300) -> float:
        start = time.perf_counter()
        while not condition():
            QApplication.processEvents()
            time.sleep(0.002)
            if time.perf_counter() - start > seconds:
                raise SystemExit("it took too long")
        return time.perf_counter() - start

    def click_middle() -> float:
        QApplication.processEvents()
        start = time.perf_counter()
        middle = QPoint(canvas.width() // 2, canvas.height() // 2)
        left, none = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
        QTest.mouseClick(canvas, left, none, middle)
        wait(lambda: session.is_answered)
        before = frames
        wait(lambda: frames > before)
        return time.perf_counter() - start

    wait(lambda: session.engine.is_ready)
    click_middle()
    session.clear()
    memory, results = Memory(), dict[str, Any]()
    start = time.perf_counter()
    if path is not None and listed:
        session.desk.choose(Path(tempfile.mkdtemp()) / "huge.infosam")
        panel.images_view.changes.add([path])
        name = path.name
    elif path is not None:
        name = viewer.open(str(path), plugin="napari")[0].name
    else:
        name = "huge"
        viewer.add_image(
            levels if len(levels) > 1 else levels[0],
            name=name,
            multiscale=len(levels) > 1,
            contrast_limits=(0, 255),
        )
    wait(lambda: session.source is not None and session.source.name == name)
    wait(lambda: session.engine.is_ready)
    results["seconds_open"] = time.perf_counter() - start
    results["memory_growth_mb_open"] = memory.grown_mb()
    spent = []
    for place in places(clicks + 1):
        viewer.scene.camera.center = (0, *place)
        viewer.scene.camera.zoom = 1.0
        for _ in range(20):
            QApplication.processEvents()
        spent.append(click_middle())
        if len(spent) == 1:
            results["memory_growth_mb_first_click"] = memory.grown_mb()
        session.accept()
        for _ in range(20):
            QApplication.processEvents()
    results["seconds_first_click"] = spent[0]
    results["seconds_other_tiles_median"] = float(np.median(spent[1:]))
    results["objects"] = session.objects_here()
    results["memory_growth_mb"] = memory.grown_mb()
    viewer.close()
    return results


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--clicks", type=int, default=10, help="further ones")
    parser.add_argument("--window", action="store_true")
    parser.add_argument("--single", action="store_true", help="no coarse levels")
    parser.add_argument("--listed", action="store_true", help="--window: by the list")
    parser.add_argument("--opened", action="store_true", help="--window: by napari")
    options = parser.parse_args()
    levels = write_image(options.folder)
    if options.single or options.listed or options.opened:
        levels = levels[:1]
    if options.window:
        by_path = options.listed or options.opened
        path = options.folder / f"huge-{SIDE}-1.zarr" if by_path else None
        results = window(levels, options.clicks, path, listed=options.listed)
    else:
        results = library(levels, options.clicks)
    results = {
        k: round(v, 3) if isinstance(v, float) else v for k, v in results.items()
    }
    about = {"levels": len(levels), "cores": psutil.cpu_count()}
    about["load_average"] = round(os.getloadavg()[0], 1)
    print(json.dumps({**about, **results}))


if __name__ == "__main__":
    main()
