"""Full, read-only and failing disks; damaged databases. Nothing may be lost."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from napari_infosam.core.errors import InfosamError
from napari_infosam.core.options import FinetuneOptions
from napari_infosam.project import ObjectRecord, Project
from napari_infosam.project.failures import one_sentence

from .conftest import SHAPE, gradient, square

FULL = r"disk that holds .*cells\.infosam is full"


def noise(seed: int) -> np.ndarray:
    """Return a mask whose encoding is large."""
    return np.random.default_rng(seed).random(SHAPE) < 0.5


def is_sound(folder: Path) -> bool:
    with closing(sqlite3.connect(folder / "project.sqlite")) as connection:
        verdict: str = connection.execute("PRAGMA integrity_check").fetchone()[0]
    return verdict == "ok"


def fill(place: Path, *, leave: int) -> Path:
    """Take all of a disk but some bytes."""
    ballast = place / "ballast"
    free = shutil.disk_usage(place).free
    ballast.write_bytes(bytes(max(0, free - leave)))
    return ballast


def commit_until_full(project: Project, image_id: int) -> list[ObjectRecord]:
    written: list[ObjectRecord] = []
    with pytest.raises(InfosamError, match=FULL):
        written.extend(commits(project, image_id))
    return written


def commits(project: Project, image_id: int) -> Iterator[ObjectRecord]:
    for seed in range(10_000):
        yield project.commit(image_id, noise(seed))


def test_commits_on_a_disk_that_fills(small_disk: Path) -> None:
    with Project.create(small_disk / "cells") as project:
        image = project.add_image(gradient(), "a")
        ballast = fill(small_disk, leave=200_000)
        written = commit_until_full(project, image.id)
        assert len(written) > 3
        assert project.objects() == written
        ballast.unlink()
        later = project.commit(image.id, square(1, 1))
        assert project.objects() == [*written, later]
    assert is_sound(project.path)
    with Project.open(project.path) as project:
        assert project.objects() == [*written, later]


def test_a_full_disk_and_a_crash(small_disk: Path, tmp_path: Path) -> None:
    """What was committed before the disk was full is there without closing."""
    with Project.create(small_disk / "cells") as project:
        image = project.add_image(gradient(), "a")
        fill(small_disk, leave=100_000)
        written = commit_until_full(project, image.id)
        # the state of the disk as a crash would leave it at this moment
        shutil.copytree(project.path, tmp_path / "crashed.infosam")
    with Project.open(tmp_path / "crashed") as crashed:
        assert crashed.objects() == written
    assert is_sound(crashed.path)


def test_images_and_runs_and_projects_on_a_full_disk(small_disk: Path) -> None:
    with Project.create(small_disk / "cells") as project:
        ballast = fill(small_disk, leave=50_000)
        big = np.random.default_rng(0).integers(0, 255, (300, 300), np.uint8)
        with pytest.raises(InfosamError, match=FULL):
            project.add_image(big, "big")
        assert project.images() == []
        assert not list((project.path / "images").iterdir())
        ballast.unlink()

        ballast = fill(small_disk, leave=0)
        with pytest.raises(InfosamError, match=FULL):
            project.new_run(FinetuneOptions())
        with pytest.raises(InfosamError, match=r"more\.infosam is full"):
            Project.create(small_disk / "more")
        assert sorted(p.name for p in small_disk.iterdir()) == [
            "ballast",
            "cells.infosam",
        ]
        ballast.unlink()

        assert project.runs() == []
        assert project.add_image(big, "big").id == 1
        assert project.new_run(FinetuneOptions()).name == "r001"


def test_an_import_on_a_disk_that_fills(small_disk: Path) -> None:
    with Project.create(small_disk / "cells") as project:
        image = project.add_image(gradient(), "a")
        before = project.commit(image.id, square(1, 1))
        ballast = fill(small_disk, leave=200_000)
        masks = [noise(seed) for seed in range(5000)]
        with pytest.raises(InfosamError, match=FULL):
            project.commit_many(image.id, masks)
        assert project.objects() == [before]
        ballast.unlink()
        assert len(project.commit_many(image.id, masks[:100])) == 100


def test_corrections_on_a_disk_that_fills(small_disk: Path) -> None:
    with Project.create(small_disk / "cells") as project:
        image = project.add_image(gradient(), "a")
        project.commit_many(image.id, [square(1, 1, 9), square(12, 12, 9)])
        ballast = fill(small_disk, leave=200_000)
        labels = project.label_image(image.id)

        def correct(seed: int) -> None:
            stroke = noise(seed)
            pixels = np.argwhere(stroke)
            project.edits.paint(image.id, pixels, seed % 4)
            labels[stroke] = seed % 4  # only what was written

        def correct_until_full() -> int:
            for seed in range(10_000):
                correct(seed)
            return 0

        with pytest.raises(InfosamError, match=FULL):
            correct_until_full()
        assert (labels > 2).any()
        np.testing.assert_array_equal(project.label_image(image.id), labels)
        ballast.unlink()
        correct(7)
        np.testing.assert_array_equal(project.label_image(image.id), labels)
        while project.undo():
            pass
        assert project.objects() == []
    assert is_sound(project.path)


LIMIT = """
import resource, sys
import numpy as np
from napari_infosam.core.errors import InfosamError
from napari_infosam.project import Project

