"""OME-Zarr: pixels with label images under them, of a picture or a whole stack."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_infosam.core.errors import InfosamError
from napari_infosam.core.preprocess import Preprocessing
from napari_infosam.project.classes import COLOUR
from napari_infosam.project.failures import one_sentence
from napari_infosam.project.files import content_hash
from napari_infosam.project.formats.importing import Draft, refuse
from napari_infosam.project.formats.items import IMPORTED, Item
from napari_infosam.project.formats.mask_runs import MaskRuns
from napari_infosam.project.formats.ngff import (
    Planes,
    Slab,
    ngff_attributes,
    own_attributes,
)
from napari_infosam.project.formats.ome_zarr_files import SUFFIX, slice_key
from napari_infosam.project.formats.pictures import SkipError
from napari_infosam.project.formats.progress import Tell, nobody, part_of
from napari_infosam.project.formats.targets import (
    ImageFile,
    Target,
    file_target,
    open_target,
)
from napari_infosam.project.images import check_pixels
from napari_infosam.project.split import slice_name

if TYPE_CHECKING:
    from napari_infosam.project.formats.ngff import Place
    from napari_infosam.project.formats.stacks import Position
    from napari_infosam.project.formats.targets import Images


def read(source: Path, images: Images | None = None, tell: Tell = nobody) -> Draft:
    """Read a store, or all stores of a folder, with their label images.

    Of a stack each slice that has objects becomes an image.

    Parameters
    ----------
    source
        A store, or a folder of them.
    images
        Where to look for the image of a store that has labels alone.

    Raises
    ------
    InfosamError
        If there is none, or one is not as it should be.
    """
    draft, classes, slab = Draft(), dict[str, str | None](), Slab()
    stores = _stores(source)
    for number, store in enumerate(stores):
        part = part_of(tell, number, len(stores))
        part(0)
        # whatever a broken store makes zarr stumble over
        try:
            found = _Store(store, images, slab)
            before = len(draft.images) + len(draft.skipped)
            for target, items in found.pictures(draft.skipped, part):
                draft.images.append((target, items))
                classes |= found.colours
        except InfosamError:
            raise
        except Exception as error:
            what = f"{type(error).__name__}: {error}"
            raise refuse(store, f"it is no readable OME-Zarr image ({what})") from error
        if before == len(draft.images) + len(draft.skipped):
            draft.skipped.append(f"{store.name}: it has no labels")
    draft.classes = classes
    return draft


def _stores(source: Path) -> list[Path]:
    with one_sentence(source):
        if _is_store(source):
            return [source]
        inside = sorted(source.iterdir()) if source.is_dir() else []
        stores = [path for path in inside if _is_store(path)]
    if not stores:
        raise InfosamError(f"There is no OME-Zarr image in {source}: check it.")
    return stores


def _is_store(path: Path) -> bool:
    return (path / ".zgroup").is_file() or (path / "zarr.json").is_file()


class _Store:
    """An image, or a stack of them, with the label images under it.

    Parameters
    ----------
    path
        Where it lies.
    images
        Where to look for the image of labels that have no pixels.
    slab
        Where pixels are kept.

    Attributes
    ----------
    colours
        Of the classes that it names.
    """

    def __init__(self, path: Path, images: Images | None, slab: Slab) -> None:
        import zarr

        root = zarr.open_group(path, mode="r")
        own = own_attributes(root)
        self._path, self._images = path, images
        self._name = str(own.get("name") or path.name.removesuffix(SUFFIX))
        self._source = own.get("source")
        self._labels = list[_LabelImage]()
        self.colours: dict[str, str] = {}
        parent = root.get("labels")
        if parent is not None:
            names = ngff_attributes(parent).get("labels", [])
            self._labels = [_LabelImage(parent[name], path, slab) for name in names]
        for classes in (
            *(labels.colours for labels in self._labels),
            own.get("classes") or {},
        ):
            self.colours |= {
                str(name): colour
                for name, colour in classes.items()
                if COLOUR.fullmatch(colour)
            }
        self._pixels: Planes | None = None
        # labels alone are those of an image that is too large to be copied
        if parent is None or "multiscales" in ngff_attributes(root):
            self._pixels = Planes(root, path, slab)
        planes = [labels.planes for labels in self._labels]
        first = self._pixels or next(iter(planes), None)
        self._sizes = first.sizes if first else {}
        self._is_stack = "stack" in own or any(n > 1 for n in self._sizes.values())
        for labels in self._labels:
            if first is not None:
                labels.check(first)

    def pictures(
        self, skipped: list[str], tell: Tell
    ) -> Iterator[tuple[Target, list[Item]]]:
        """Yield each picture that has objects, with these.

        Parameters
        ----------
        skipped
            Gets a line for each picture that is not found.
        """
        positions = list(np.ndindex(*self._sizes.values()))
        for number, position in enumerate(positions):
            place = dict(zip(self._sizes, position, strict=True))
            part = part_of(tell, number, len(positions))
            items = [
                item
                for n, labels in enumerate(self._labels)
                for item in labels.items(place, part_of(part, n, len(self._labels)))
            ]
            if items:
                try:
                    yield self._target(place), items
                except SkipError as reason:
                    skipped.append(f"{self._path.name}: {reason}")

    def _target(self, place: Place) -> Target:
        position: Position = ()
        name = self._name
        if self._is_stack:
            # without a suffix, as the window calls the slices of a layer
            position = tuple(place.values())
            name = slice_name(name.removesuffix(".zarr"), position)
        if self._pixels is None:
            return self._target_elsewhere(name, position)
        planes = self._pixels
        pixels = planes.picture(place)
        check_pixels(pixels, Preprocessing())
        return Target(
            name=name,
            shape=planes.shape,
            digest=content_hash(pixels),
            read=lambda: planes.picture(place),
            source=str(self._path.absolute()),
        )

    def _target_elsewhere(self, name: str, position: Position) -> Target:
        """Return the image of labels that have no pixels, as those of huge images."""
        try:
            if self._images is not None:
                return self._images.find(name)
        except SkipError:
            pass
        path = Path(str(self._source or self._name))
        if not (path.is_file() or path.suffix == ".zarr"):
            raise SkipError(
                f"it has labels alone, and the image {name} is neither in the project "
                f"nor at {path}"
            )
        if position:
            return replace(open_target(ImageFile(path), path, position), name=name)
        return file_target(path)


class _LabelImage:
    """A label image of a picture, or of a stack.

    Parameters
    ----------
    group
        It, and what is known of its labels.
    store
        Where it lies, for sentences.
    slab
        Where pixels are kept.

    Attributes
    ----------
    planes
        Where the labels are.
    colours
        Of the classes whose labels all have the same one.
    """

    def __init__(self, group: Any, store: Path, slab: Slab) -> None:
        self.planes = Planes(group, store, slab)
        self._name, self._store = group.basename, store
        self._runs: dict[Position, MaskRuns] = {}
        about = ngff_attributes(group).get("image-label") or {}
        self._known = {p["label-value"]: p for p in about.get("properties") or ()}
        given: dict[str, set[str]] = {}
        for one in about.get("colors") or ():
            name = self._known.get(one["label-value"], {}).get("class")
            if name is not None and one.get("rgba"):
                red, green, blue = map(int, one["rgba"][:3])
                found = given.setdefault(str(name), set())
                found.add(f"#{red:02x}{green:02x}{blue:02x}")
        self.colours = {
            name: colour for name, (colour, *more) in given.items() if not more
        }

    def check(self, image: Planes) -> None:
        """Raise a sentence unless all labels lie in an image."""
        array, sizes = self.planes.levels[0], self.planes.sizes
        fits = self.planes.shape == image.shape and self.planes.n_channels == 1
        fits &= all(n <= image.sizes.get(axis, 1) for axis, n in sizes.items())
        fits &= all(n == 1 or axis in sizes for axis, n in image.sizes.items())
        if not fits or array.dtype.kind not in "bui":
            there = (*image.sizes.values(), *image.shape)
            raise refuse(
                self._store,
                f"its labels {self._name} have the shape {array.shape} and type "
                f"{array.dtype}, its image {there}",
            )

    def items(self, place: Place, tell: Tell) -> Iterator[Item]:
        """Yield the objects of a plane; there are none where the labels have ended."""
        here = {axis: place.get(axis, 0) for axis in self.planes.sizes}
        if any(here[axis] >= size for axis, size in self.planes.sizes.items()):
            return
        position = tuple(here.values())
        if position not in self._runs:
            self._read(self.planes.together(here), tell)
        shape = self.planes.shape
        for value, rle in self._runs[position].rles():
            known = self._known.get(value, {})
            slices = known.get("slices")
            if isinstance(slices, dict):
                known = known | slices.get(slice_key(tuple(place.values())), {})
            name, score = known.get("class"), known.get("score")
            yield Item(
                rle,
                shape,
                class_name=None if name is None else str(name),
                instance_id=int(known.get("instance_id") or value),
                score=None if score is None else float(score),
                model_version=str(known.get("model_version") or IMPORTED),
                reviewed=bool(known.get("reviewed", True)),
                slice_index=tuple(abs(int(i)) for i in known.get("slice_index") or ()),
            )

    def _read(self, places: list[Place], tell: Tell) -> None:
        """Gather the masks of planes that are decoded together."""
        shape = self.planes.shape
        found = [MaskRuns(shape) for _ in places]
        for row, bands in self.planes.labels(places):
            for runs, labels in zip(found, bands, strict=True):
                runs.add(labels, row)
            tell((row + bands.shape[1]) / shape[0])
        positions = [tuple(place.values()) for place in places]
        self._runs = dict(zip(positions, found, strict=True))
