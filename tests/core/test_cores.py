from __future__ import annotations

import os
import subprocess
import sys
import time
from types import SimpleNamespace

import psutil
import pytest

from napari_infosam.core import cores
from napari_infosam.core.cores import FreeCores, all_cores, half_of_the_cores


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A machine of four cores, of which seconds of work can be told."""
    now = SimpleNamespace(seconds=0.0, own=0.0, busy=[0.0] * 4, idle_priority=0.0)

    class Process:
        def cpu_affinity(self) -> list[int]:
            return [0, 1, 2, 3]

        def cpu_times(self) -> SimpleNamespace:
            return SimpleNamespace(user=now.own, system=0.0)

    def cpu_times(*, percpu: bool) -> list[SimpleNamespace]:
        assert percpu
        return [
            SimpleNamespace(user=0.5 * one, system=0.5 * one, nice=now.idle_priority)
            for one in now.busy
        ]

    monkeypatch.setattr(psutil, "Process", Process)
    monkeypatch.setattr(psutil, "cpu_times", cpu_times)
    monkeypatch.setattr(psutil, "cpu_count", lambda logical: 4)
    monkeypatch.setattr(cores, "time", SimpleNamespace(monotonic=lambda: now.seconds))
    return now


def test_what_others_leave_free(machine: SimpleNamespace) -> None:
    free = FreeCores()
    assert free.to_use(training=False) == all_cores() == 4
    machine.seconds = 10.0
    machine.busy = [10.0, 2.0, 10.0, 0.0]
    machine.own = 10.0  # one of them is ours
    assert free.to_use(training=False) == 3
    machine.seconds = 10.2  # too soon to say
    machine.busy = [10.2] * 4
    assert free.to_use(training=False) == 3
    machine.seconds = 20.0
    machine.busy = [20.0] * 4
    assert free.to_use(training=False) == 1  # one at least
    machine.seconds = 30.0
    machine.idle_priority = 40.0  # gives way to us
    assert free.to_use(training=False) == 4
    assert free.to_use(training=True) == 2  # the other half is the training's


def test_a_system_that_does_not_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    def hidden(**_: object) -> None:
        raise PermissionError("/proc/stat")

    monkeypatch.setattr(psutil, "cpu_times", hidden)
    free = FreeCores()
    monkeypatch.setattr(cores, "_LEAST_SECONDS", 0)
    assert free.to_use(training=False) == all_cores()


def test_this_machine_is_counted() -> None:
    assert 1 <= half_of_the_cores() <= all_cores()
    before = cores._seconds_of_others()
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        time.sleep(1)
    finally:
        busy.kill()
        busy.wait()
    assert cores._seconds_of_others() - before > 0.2
    before, start = cores._seconds_of_others(), time.monotonic()
    while time.monotonic() - start < 1:
        pass
    own = psutil.Process().cpu_times()
    assert own.user + own.system > 0.2  # not counted as others'
    assert cores._seconds_of_others() - before < 0.9 * (os.cpu_count() or 1)
