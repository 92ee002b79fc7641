"""Weights files: reading them without running their code, and downloading them."""

from __future__ import annotations

import os
import pickle
import shutil
import warnings
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pooch
import requests
import torch
from filelock import FileLock, Timeout
from safetensors.torch import load_file
from torch import Tensor

from napari_infosam.core.errors import InfosamError

Progress = Callable[[int, int], None]
"""Called with the bytes that are there and the bytes there will be."""
Cancelled = Callable[[], bool]

SEGMENT_ANYTHING_URL = "https://dl.fbaipublicfiles.com/segment_anything/"
FOLDER_VARIABLE = "INFOSAM_MODELS"

_PICKLE_MAGIC = b"\x80"
_ZIP_MAGIC = b"PK\x03\x04"
_WRAPPERS = ("model", "state_dict")
_CHUNK = 1 << 18
_TIMEOUT = (10.0, 20.0)
_MB = 10**6


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A published weights file.

    Attributes
    ----------
    url
        Where it is; the last part is its name on disk.
    sha256
        Hash of its content, in hexadecimal.
    size
        In bytes.
    """

    url: str
    sha256: str
    size: int

    @property
    def name(self) -> str:
        """Name of the file."""
        return self.url.rpartition("/")[2]


PUBLISHED: dict[str, RemoteFile] = {
    "vit_b": RemoteFile(
        f"{SEGMENT_ANYTHING_URL}sam_vit_b_01ec64.pth",
        "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
        375_042_383,
    ),
    "vit_l": RemoteFile(
        f"{SEGMENT_ANYTHING_URL}sam_vit_l_0b3195.pth",
        "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
        1_249_524_607,
    ),
    "vit_h": RemoteFile(
        f"{SEGMENT_ANYTHING_URL}sam_vit_h_4b8939.pth",
        "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
        2_564_550_879,
    ),
}


class DownloadCancelledError(InfosamError):
    """The person cancelled; what is there already is kept for the next time."""


def load_state_dict(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Return the tensors of a weights file, on the CPU.

    Parameters
    ----------
    path
        ``.safetensors``, or anything `torch.save` wrote (``.pt``, ``.pth``). A
        checkpoint that keeps its weights under ``model`` or ``state_dict`` is
        unwrapped. Code inside the file is never run.

    Raises
    ------
    InfosamError
        If the file is missing, truncated, holds pickled code, or no state dict.
    """
    path = Path(path)
    if not path.is_file():
        raise InfosamError(
            f"There is no weights file {path}: choose a .safetensors, .pt or .pth file."
        )
    try:
        with path.open("rb") as file:
            magic = file.read(len(_ZIP_MAGIC))
    except OSError as error:
        raise InfosamError(
            f"{path} can not be read ({error.strerror or error}): check its "
            "permissions."
        ) from error
    try:
        if path.suffix.lower() == ".safetensors":
            loaded: Any = load_file(path)
        else:
            loaded = _load_torch(path)
    except pickle.UnpicklingError as error:
        if magic == _ZIP_MAGIC or magic.startswith(_PICKLE_MAGIC):
            raise InfosamError(
                f"{path} holds pickled Python objects beside its tensors; loading "
                "them could run code, so it is refused: save the state dict alone, "
                "best as .safetensors."
            ) from error
        raise _damaged(path) from error
    except Exception as error:
        # truncated files surface as EOFError, KeyError, OSError and others
        raise _damaged(path) from error
    return _as_state_dict(loaded, path)


def _load_torch(path: Path) -> Any:
    with warnings.catch_warnings():
        # torch warns of pickle protocols it does not know before it refuses them
        warnings.simplefilter("ignore", UserWarning)
        # memory-mapped, a checkpoint of 2.5 GB does not fill memory twice
        mapped = zipfile.is_zipfile(path)
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)


def _damaged(path: Path) -> InfosamError:
    return InfosamError(
        f"{path} is damaged or was not downloaded completely "
        f"({path.stat().st_size} bytes): get the file again."
    )


def _as_state_dict(loaded: Any, path: Path) -> dict[str, Tensor]:
    for wrapper in _WRAPPERS:
        if isinstance(loaded, Mapping) and isinstance(loaded.get(wrapper), Mapping):
            loaded = loaded[wrapper]
    if (
        not isinstance(loaded, Mapping)
        or not loaded
        or not all(isinstance(key, str) for key in loaded)
        or not all(isinstance(value, Tensor) for value in loaded.values())
    ):
        raise InfosamError(
            f"{path} is not a state dict (names with one tensor each): save it with "
            "torch.save(model.state_dict(), ...) or as .safetensors."
        )
    return dict(loaded)


