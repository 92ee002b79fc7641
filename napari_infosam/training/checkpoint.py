"""Where a run stopped: written now and then, and when it is cancelled."""

from __future__ import annotations

import logging
import os
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from napari_infosam.training.reporter import CHECKPOINT_FILE

logger = logging.getLogger(__name__)


def save_checkpoint(
    run_dir: Path, stage: str, fit: dict[str, Any], begun_with: str
) -> None:
    """Write a checkpoint, atomically; a full disk only costs the checkpoint."""
    temporary = run_dir / f"{CHECKPOINT_FILE}.tmp"
    try:
        with temporary.open("wb") as file:
            torch.save({"stage": stage, "fit": fit, "begun_with": begun_with}, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(run_dir / CHECKPOINT_FILE)
    except (OSError, RuntimeError) as error:
        logger.warning("No checkpoint could be written: %s", error)
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def remove_checkpoint(run_dir: Path) -> None:
    """Give the space of a run that is over back."""
    with suppress(OSError):
        (run_dir / CHECKPOINT_FILE).unlink(missing_ok=True)


def load_checkpoint(run_dir: Path) -> dict[str, Any] | None:
    """Return the last checkpoint of a run, or None; never unpickles code."""
    path = run_dir / CHECKPOINT_FILE
    if not path.is_file():
        return None
    try:
        with warnings.catch_warnings():
            # torch warns of pickle protocols it does not know before it refuses them
            warnings.simplefilter("ignore", UserWarning)
            state: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # damaged files surface as EOFError, KeyError, RuntimeError and others
        logger.warning("The checkpoint %s can not be read: %s", path, error)
        return None
    if not isinstance(state, dict) or not {"stage", "fit"} <= state.keys():
        logger.warning("%s is not a checkpoint of a fine-tuning run", path)
        return None
    return state
