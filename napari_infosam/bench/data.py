"""Data sets for the table: folders of pairs, or the CSV layout of the paper's sets."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

from napari_infosam.core.errors import InfosamError
from napari_infosam.project.formats.labels import find_pairs
from napari_infosam.training.dataset import Sample, read_samples

Pair: TypeAlias = tuple[Path, Path]
"""An image file and its mask file."""

_COLUMNS = ("image", "label")


@dataclass(frozen=True, slots=True)
class DataSet:
    """Pairs of an image and a mask.

    Attributes
    ----------
    name
        Name of its folder.
    pairs
        What is learnt from and measured on; where `test` is given, only learnt from.
    test
        The test set that comes with it, or None.
    binary
        Whether all of a mask is one object; otherwise each value is one.
    """

    name: str
    pairs: tuple[Pair, ...]
    test: tuple[Pair, ...] | None = None
    binary: bool = False

    def split(
        self, n_train: int | None, n_test: int | None, seed: int
    ) -> tuple[list[Pair], list[Pair]]:
        """Return pairs to learn from and other pairs to measure on.

        Parameters
        ----------
        n_train, n_test
            How many at most; None takes all (of what is left).
        seed
            Of the choice.

        Raises
        ------
        InfosamError
            If nothing would be left to measure on.
        """
        order = np.random.default_rng(seed).permutation(len(self.pairs)).tolist()
        shuffled = [self.pairs[i] for i in order]
        if self.test is not None:
            return shuffled[:n_train], list(self.test)[:n_test]
        if n_train is None or n_train >= len(shuffled):
            raise InfosamError(
                f"{self.name} has {len(shuffled)} pairs and no test set: give a "
                "smaller --train-images."
            )
        rest = shuffled[n_train:]
        return shuffled[:n_train], rest[:n_test]

    def read(
        self, pairs: Sequence[Pair], on_skipped: Callable[[str], None] | None = None
    ) -> list[Sample]:
        """Return the samples of pairs; those that can not be used are left out.

        Parameters
        ----------
        pairs
            Some of this data set.
        on_skipped
            Called with a line for each pair that is left out.

        Raises
        ------
        InfosamError
            If none can be used.
        """
        samples, skipped = read_samples(pairs, binary=self.binary)
        if not samples:
            raise InfosamError(
                f"None of the pairs of {self.name} can be used, the first because "
                f"{skipped[0]}."
            )
        if on_skipped is not None:
            for line in skipped:
                on_skipped(f"{self.name}: {line}")
        return samples


def read_data_set(folder: Path) -> DataSet:
    """Return the data set of a folder.

    Parameters
    ----------
    folder
        Holds ``images/`` and ``masks/`` with equal file names; or ``train.csv`` and
        ``test.csv`` with the columns ``image`` and ``label``, paths from the folder
        on, whose masks are one object each.

    Raises
    ------
    InfosamError
        If it holds neither, or files are missing.
    """
    folder = folder.resolve()
    if (folder / "train.csv").is_file():
        test = folder / "test.csv"
        return DataSet(
            folder.name,
            _read_csv(folder / "train.csv"),
            _read_csv(test) if test.is_file() else None,
            binary=True,
        )
    if not (folder / "images").is_dir() or not (folder / "masks").is_dir():
        raise InfosamError(
            f"{folder} is no data set: it needs the folders images and masks, or the "
            "files train.csv and test.csv."
        )
    pairs, _ = find_pairs(folder / "images", folder / "masks")
    return DataSet(folder.name, tuple(pairs))


def _read_csv(path: Path) -> tuple[Pair, ...]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    if not rows or not set(_COLUMNS) <= rows[0].keys():
        raise InfosamError(f"{path} needs the columns {' and '.join(_COLUMNS)}.")
    pairs = [tuple(path.parent / row[column] for column in _COLUMNS) for row in rows]
    for file_path in (file_path for pair in pairs for file_path in pair):
        if not file_path.is_file():
            raise InfosamError(f"{path} names {file_path}, which is not there.")
    return tuple((image, label) for image, label in pairs)