def weights_folder() -> Path:
    """Return where downloads are kept: ``$INFOSAM_MODELS`` or the user's cache."""
    chosen = os.environ.get(FOLDER_VARIABLE)
    return Path(chosen or pooch.os_cache("napari-infosam")).expanduser()


def download(
    name: str,
    *,
    on_progress: Progress | None = None,
    cancelled: Cancelled | None = None,
    published: Mapping[str, RemoteFile] = PUBLISHED,
    folder: Path | None = None,
) -> Path:
    """Return the path of a published weights file, downloaded once.

    What an interrupted download left is continued. Runs for minutes: call it on a
    worker thread; both callables are called there.

    Parameters
    ----------
    name
        ``vit_b``, ``vit_l`` or ``vit_h``.
    on_progress
        Called with bytes done and bytes in all.
    cancelled
        Asked between chunks; returning True ends the download.
    published
        The files there are, by name.
    folder
        Where to keep the file; the default is `weights_folder`.

    Raises
    ------
    DownloadCancelledError
        If ``cancelled`` returned True.
    InfosamError
        Without a network, with a full or read-only disk, if another process
        downloads the same file, or if the file is not the published one.
    """
    remote = published[name]
    folder = folder or weights_folder()
    path = folder / remote.name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(f".{path.name}.lock"), timeout=0):
            return Path(
                pooch.retrieve(
                    remote.url,
                    f"sha256:{remote.sha256}",
                    fname=path.name,
                    path=folder,
                    downloader=_Download(path, remote, on_progress, cancelled),
                )
            )
    except Timeout as error:
        raise InfosamError(
            f"Another program is downloading {remote.name}: wait until it is done."
        ) from error
    except requests.RequestException as error:
        raise InfosamError(_network_sentence(remote, error)) from error
    except ValueError as error:
        # pooch has compared the hash and has deleted the file
        raise InfosamError(
            f"What {remote.url} sent is not the published file (its sha256 differs): "
            "try again, or choose a weights file on your disk."
        ) from error
    except OSError as error:
        raise InfosamError(
            f"{remote.name} ({remote.size // _MB} MB) can not be written to {folder} "
            f"({error.strerror or error}): free some space there, or set "
            f"{FOLDER_VARIABLE} to another folder."
        ) from error


def _network_sentence(remote: RemoteFile, error: requests.RequestException) -> str:
    if error.response is not None:
        return (
            f"{remote.url} answered {error.response.status_code}: try again later, "
            "or choose a weights file on your disk."
        )
    return (
        f"No connection to {remote.url}: {remote.size // _MB} MB have to be "
        "downloaded once. Check the network and try again (what is there is kept), "
        "or choose a weights file on your disk, or the model vit_t, which needs none."
    )


class _Download:
    """A downloader for pooch that continues where an earlier one was interrupted.

    The bytes collect in ``NAME.part``, which outlives errors and cancelling, and
    only a complete file is handed to pooch, which checks its hash.
    """

    def __init__(
        self,
        path: Path,
        remote: RemoteFile,
        on_progress: Progress | None,
        cancelled: Cancelled | None,
    ) -> None:
        self._part = path.with_name(f"{path.name}.part")
        self._remote = remote
        self._on_progress = on_progress
        self._cancelled = cancelled

    def __call__(self, url: str, output_file: str, _pooch: Any) -> None:
        have = self._part.stat().st_size if self._part.exists() else 0
        if have < self._remote.size:
            self._check_space(self._remote.size - have)
            self._fetch(url, have)
        self._part.replace(output_file)

    def _check_space(self, needed: int) -> None:
        free = shutil.disk_usage(self._part.parent).free
        if free < needed:
            raise InfosamError(
                f"{self._remote.name} needs {needed // _MB} MB more and "
                f"{self._part.parent} has {free // _MB} MB left: free some space, or "
                f"set {FOLDER_VARIABLE} to another folder."
            )

    def _fetch(self, url: str, have: int) -> None:
        headers = {"Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
        with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT) as reply:
            if reply.status_code == requests.codes.requested_range_not_satisfiable:
                # what is there can not be the beginning of what the server has
                self._part.unlink()
            reply.raise_for_status()
            # a server that ignores the range sends the whole file again
            resumed = reply.status_code == requests.codes.partial_content
            done = have if resumed else 0
            with self._part.open("ab" if resumed else "wb") as file:
                for chunk in reply.iter_content(_CHUNK):
                    if self._cancelled is not None and self._cancelled():
                        raise DownloadCancelledError(
                            f"The download of {self._remote.name} was cancelled; it "
                            "will continue where it ended."
                        )
                    file.write(chunk)
                    done += len(chunk)
                    if self._on_progress is not None:
                        self._on_progress(done, self._remote.size)
