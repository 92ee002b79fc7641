#!/usr/bin/env bash
# Run every test, then those that need Qt once more on PyQt6. Arguments go to all calls
# of pytest, for example: scripts/test.sh -m "not slow"
set -euo pipefail
cd "$(dirname "$0")/.."

cores=$(getconf _NPROCESSORS_ONLN)
cores=$((cores < 4 ? cores : 4))
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-PASSIVE}

on_each_core=(-n "$cores" --dist loadfile --no-loadscope-reorder)
if [ "$(uname -s)" = Linux ] && [ -z "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ]; then
    # pytest-xvfb gives every worker a screen of its own
    screen=()
    windows=("${on_each_core[@]}")
    window_threads=1
else
    # one pointer and one keyboard: one window at a time
    screen=(--no-xvfb)
    windows=()
    window_threads=$cores
fi

pyqt5() {
    QT_API=pyqt5 PYTEST_QT_API=pyqt5 INFOSAM_EXPECT_QT=PyQt5 \
        .venv/bin/python -m pytest ${screen[@]+"${screen[@]}"} "$@"
}
pyqt6() {
    QT_API=pyqt6 PYTEST_QT_API=pyqt6 INFOSAM_EXPECT_QT=PyQt6 \
        .venv-qt6/bin/python -m pytest ${screen[@]+"${screen[@]}"} "$@"
}

# many small tests: one on each core is faster than one on all of them
OMP_NUM_THREADS=1 pyqt5 --ignore=tests/_napari "${on_each_core[@]}" "$@"

export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$window_threads}
# what is watched by the clock has the machine to itself
stalls=tests/_napari/test_stalls.py
pyqt5 tests/_napari --ignore=$stalls ${windows[@]+"${windows[@]}"} "$@"
pyqt5 $stalls "$@"
pyqt6 tests/_napari tests/test_imports.py -m "not bench and not session" \
    --ignore=$stalls ${windows[@]+"${windows[@]}"} "$@"
pyqt6 $stalls "$@"
