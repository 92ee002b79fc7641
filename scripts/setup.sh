#!/usr/bin/env bash
# Bring this checkout's environment up to date; quick when there is nothing to do.
#
#   scripts/setup.sh run     system libraries of a window, .venv
#   scripts/setup.sh test    the same, Xvfb, and .venv-qt6 (PyQt6 over .venv's packages)
#
# PYTHON names the interpreter, otherwise the first Python >= 3.11 found is taken.
set -euo pipefail
cd "$(dirname "$0")/.."
goal=${1:-run}

# What the platform plugins of the PyQt5 and PyQt6 wheels link to (ldd libqxcb.so, the
# GLX and EGL integrations, QtGui): library, Debian package.
libraries="
libGL.so.1              libgl1
libEGL.so.1             libegl1
libglib-2.0.so.0        libglib2.0-0
libfontconfig.so.1      libfontconfig1
libdbus-1.so.3          libdbus-1-3
libXext.so.6            libxext6
libX11-xcb.so.1         libx11-xcb1
libxkbcommon.so.0       libxkbcommon0
libxkbcommon-x11.so.0   libxkbcommon-x11-0
libxcb-cursor.so.0      libxcb-cursor0
libxcb-glx.so.0         libxcb-glx0
libxcb-icccm.so.4       libxcb-icccm4
libxcb-image.so.0       libxcb-image0
libxcb-keysyms.so.1     libxcb-keysyms1
libxcb-randr.so.0       libxcb-randr0
libxcb-render.so.0      libxcb-render0
libxcb-render-util.so.0 libxcb-render-util0
libxcb-shape.so.0       libxcb-shape0
libxcb-shm.so.0         libxcb-shm0
libxcb-sync.so.1        libxcb-sync1
libxcb-util.so.1        libxcb-util1
libxcb-xfixes.so.0      libxcb-xfixes0
libxcb-xinerama.so.0    libxcb-xinerama0
libxcb-xkb.so.1         libxcb-xkb1
"

say() { printf '==> %s\n' "$*" >&2; }
fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }

has_display() { [ -n "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ]; }

new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

find_python() {
    local candidate
    for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
        if new_enough "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

apt_install() {
    local as_root=() log
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || return 1
        as_root=(sudo)
        [ -t 0 ] || as_root=(sudo -n)
    fi
    say "Installing system packages: $*"
    log=$(mktemp)
    # a failing update (one broken mirror) need not stop the install
    "${as_root[@]}" apt-get -qq update >"$log" 2>&1 || true
    if ! "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get -qq install -y --no-install-recommends "$@" >>"$log" 2>&1; then
        cat "$log" >&2
        rm -f "$log"
        return 1
    fi
    rm -f "$log"
}

install_or_tell() {
    if command -v apt-get >/dev/null && apt_install "$@"; then
        return 0
    fi
    say "Missing, named as in Debian: $*"
    say "Install them with your package manager (Debian, Ubuntu: sudo apt-get install $*)."
    return 1
}

missing_libraries() {
    local known library package
    known=$(/sbin/ldconfig -p)
    while read -r library package; do
        [ -z "$library" ] || grep -qF "$library " <<<"$known" || echo "$package"
    done <<<"$libraries"
}

system_packages() {
    [ "$(uname -s)" = Linux ] || return 0
    local missing
    mapfile -t missing < <(missing_libraries)
    if [ "$goal" = test ] && ! has_display; then
        command -v Xvfb >/dev/null && command -v xvfb-run >/dev/null || missing+=(xvfb)
        command -v xauth >/dev/null || missing+=(xauth)
    fi
    [ "${#missing[@]}" -gt 0 ] || return 0
    install_or_tell "${missing[@]}" && return 0
    # the headless demo needs no window; everything else does
    [ "$goal" = run ] && ! has_display && return 0
    fail "stopped: without these packages no window opens."
}

make_venv() {
    local python version
    if ! python=$(find_python); then
        [ -z "${PYTHON:-}" ] || fail "PYTHON=$PYTHON is no Python 3.11 or newer."
        install_or_tell python3 python3-venv || fail "Python 3.11 or newer is needed."
        python=$(find_python) ||
            fail "Python 3.11 or newer is needed, not $(python3 --version):" \
                "install one and name it, PYTHON=/path/to/python3.12 make $goal"
    fi
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        install_or_tell "python$version-venv" || fail "$python has no venv module."
    fi
    rm -rf .venv
    "$python" -m venv .venv
}

# A stamp holds what an environment was made from; another checksum makes it again.
checksum() {
    { cat pyproject.toml scripts/setup.sh; "$1" --version; pwd; } | cksum
}

is_current() {
    [ -f "$1/.stamp" ] && "$1/bin/python" -c '' 2>/dev/null &&
        [ "$(cat "$1/.stamp")" = "$(checksum "$1/bin/python")" ]
}

# -qq: only errors (a wheel folder in pip's settings makes it warn once per package)
pip_install() {
    local python=$1
    shift
    "$python" -m pip install -qq --disable-pip-version-check "$@" ||
        fail "pip could not install $*: see its message above."
}

main_environment() {
    is_current .venv && return
    .venv/bin/python -m pip --version >/dev/null 2>&1 || make_venv
    rm -f .venv/.stamp
    say "Installing napari-infosam and what it needs into .venv (torch is several GB)"
    pip_install .venv/bin/python -e ".[pyqt5,dev]"
    checksum .venv/bin/python >.venv/.stamp
}

qt6_environment() {
    is_current .venv-qt6 && return
    local packages
    say "Installing PyQt6 into .venv-qt6, which borrows the other packages of .venv"
    rm -rf .venv-qt6
    .venv/bin/python -m venv --without-pip .venv-qt6
    packages=$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    printf '%s\n' "$packages" "$PWD" \
        >"$(.venv-qt6/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/borrowed.pth"
    pip_install .venv-qt6/bin/python "PyQt6>=6.5"
    checksum .venv-qt6/bin/python >.venv-qt6/.stamp
}

system_packages
main_environment
[ "$goal" != test ] || qt6_environment
