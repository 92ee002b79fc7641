"""Starts processes, and kills them in the middle of what they do."""

from __future__ import annotations

import multiprocessing
from contextlib import suppress
from typing import Any

_FORKS = "forkserver" in multiprocessing.get_all_start_methods()
_CONTEXT = multiprocessing.get_context("forkserver" if _FORKS else "spawn")
if _FORKS:
    # a server has imported what they need: each of them begins in milliseconds
    _CONTEXT.set_forkserver_preload(["napari_infosam.project", "pytest"])


def kill_amid(program: str, words: int, seconds: float, **values: Any) -> list[Any]:
    """Kill a process some seconds after so many words, and return all that it said.

    Parameters
    ----------
    program
        Goes on until it is killed, and says words by ``mouth.send``.
    values
        What the program finds under these names.
    """
    ear, mouth = _CONTEXT.Pipe(duplex=False)
    names = {**values, "mouth": mouth}
    process = _CONTEXT.Process(target=exec, args=(program, names))
    process.start()
    mouth.close()
    with ear:
        try:
            said = [ear.recv() for _ in range(words)]
            process.join(seconds)
        finally:
            process.kill()
        with suppress(EOFError):
            while True:
                said.append(ear.recv())
    process.join()
    return said
