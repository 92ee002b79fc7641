"""Take the pictures of the docs.

Run it from the top of the repository, where there is a display or under Xvfb:

    xvfb-run -s "-screen 0 1600x1000x24" .venv/bin/python -m scripts.screenshots

Names of chapters take their pictures alone. What is accepted goes into temporary
projects.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from importlib import import_module
from pathlib import Path

CHAPTERS = (
    *("prompts", "many", "objects", "stack", "channels", "images"),
    *("settings", "export", "loop"),
)


def main() -> None:
    """Read the command line and take the pictures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("chapters", nargs="*", metavar="|".join(CHAPTERS))
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    wanted = parser.parse_args()
    wanted.out.mkdir(parents=True, exist_ok=True)
    unknown = set(wanted.chapters) - set(CHAPTERS)
    if unknown:
        parser.error(f"no chapter {', '.join(sorted(unknown))}")
    for name in wanted.chapters or CHAPTERS:
        with tempfile.TemporaryDirectory(prefix="infosam-pictures-") as home:
            # before napari is imported
            os.environ["INFOSAM_PROJECTS"] = str(Path(home, "projects"))
            os.environ["NAPARI_CONFIG"] = str(Path(home, "napari.yaml"))
            os.environ["XDG_CONFIG_HOME"] = home
            chapter = import_module(f"scripts.screenshots.{name}")
            chapter.take(wanted.out.resolve(), Path(home))


if __name__ == "__main__":
    main()
