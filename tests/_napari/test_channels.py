"""The model is shown, and trains on, the channels that a person chooses."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from napari.layers import Image

from napari_infosam._napari import commands, prefetch
from napari_infosam._napari.channels import CHOICE, choice_of, kinds_of
from napari_infosam._napari.channels_dialog import ChannelsDialog
from napari_infosam._napari.image_source import source_at
from napari_infosam._napari.listed_pixels import read_listed
from napari_infosam._napari.readers import read_projects
from napari_infosam.core.channels import ChannelChoice
from napari_infosam.core.preprocess import Preprocessing, to_rgb_uint8
from napari_infosam.project import Project

from .helpers import DISCS, picture
from .window import Window

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

OpenWindow = Callable[..., Window]


def channels(number: int = 5) -> NDArray[np.uint8]:
    """Return ``(C, Y, X)`` of which only channel 1 shows the discs."""
    rng = np.random.default_rng(1)
    made = rng.integers(20, 40, (number, *picture().shape), np.uint8)
    made[1] = picture()
    return made


def choose(window: Window, kind: int | None = None, *seen: int | None) -> None:
    """Choose in the dialog as a person does; None is no colour."""
    window.press(window.panel.annotate.channels)
    (dialog,) = window.panel.findChildren(ChannelsDialog)
    if kind is not None:
        dialog.kind.setCurrentIndex(kind)
        dialog.kind.activated.emit(kind)
    for box, channel in reversed(list(zip(dialog.seen, seen, strict=False))):
        if box.currentData() == channel:
            continue
        assert box.isEnabled()
        place = box.findData(channel)
        box.setCurrentIndex(place)
        box.activated.emit(place)
    dialog.close()
    window.wait(lambda: not window.panel.findChildren(ChannelsDialog))
    window.wait_ready()


def test_one_channel_of_an_axis_is_seen_and_trained_on(open_window: OpenWindow) -> None:
    window = open_window(("cells", channels()))
    choose(window, 1, 1, None, None)
    source = window.session.source
    assert source.choice == ChannelChoice(axis=0, seen=(1,))
    assert source.slice_index == ()
    window.accept_at(DISCS[0])
    project = window.session.desk.project
    (record,) = project.images()
    pixels = np.moveaxis(channels(), 0, -1)
    np.testing.assert_array_equal(project.read_image(record.id), pixels)
    seen = to_rgb_uint8(project.read_image(record.id), record.preprocessing)
    np.testing.assert_array_equal(seen, np.stack([picture()] * 3, axis=-1))

    # other channels are the same picture: prompts and objects stay
    window.click(*DISCS[1])
    before = window.session.engine.embedding
    choose(window, None, 3, None, None)
    window.wait_answer()
    assert window.session.engine.embedding.key != before.key
    assert window.shown_objects() == {1}
    (record,) = project.images()
    assert record.preprocessing.channels == (3,)


def test_layers_on_each_other_are_channels(open_window: OpenWindow) -> None:
    parts = [(f"cells {n}", one) for n, one in enumerate(channels(3))]
    window = open_window(*parts, blending="additive")
    choose(window, 1, 2, 1, None)
    assert window.panel.link.channels.seen == (2, 1)
    window.viewer.layers.selection.active = window.layer("cells 0")
    window.wait(lambda: window.panel.link.image.name == "cells 0")
    assert window.panel.link.channels.layers == ("cells 0", "cells 1", "cells 2")
    window.accept_at(DISCS[2])
    (record,) = window.session.desk.project.images()
    assert record.shape == (128, 160, 3)
    assert record.preprocessing.channels == (2, 1)


def test_the_choice_comes_back_with_the_file(
    open_window: OpenWindow, tmp_path: Path, projects: Path
) -> None:
    path = tmp_path / "cells.tif"
    tifffile.imwrite(path, channels(), photometric="minisblack")
    window = open_window()
    window.viewer.open(str(path), plugin="napari")
    choose(window, 1, 1, None, None)
    window.accept_at(DISCS[0])
    window.panel.close_down()

    again = open_window()
    again.viewer.open(str(path), plugin="napari")
    again.wait(lambda: again.session.desk.project is not None)
    again.wait(lambda: again.panel.link.channels.seen == (1,))
    again.wait(lambda: again.shown_objects() == {1})
    assert [folder.name for folder in projects.iterdir()] == ["cells.infosam"]


def test_colours_of_an_image_come_back_with_its_project(
    open_window: OpenWindow,
) -> None:
    colours = np.stack([picture(), picture(90), picture(0)], axis=-1)
    window = open_window(("cells", colours))
    choose(window, None, 1, None, None)
    window.accept_at(DISCS[0])
    path = window.session.desk.project.path
    window.panel.close_down()
    again = open_window(("cells", colours))
    again.wait(lambda: again.panel.link.channels.seen == (1,))
    again.wait_ready()
    with Project.open(path, lock=False) as project:
        assert [image.preprocessing.channels for image in project.images()] == [(1,)]


def test_a_single_channel_has_nothing_to_choose(window: Window) -> None:
    assert "one channel" in window.panel.annotate.channels.toolTip()
    assert not window.panel.annotate.channels.isEnabled()
    commands.channels()
    assert "one channel" in window.panel.status.text()
    window.panel.show_channels()
    (dialog,) = window.panel.findChildren(ChannelsDialog)
    assert not dialog.kind.isEnabled()


def test_an_axis_that_is_called_so_holds_channels() -> None:
    stack = np.zeros((7, 4, 16, 16), np.uint16)
    named = Image(stack, axis_labels=("z", "c", "y", "x"))
    assert choice_of(named, [named]) == ChannelChoice(axis=1, seen=(0, 1, 2))
    plain = Image(stack)
    assert choice_of(plain, [plain]) == ChannelChoice()
    kinds = kinds_of(plain, [plain])
    assert [kind.choice.axis for kind in kinds] == [None, 0, 1]
    assert kinds[2].title == "Axis 1 (4 channels)"
    plain.metadata[CHOICE] = ChannelChoice(axis=1, seen=(4,))  # of another image
    assert choice_of(plain, [plain]) == ChannelChoice()
    with pytest.raises(ValueError, match="at most 3"):
        ChannelChoice(seen=(0, 1, 2, 3))


def test_channels_of_a_project_open_as_they_were_seen(tmp_path: Path) -> None:
    pixels = np.moveaxis(channels(), 0, -1)
    with Project.create(tmp_path / "p") as project:
        how = Preprocessing(channels=(1,))
        record = project.add_image(pixels, "cells", preprocessing=how)
        listed = project.listing.of_image(record.id)
        (row,) = [row for row in project.listing.rows() if row.id == listed]
        copy = read_listed(row, project)
        (data, settings, _), _ = read_projects(str(project.path))
    layer = Image(copy.array, metadata={CHOICE: copy.choice})
    for image in (layer, Image(data, **settings)):
        source = source_at(image, (), choice=choice_of(image, [image]))
        np.testing.assert_array_equal(source.read(), pixels)
        assert source.preprocessing == how


def test_the_next_image_is_embedded_ahead_with_its_channels(
    open_window: OpenWindow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        pixels = channels() + np.uint8(name == "b")
        tifffile.imwrite(tmp_path / f"{name}.tif", pixels, photometric="minisblack")
    with Project.create(tmp_path / "cells") as project:
        choice = ChannelChoice(axis=0, seen=(1,))
        project.channels.put(str(tmp_path / "b.tif"), choice)
    window = open_window()
    from napari_infosam.models.embeddings import EmbeddingCache
    from napari_infosam.models.prediction import embedding_key
    from napari_infosam.models.sam_model import SamModel

    encoded: list[NDArray[np.uint8]] = []
    kept: list[str] = []
    encode, put = SamModel.encode, EmbeddingCache.put

    def counted(self: SamModel, image: NDArray[np.uint8]) -> object:
        encoded.append(image)
        return encode(self, image)

    def noted(self: EmbeddingCache, key: str, features: Any) -> None:
        put(self, key, features)
        kept.append(key)

    monkeypatch.setattr(SamModel, "encode", counted)
    monkeypatch.setattr(EmbeddingCache, "put", noted)
    # beside other work it would have to wait
    monkeypatch.setattr(prefetch, "give_way", lambda: None)
    window.session.desk.choose(tmp_path / "cells.infosam")
    window.panel.images_view.changes.add([tmp_path / "a.tif", tmp_path / "b.tif"])
    window.wait(lambda: window.panel.link.image is not None)
    window.wait_ready()
    seen = np.stack([picture() + np.uint8(1)] * 3, axis=-1)
    key = embedding_key(seen, window.session.engine.model.encoder_hash)
    window.wait(lambda: key in kept, seconds=200)
    already = len(encoded)
    window.press(window.panel.images_view.next)
    window.wait(lambda: window.session.source.choice.seen == (1,))
    window.wait_ready()
    assert window.session.source.name == "b.tif"
    assert window.session.engine.embedding.key == key
    assert len(encoded) == already
