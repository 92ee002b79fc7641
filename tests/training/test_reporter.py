from __future__ import annotations

import errno
import os
import shutil
import threading

import pytest

from napari_infosam.core.errors import InfosamError
from napari_infosam.core.events import Notice, parse_event
from napari_infosam.training import reporter as reporter_module
from napari_infosam.training.reporter import (
    CANCEL_FILE,
    EVENTS_FILE,
    CancelledError,
    Reporter,
)


@pytest.fixture
def reporter(tmp_path):
    reporter = Reporter(tmp_path)
    yield reporter
    reporter.close()


def lines(folder) -> list[str]:
    return (folder / EVENTS_FILE).read_text("utf-8").splitlines()


def test_each_event_is_a_line_that_is_there_at_once(tmp_path, reporter):
    reporter.emit(Notice(message="one\nwith a line break, ü and \u2028"))
    reporter.emit(Notice(message="two"))
    content = (tmp_path / EVENTS_FILE).read_bytes()
    assert content.count(b"\n") == 2
    first, second = map(parse_event, content.splitlines())
    assert first.message == "one\nwith a line break, ü and \u2028"
    assert second.message == "two"


def test_a_resumed_run_adds_to_its_events(tmp_path, reporter):
    reporter.emit(Notice(message="one"))
    other = Reporter(tmp_path)
    other.emit(Notice(message="two"))
    other.close()
    assert [parse_event(line).message for line in lines(tmp_path)] == ["one", "two"]


def test_half_a_line_does_not_spoil_the_next(tmp_path):
    """As a process leaves it that was killed while it wrote."""
    whole = Notice(message="before").model_dump_json()
    (tmp_path / EVENTS_FILE).write_text(f'{whole}\n{{"kind": "noti', "utf-8")
    reporter = Reporter(tmp_path)
    reporter.emit(Notice(message="after"))
    reporter.close()
    first, torn, second = lines(tmp_path)
    assert first == whole
    assert torn == '{"kind": "noti'
    assert parse_event(second).message == "after"


def test_a_deleted_folder_ends_the_run(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    reporter = Reporter(folder)
    reporter.check()
    shutil.rmtree(folder)
    with pytest.raises(InfosamError, match="was deleted"):
        reporter.check()
    reporter.emit(Notice(message="to nobody"))
    reporter.close()


def test_cancelling(tmp_path, reporter):
    reporter.check()
    (tmp_path / CANCEL_FILE).touch()
    with pytest.raises(CancelledError):
        reporter.check()


class FullDisk:
    """Takes what fits into a buffer and fails when it should reach the disk."""

    def __init__(self, file) -> None:
        self.file = file

    def write(self, text: str) -> int:
        return len(text)

    def flush(self) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def close(self) -> None:
        self.file.close()
        self.flush()


def test_a_full_disk_costs_the_event_not_the_run(tmp_path):
    reporter = Reporter(tmp_path)
    reporter._file = FullDisk(reporter._file)
    reporter.emit(Notice(message="lost"))
    reporter.close()


def test_the_heart_beats_and_stops(tmp_path, monkeypatch):
    monkeypatch.setattr(reporter_module, "HEARTBEAT_SECONDS", 0.001)
    beaten = threading.Event()

    class Listening(Reporter):
        def emit(self, event):
            super().emit(event)
            beaten.set()

    reporter = Listening(tmp_path)
    assert beaten.wait(30)
    reporter.close()
    found = lines(tmp_path)
    assert {parse_event(line).kind for line in found} == {"heartbeat"}
    assert not reporter._heart.is_alive()
