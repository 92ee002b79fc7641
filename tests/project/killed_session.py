"""What a session changes at random until it is killed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from napari_infosam.core.prompts import Point, PromptSet
from napari_infosam.project.encoded import encode
from napari_infosam.project.objects import Origin

if TYPE_CHECKING:
    from napari_infosam.project import Project

KINDS = (
    *["commit"] * 5,
    *("delete", "undo", "redo", "merge", "relabel", "replace", "paint", "color"),
    *("begin", "import", "class"),
)


def changes(project: Project, seed: int) -> Iterator[None]:
    """Make one change after the other; the same ones for the same project and seed."""
    rng = np.random.default_rng(seed)
    image = project.images()[0]

    def mask() -> np.ndarray:
        made = np.zeros(image.shape[:2], bool)
        row, column = rng.integers(0, np.array(made.shape) - 4)
        made[row : row + 4, column : column + 4] = True
        return made

    while True:
        kind = str(rng.choice(KINDS))
        ids = [int(record.id) for record in project.objects()]
        if kind == "undo":
            project.undo()
        elif kind == "redo":
            project.redo()
        elif kind == "begin":
            (row,) = project.listing.rows()
            places = rng.integers(0, 99, (2000, 2)).tolist()
            proposed = {
                number: {"at": number} if rng.random() < 0.7 else None
                for number in rng.integers(0, 99, 40).tolist()
            }
            begun = {"slices": [{"points": places}]}
            project.listing.begin({row.id: begun}, {row.id: proposed})
        elif kind == "import":
            with project.one_step("import") as step:
                for _ in range(20):
                    step.write(image.id, encode(mask(), image), Origin("object"))
        elif kind == "color":
            project.set_class_color("object", f"#{rng.integers(1 << 24):06x}")
        elif kind == "class":
            name = f"class {rng.integers(99)}"
            added = [record.name for record in project.classes()][2:]
            if added and name not in added and rng.random() < 0.5:
                project.rename_class(str(rng.choice(added)), name)
            else:
                project.add_class(name)
        elif kind == "paint":
            number = int(rng.integers(0, 9))
            project.edits.paint(image.id, np.argwhere(mask()), number)
        elif kind == "commit" or len(ids) < 4:
            prompts = PromptSet((Point(1, 2),) * int(rng.integers(3)))
            overlap = "replace" if rng.random() < 0.5 else "allow"
            project.commit(image.id, mask(), prompts=prompts, overlap=overlap)
        elif kind == "delete":
            project.edits.delete(rng.choice(ids, 2, replace=False).tolist())
        elif kind == "merge":
            project.edits.merge(rng.choice(ids, 2, replace=False).tolist())
        elif kind == "relabel":
            project.edits.relabel([int(rng.choice(ids))], "cell")
        else:
            project.edits.replace(int(rng.choice(ids)), mask())
        yield
