from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from napari_infosam.project import ImageRecord, Project

from .conftest import gradient, square

TRAIN = """
import sys
from napari_infosam.core.options import FinetuneOptions
from napari_infosam.project import Project, VersionRecord

with Project.open(sys.argv[1], lock=False) as project:
    for _ in range(15):
        project.new_run(FinetuneOptions())
        name = project.reserve_version()
        (project.version_dir(name) / "student.safetensors").touch()
        project.add_version(VersionRecord(
            name, "base", "decoder", "quick", {}, project.data_hash(), {}, "accepted"
        ))
        project.activate(name)
        print(name)
"""


def test_threads_share_a_project(project: Project, image: ImageRecord) -> None:
    stop = threading.Event()

    def write(row: int) -> list[int]:
        return [project.commit(image.id, square(row, i)).id for i in range(25)]

    def read() -> int:
        reads = 0
        while not stop.is_set() or not reads:
            records = project.objects()
            assert [o.instance_id for o in records] == list(range(1, len(records) + 1))
            assert project.label_image(image.id).shape == image.shape
            reads += 1
        return reads

    with ThreadPoolExecutor(6) as pool:
        readers = [pool.submit(read) for _ in range(2)]
        try:
            written = [i for ids in pool.map(write, range(4)) for i in ids]
        finally:
            stop.set()
        assert all(reader.result() for reader in readers)
    assert sorted(written) == [o.id for o in project.objects()]
    assert len(written) == 100


def test_the_window_writes_objects_while_training_writes_versions(
    project: Project, image: ImageRecord
) -> None:
    command = [sys.executable, "-c", TRAIN, str(project.path)]
    trainings = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    n_written = 0
    while any(process.poll() is None for process in trainings) or n_written < 50:
        project.commit(image.id, square(n_written % 20, 3))
        n_written += 1
    printed = []
    for process in trainings:
        output, _ = process.communicate()
        assert process.returncode == 0
        printed += output.split()
    names = [f"v{i:03d}" for i in range(1, 31)]
    assert sorted(printed) == names
    assert [v.id for v in project.versions()] == names
    assert project.active_version in names
    assert [path.name for path in project.runs()] == [f"r{i:03d}" for i in range(1, 31)]
    assert project.n_objects() == n_written
    assert [o.instance_id for o in project.objects()] == list(range(1, n_written + 1))


def test_corrections_are_seen_whole_or_not_at_all(
    project: Project, image: ImageRecord
) -> None:
    """Two threads take the same pixels from each other while others read."""
    whole = square(2, 2, 10)
    project.commit_many(image.id, [whole, ~whole])
    pixels = np.argwhere(np.ones_like(whole))
    project.edits.paint(image.id, pixels[:90], 1)  # for an undo that comes first
    stop = threading.Event()

    def correct(number: int) -> None:
        rng = np.random.default_rng(number)
        for _ in range(25):
            project.edits.paint(image.id, rng.choice(pixels, 90), number)

    def step_back() -> None:
        for _ in range(10):
            project.undo()
            project.redo()

    def read() -> int:
        reads = 0
        with Project.open(project.path, lock=False) as reader:
            while not stop.is_set() or not reads:
                found = reader.objects()
                assert sum(record.area for record in found) == whole.size
                masks = [record.mask() for record in found]
                assert (np.sum(masks, axis=0) == 1).all()
                reads += 1
        return reads

    with ThreadPoolExecutor(5) as pool:
        readers = [pool.submit(read) for _ in range(2)]
        try:
            work = [pool.submit(correct, 1), pool.submit(correct, 2)]
            work.append(pool.submit(step_back))
            for future in work:
                future.result()
        finally:
            stop.set()
        assert all(reader.result() for reader in readers)
    while project.undo():
        pass
    assert project.objects() == []


def test_two_threads_create_the_same_project(tmp_path: Path) -> None:
    def create(_: int) -> Project | Exception:
        try:
            return Project.create(tmp_path / "cells")
        except Exception as error:
            return error

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(create, range(4)))
    made = [result for result in results if isinstance(result, Project)]
    assert len(made) == 1
    assert {type(r).__name__ for r in results if r not in made} == {"InfosamError"}
    made[0].add_image(gradient(), "a")
    made[0].close()
    assert [p.name for p in tmp_path.iterdir()] == ["cells.infosam"]


def test_the_window_does_not_wait_for_what_the_background_reads(
    project: Project, image: ImageRecord
) -> None:
    reading, go_on = threading.Event(), threading.Event()

    def read() -> bool:
        with project._database.read() as connection:
            connection.execute("SELECT count(*) FROM objects").fetchone()
            reading.set()
            return go_on.wait(20)

    with ThreadPoolExecutor(1) as pool:
        background = pool.submit(read)
        assert reading.wait(20)
        project.commit(image.id, square(1, 1))
        assert project.n_objects() == 1
        go_on.set()
        assert background.result()
