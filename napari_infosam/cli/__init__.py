"""The command line ``infosam``: the same loop as the window, without one.

No module here imports torch or napari before a command needs it, so that
``infosam --help`` is quick.
"""

from napari_infosam.cli import (  # noqa: F401  (they add themselves to the app)
    annotate,
    bench,
    bench_speed,
    demo,
    evaluate,
    export,
    export_model,
    finetune,
    import_data,
    simulate,
    versions,
)
from napari_infosam.cli.app import app

__all__ = ["app", "main"]


def main() -> None:
    """Run ``infosam`` with the arguments of this process, and exit."""
    app()