project = Project.open(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
shape = project.image(1).shape
try:
    for seed in range(10_000):
        mask = np.random.default_rng(seed).random(shape) < 0.5
        print(project.commit(1, mask).id, flush=True)
except InfosamError as error:
    print(error, flush=True)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
print(project.commit(1, mask).id, flush=True)
"""


@pytest.mark.skipif(os.name != "posix", reason="needs limits of the process")
def test_a_file_size_limit(tmp_path: Path) -> None:
    with Project.create(tmp_path / "cells") as project:
        project.add_image(gradient(), "a")
    command = [sys.executable, "-c", LIMIT, str(project.path)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    *ids, sentence, last = run.stdout.splitlines()
    assert "disk failed" in sentence or "is full" in sentence
    with Project.open(project.path) as project:
        assert [str(o.id) for o in project.objects()] == [*ids, last]
        for record in project.objects()[:-1]:
            np.testing.assert_array_equal(record.mask(), noise(record.id - 1))
    assert is_sound(project.path)


@pytest.fixture
def open_place() -> Iterator[Path]:
    """Return a folder that every user of the machine can reach."""
    place = Path(tempfile.mkdtemp(prefix="infosam-test-"))
    place.chmod(0o755)
    yield place
    for path in [place, *place.rglob("*")]:
        path.chmod(0o755)
    shutil.rmtree(place)


UNPRIVILEGED = """
import os, sys
from napari_infosam.core.errors import InfosamError
from napari_infosam.project import Project, formats, lock, store

if os.geteuid() == 0:
    os.seteuid(65534)
for call in (
    lambda: Project.open(sys.argv[1]),
    lambda: Project.create(sys.argv[1] + "/../more"),
    lambda: Project.open(sys.argv[1], lock=False),
):
    try:
        call()
        print("it worked")
    except InfosamError as error:
        print(error)
"""


@pytest.mark.skipif(os.name != "posix", reason="needs permissions of a POSIX system")
def test_a_folder_without_permission(open_place: Path) -> None:
    with Project.create(open_place / "cells") as project:
        image = project.add_image(gradient(), "a")
        written = project.commit(image.id, square(1, 1))
    for path in [project.path, *project.path.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    open_place.chmod(0o555)
    before = (project.path / "project.sqlite").read_bytes()
    command = [sys.executable, "-c", UNPRIVILEGED, str(project.path)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = run.stdout.splitlines()
    assert len(lines) == 3, run.stdout
    assert "cells.infosam can not be written to: change its permissions" in lines[0]
    assert "more.infosam can not be written to: change its permissions" in lines[1]
    assert "cells.infosam can not be" in lines[2]
    assert (project.path / "project.sqlite").read_bytes() == before
    for path in [open_place, project.path, *project.path.rglob("*")]:
        path.chmod(0o755)
    with Project.open(project.path) as project:
        assert project.objects() == [written]


def test_a_disk_that_becomes_read_only(small_disk: Path) -> None:
    """As Linux does with a disk that has errors, or a network share that is gone."""
    with Project.create(small_disk / "cells") as project:
        image = project.add_image(gradient(), "a")
        written = project.commit(image.id, square(1, 1))
    remount(small_disk, "ro")
    for lock in (True, False):
        with pytest.raises(InfosamError, match=r"can not be (written to|opened)"):
            Project.open(project.path, lock=lock)
    with pytest.raises(InfosamError, match="can not be written to"):
        Project.create(small_disk / "more")
    remount(small_disk, "rw")
    with Project.open(project.path) as project:
        assert project.objects() == [written]


def remount(place: Path, mode: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{mode}", str(place)], check=True)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (28, "is full: nothing of this step was saved"),
        (30, "can not be written to"),
        (13, "can not be written to"),
        (5, "can not be read or written: Input/output error"),
    ],
)
def test_what_the_system_says_when_pixels_are_written(
    project: Project, monkeypatch: pytest.MonkeyPatch, number: int, words: str
) -> None:
    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", fail)
        with pytest.raises(InfosamError, match=words):
            project.add_image(gradient(), "a")
    assert project.images() == []
    assert not list((project.path / "images").iterdir())
    project.add_image(gradient(), "a")


def test_a_database_that_someone_else_writes_for_too_long(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = project.add_image(gradient(), "a")
    with closing(sqlite3.connect(project.path / "project.sqlite")) as other:
        other.execute("BEGIN IMMEDIATE")
        project._database._connection.execute("PRAGMA busy_timeout = 10")
        with pytest.raises(InfosamError, match="being written by another process"):
            project.commit(image.id, square(1, 1))
        other.rollback()
    assert project.commit(image.id, square(1, 1)).id == 1


def test_what_is_no_failure_of_the_disk_stays_a_bug() -> None:
    with (
        closing(sqlite3.connect(":memory:")) as connection,
        pytest.raises(sqlite3.OperationalError, match="syntax"),
        one_sentence(Path("cells.infosam")),
    ):
        connection.execute("SELEKT 1")


@pytest.mark.parametrize(
    ("may_write", "said"),
    [(True, "The disk failed while"), (False, "not read-only")],
)
def test_a_disk_that_was_made_read_only_is_not_said_to_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, may_write: bool, said: str
) -> None:
    error = sqlite3.OperationalError("disk I/O error")  # what SQLite says of both
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_WRITE
    monkeypatch.setattr(os, "access", lambda path, _: may_write)
    with pytest.raises(InfosamError, match=said), one_sentence(tmp_path):
        raise error


@pytest.fixture
def closed(tmp_path: Path) -> Path:
    """Return a project of some pages that nobody has open."""
    with Project.create(tmp_path / "cells") as project:
        image = project.add_image(gradient(), "a")
        project.commit_many(image.id, [noise(seed) for seed in range(100)])
    return project.path


def damage(database: Path, kind: str) -> None:
    content = bytearray(database.read_bytes())
    match kind:
        case "empty":
            content = bytearray()
        case "text":
            content = bytearray(b"not a database at all\n" * 100)
        case "header":
            content[:16] = bytes(16)
        case "half":
            content = content[: len(content) // 2]
        case "zeros":
            content[4096:] = bytes(len(content) - 4096)
        case "noise":
            start = len(content) // 2
            content[start:] = random.Random(0).randbytes(len(content) - start)
    database.write_bytes(content)


@pytest.mark.parametrize("kind", ["empty", "text", "header", "half", "zeros", "noise"])
def test_a_damaged_database_is_told_and_left_alone(closed: Path, kind: str) -> None:
    database = closed / "project.sqlite"
    damage(database, kind)
    before = database.read_bytes()
    with pytest.raises(
        InfosamError, match=r"cells\.infosam is damaged \(.*\): it was left as it is"
    ):
        Project.open(closed)
    assert database.read_bytes() == before
    assert (closed / "images").is_dir()


@pytest.mark.parametrize("kind", ["half", "zeros", "noise"])
def test_a_reader_of_a_damaged_database_gets_a_sentence(
    closed: Path, kind: str
) -> None:
    damage(closed / "project.sqlite", kind)
    with (
        pytest.raises(InfosamError, match="is damaged"),
        Project.open(closed, lock=False) as reader,
    ):
        reader.objects()


def test_a_write_ahead_log_that_was_cut_loses_only_its_end(
    project: Project, tmp_path: Path
) -> None:
    image = project.add_image(gradient(), "a")
    written = [project.commit(image.id, noise(seed)) for seed in range(20)]
    crashed = tmp_path / "crashed.infosam"
    shutil.copytree(project.path, crashed)
    log = crashed / "project.sqlite-wal"
    log.write_bytes(log.read_bytes()[:-5000])
    with Project.open(crashed) as reopened:
        left = reopened.objects()
        assert 0 < len(left) < 20
        assert left == written[: len(left)]
    assert is_sound(crashed)
