#!/usr/bin/env bash
# Run every test, then the tests of the window once more on PyQt6. Arguments go to all
# calls of pytest, for example: scripts/test.sh -m "not slow"
set -euo pipefail
cd "$(dirname "$0")/.."

cores=$(getconf _NPROCESSORS_ONLN)
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-PASSIVE}

in_window=(env)
if [ "$(uname -s)" = Linux ] && [ -z "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ]; then
    in_window=(xvfb-run -a -s "-screen 0 1600x1000x24")
fi

# many small tests: one on each core is faster than one on all of them
QT_API=pyqt5 PYTEST_QT_API=pyqt5 INFOSAM_EXPECT_QT=PyQt5 OMP_NUM_THREADS=1 \
    "${in_window[@]}" .venv/bin/python -m pytest --ignore=tests/_napari \
    -n "$((cores < 4 ? cores : 4))" --dist loadfile "$@"

# one window at a time: mouse and keyboard are watched by the clock
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$((cores < 4 ? cores : 4))}
QT_API=pyqt5 PYTEST_QT_API=pyqt5 INFOSAM_EXPECT_QT=PyQt5 \
    "${in_window[@]}" .venv/bin/python -m pytest tests/_napari "$@"

QT_API=pyqt6 PYTEST_QT_API=pyqt6 INFOSAM_EXPECT_QT=PyQt6 \
    "${in_window[@]}" .venv-qt6/bin/python -m pytest tests/_napari tests/test_imports.py "$@"
