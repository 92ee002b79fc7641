"""A cache of image embeddings: in memory first, then on disk.

Keys hash everything an entry depends on, so a stale one can not be found. The disk
part may be deleted at any time, and losing it never loses work: every error of the
disk only costs the entry.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

if TYPE_CHECKING:
    from torch import Tensor

logger = logging.getLogger(__name__)

_NAME = "embedding"


class EmbeddingCache:
    """Embeddings by key; safe to use from several threads and processes.

    Parameters
    ----------
    directory
        Where entries are kept on disk, or None to keep them in memory only.
    memory_bytes, disk_bytes
        Bounds; the entries used longest ago go first.
    """

    def __init__(
        self,
        directory: Path | None = None,
        *,
        memory_bytes: int = 512 * 2**20,
        disk_bytes: int = 8 * 2**30,
    ) -> None:
        self.directory = directory
        self._memory_bytes = memory_bytes
        self._disk_bytes = disk_bytes
        self._entries: OrderedDict[str, Tensor] = OrderedDict()
        self._lock = Lock()

    def get(self, key: str) -> Tensor | None:
        """Return the entry, on the CPU, or None."""
        with self._lock:
            if key in self._entries:
                self._entries.move_to_end(key)
                return self._entries[key]
        value = self._read(key)
        if value is not None:
            self._remember(key, value)
        return value

    def put(self, key: str, value: Tensor) -> None:
        """Keep a tensor under a key."""
        value = value.detach().cpu().contiguous()
        self._remember(key, value)
        self._write(key, value)

    def _remember(self, key: str, value: Tensor) -> None:
        with self._lock:
            self._entries[key] = value
            self._entries.move_to_end(key)
            used = sum(v.nbytes for v in self._entries.values())
            while used > self._memory_bytes and len(self._entries) > 1:
                _, oldest = self._entries.popitem(last=False)
                used -= oldest.nbytes

    def _read(self, key: str) -> Tensor | None:
        if self.directory is None:
            return None
        path = self.directory / f"{key}.safetensors"
        try:
            value = load_file(path)[_NAME]
        except FileNotFoundError:
            return None
        except (OSError, SafetensorError, KeyError) as error:
            logger.warning("Dropped the unreadable cache entry %s: %s", path, error)
            _remove(path)
            return None
        with suppress(OSError):  # a read-only disk still gives its entries
            os.utime(path)
        return value

    def _write(self, key: str, value: Tensor) -> None:
        if self.directory is None:
            return
        temporary = None
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=self.directory, suffix=".tmp")
            os.close(handle)
            temporary = Path(name)
            save_file({_NAME: value}, temporary)
            temporary.replace(self.directory / f"{key}.safetensors")
            self._prune()
        except (OSError, SafetensorError) as error:
            logger.warning("The embedding is kept in memory only: %s", error)
            if temporary is not None:
                _remove(temporary)

    def _prune(self) -> None:
        if self.directory is None:
            return
        entries = []
        for path in self.directory.glob("*.safetensors"):
            with suppress(FileNotFoundError):  # another process prunes, too
                status = path.stat()
                entries.append((status.st_mtime_ns, status.st_size, path))
        used = sum(size for _, size, _ in entries)
        for _, size, path in sorted(entries)[:-1]:
            if used <= self._disk_bytes:
                break
            _remove(path)
            used -= size


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink(missing_ok=True)
