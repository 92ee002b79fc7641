"""What every test gets: no network, no files of the person who runs it."""

from __future__ import annotations

import ipaddress
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

ROOT = Path(__file__).resolve().parents[1]
_HOME = pytest.StashKey[tempfile.TemporaryDirectory[str]]()

hypothesis.settings.register_profile(
    # the same examples on every run; a slow shared machine is no failure
    "infosam",
    deadline=None,
    derandomize=True,
    max_examples=60,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("infosam")


def pytest_configure(config: pytest.Config) -> None:
    """Give settings and caches a folder of their own, before napari reads its path."""
    home = tempfile.TemporaryDirectory(prefix="infosam-test-home-")
    config.stash[_HOME] = home
    for name in (
        "XDG_CACHE_HOME",
        "XDG_CONFIG_HOME",
        "XDG_DATA_HOME",
        "XDG_STATE_HOME",
    ):
        os.environ[name] = str(Path(home.name, name.lower()))
    os.environ["INFOSAM_TRAININGS"] = str(Path(home.name, "trainings"))
    if "XDG_RUNTIME_DIR" not in os.environ:  # Qt wants one; a desktop has its own
        os.environ["XDG_RUNTIME_DIR"] = home.name
    os.environ["NAPARI_CONFIG"] = str(Path(home.name, "napari.yaml"))
    os.environ["MPLBACKEND"] = "Agg"


def pytest_unconfigure(config: pytest.Config) -> None:
    config.stash[_HOME].cleanup()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # what takes long begins first: at the end no core waits for another
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
    on_gpu = [item for item in items if item.get_closest_marker("gpu")]
    if not on_gpu:
        return
    import torch

    if not torch.cuda.is_available():
        for item in on_gpu:
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a test that would reach out fail at once, in this process."""
    connect = socket.socket.connect
    resolve = socket.getaddrinfo

    def local_only(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX and not _is_local(address[0]):
            raise OSError(f"tests have no network: {address}")
        connect(self, address)

    def resolve_local(host: Any, *args: Any, **kwargs: Any) -> Any:
        if not _is_local(host):
            raise socket.gaierror(f"tests have no network: {host}")
        return resolve(host, *args, **kwargs)

    monkeypatch.setattr(socket.socket, "connect", local_only)
    monkeypatch.setattr(socket, "getaddrinfo", resolve_local)


def _is_local(host: str | bytes | None) -> bool:
    name = host.decode() if isinstance(host, bytes) else host
    if name in (None, "", "localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the developers' folder beside the repository, or skip without it."""
    folder = ROOT.parent / "shared"
    if not (folder / "data").is_dir():
        pytest.skip(f"no development data in {folder}")
    return folder


@pytest.fixture
def mount_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Return a function that makes an empty disk of a size such as ``2m``."""
    places: list[Path] = []

    def mount(size: str) -> Path:
        if sys.platform != "linux" or not shutil.which("mount"):
            pytest.skip("needs mount")
        place = tmp_path / f"disk{len(places)}"
        place.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("mounting is not permitted here")
        places.append(place)
        return place

    yield mount
    for place in places:
        # a lazy unmount also ends a disk that a failed test still uses
        subprocess.run(["umount", "--lazy", str(place)], check=True)
