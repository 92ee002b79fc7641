"""The list of the images of a project: which there are, and how far each one is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from napari_infosam.core.errors import InfosamError
from napari_infosam.project import notes

if TYPE_CHECKING:
    import sqlite3

    from napari_infosam.project.database import Database

State = Literal["new", "in work", "reviewed"]
STATES: tuple[State, ...] = ("new", "in work", "reviewed")

IMAGE_LIST = (
    # an image of the list is a file, or what is kept in the project alone
    """
    CREATE TABLE listed (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL,
        path TEXT UNIQUE,
        reviewed INTEGER NOT NULL DEFAULT 0,
        unfinished TEXT,
        view TEXT
    )
    """,
    # the slices of a stack are images of their own, and one row of the list
    """
    CREATE TABLE listed_images (
        image_id INTEGER PRIMARY KEY REFERENCES images,
        listed_id INTEGER NOT NULL REFERENCES listed
    )
    """,
    "CREATE INDEX listed_images_of ON listed_images (listed_id)",
    # counting objects would else read past every mask
    "CREATE INDEX objects_of_class ON objects (image_id, class_id) WHERE deleted = 0",
    """
    INSERT INTO listed (id, name, path)
    SELECT min(id), name, CASE WHEN source LIKE '%.infosam' THEN NULL ELSE source END
    FROM images
    GROUP BY CASE WHEN source IS NULL OR source LIKE '%.infosam'
        THEN id ELSE source END
    ORDER BY min(id)
    """,
    """
    INSERT INTO listed_images
    SELECT id, coalesce((SELECT id FROM listed WHERE path = source), id) FROM images
    """,
)
"""The statements that give a project of an earlier schema its list."""

_LAST = "last_listed"
"""Setting: the image of the list that was open last."""


@dataclass(frozen=True, slots=True)
class ListedImage:
    """An image of the list.

    Attributes
    ----------
    path
        Where its file is, or None if its pixels are kept in the project alone.
    is_reviewed
        Whether a person has marked it so.
    is_begun
        Whether there are prompts of an object that is not finished, or proposals that
        are not decided about.
    counts
        Number of accepted objects of each class that has some, over all slices.
    """

    id: int
    name: str
    path: str | None
    is_reviewed: bool = False
    is_begun: bool = False
    counts: Mapping[str, int] = field(default_factory=dict)

    @property
    def n_objects(self) -> int:
        """Number of accepted objects."""
        return sum(self.counts.values())

    @property
    def state(self) -> State:
        """How far it is: what a person has marked counts more than its objects."""
        if self.is_reviewed:
            return "reviewed"
        return "in work" if self.is_begun or self.counts else "new"


@dataclass(frozen=True, slots=True)
class Left:
    """How an image was left: plain JSON values, or None for nothing known.

    ``view`` is what was seen of it, ``unfinished`` what was in work in its slices.
    """

    view: dict[str, Any] | None = None
    unfinished: dict[str, Any] | None = None


class Listing:
    """The list of a project's images, as ``project.listing``.

    An image gets into it when it is added here, or with the first object that is
    accepted in it. Failures of the disk raise `InfosamError` and change nothing.

    Parameters
    ----------
    database
        Of the project.
    require_lock
        Raises a sentence if the project was opened for reading.
    """

    def __init__(self, database: Database, require_lock: Callable[[], None]) -> None:
        self._database = database
        self._require_lock = require_lock

    def add(self, files: Iterable[tuple[str, str]]) -> list[int]:
        """Add files, all or none; those that are listed already stay as they are.

        Parameters
        ----------
        files
            Name and absolute path of each; nothing is read.

        Returns
        -------
        list of int
            Their ids, in the same order.
        """
        self._require_lock()
        with self._database.write() as connection:
            ids = []
            for name, path in files:
                connection.execute(
                    "INSERT INTO listed (name, path) VALUES (?, ?)"
                    " ON CONFLICT DO NOTHING",
                    (_storable(name), _storable(path)),
                )
                ids.append(_id_of_path(connection, _storable(path)))
            return ids

    def remove(self, ids: Iterable[int]) -> int:
        """Take images out of the list in which nothing was ever accepted.

        Their files are left alone. Returns how many were taken out.
        """
        self._require_lock()
        with self._database.write() as connection:
            return sum(
                connection.execute(
                    "DELETE FROM listed WHERE id = ? AND id NOT IN"
                    " (SELECT listed_id FROM listed_images)",
                    (one,),
                ).rowcount
                for one in ids
            )

    def rows(self) -> list[ListedImage]:
        """Return the images in the order in which they were added."""
        with self._database.read() as connection:
            counts = _counts(connection)
            found = connection.execute(
                "SELECT id, name, path, reviewed, unfinished IS NOT NULL OR"
                f" {notes.HAS_UNDECIDED} FROM listed ORDER BY id"
            ).fetchall()
        return [
            ListedImage(
                id_, name, path, bool(reviewed), bool(begun), counts.get(id_, {})
            )
            for id_, name, path, reviewed, begun in found
        ]

    def counts(self) -> dict[int, dict[str, int]]:
        """Return the number of objects by class of each image that has some."""
        with self._database.read() as connection:
            return _counts(connection)

    def of_image(self, image_id: int) -> int | None:
        """Return which one of the list an image of the project belongs to."""
        with self._database.read() as connection:
            row = connection.execute(
                "SELECT listed_id FROM listed_images WHERE image_id = ?", (image_id,)
            ).fetchone()
        return None if row is None else int(row[0])

    def path_of_image(self, image_id: int) -> str | None:
        """Return where the file of an image of the project is, if it has one."""
        with self._database.read() as connection:
            row = connection.execute(
                "SELECT path FROM listed JOIN listed_images ON listed_id = listed.id"
                " WHERE image_id = ?",
                (image_id,),
            ).fetchone()
        return None if row is None else row[0]

    def image_ids(self, listed_id: int) -> list[int]:
        """Return the ids of its images in the project: none before the first accept."""
        with self._database.read() as connection:
            rows = connection.execute(
                "SELECT image_id FROM listed_images WHERE listed_id = ?"
                " ORDER BY image_id",
                (listed_id,),
            ).fetchall()
        return [int(row[0]) for row in rows]

    def review(self, listed_id: int, *, is_reviewed: bool) -> None:
        """Mark an image as reviewed, or take the mark back."""
        self._require_lock()
        with self._database.write() as connection:
            connection.execute(
                "UPDATE listed SET reviewed = ? WHERE id = ?", (is_reviewed, listed_id)
            )

    def relink(self, moves: Mapping[int, str]) -> None:
        """Note where files have been moved to: the new absolute path by id.

        Raises
        ------
        InfosamError
            If one of the new paths is in the list already.
        """
        self._require_lock()
        with self._database.write() as connection:
            for listed_id, path in moves.items():
                known = connection.execute(
                    "SELECT name FROM listed WHERE path = ? AND id != ?",
                    (_storable(path), listed_id),
                ).fetchone()
                if known is not None:
                    raise InfosamError(
                        f"{path} is in the list already: remove one of the two rows."
                    )
                connection.execute(
                    "UPDATE listed SET path = ? WHERE id = ?",
                    (_storable(path), listed_id),
                )

    # ---------------------------------------------------------------- resume
    def leave(self, listed_id: int, view: dict[str, Any] | None) -> None:
        """Note what was seen of an image, and that it was the last one."""
        self._require_lock()
        with self._database.write() as connection:
            connection.execute(
                "UPDATE listed SET view = ? WHERE id = ?",
                (notes.to_text(view), listed_id),
            )
            connection.execute(
                "INSERT OR REPLACE INTO settings VALUES (?, ?)", (_LAST, str(listed_id))
            )

    def begin(
        self,
        unfinished: Mapping[int, dict[str, Any] | None],
        undecided: Mapping[int, Mapping[int, dict[str, Any] | None]] | None = None,
    ) -> None:
        """Note what is in work in images, by id, in one transaction.

        Parameters
        ----------
        unfinished
            The objects that are in work; None where none is.
        undecided
            Boxes and proposals that are not decided about, by a number of their own;
            None for those that are. Others stay as they are.
        """
        self._require_lock()
        # a window that waits for the database waits the shorter
        begun = [(notes.to_text(value), one) for one, value in unfinished.items()]
        changed = {
            one: {number: notes.to_text(value) for number, value in values.items()}
            for one, values in (undecided or {}).items()
        }
        with self._database.write() as connection:
            connection.executemany(
                "UPDATE listed SET unfinished = ? WHERE id = ?", begun
            )
            for listed_id, texts in changed.items():
                notes.write_undecided(connection, listed_id, texts)

    def undecided(self, listed_id: int) -> dict[int, dict[str, Any] | None]:
        """Return what is not decided about, by number; None for what is damaged."""
        with self._database.read() as connection:
            return notes.read_undecided(connection, listed_id)

    def left(self, listed_id: int) -> Left:
        """Return how an image was left; what can not be read is as if it never was."""
        with self._database.read() as connection:
            row = connection.execute(
                "SELECT view, unfinished FROM listed WHERE id = ?", (listed_id,)
            ).fetchone()
        return Left() if row is None else Left(*map(notes.from_text, row))

    def last(self) -> int | None:
        """Return the image that was open last, if it is still in the list."""
        with self._database.read() as connection:
            row = connection.execute(
                "SELECT id FROM listed WHERE id ="
                " (SELECT CAST(value AS INTEGER) FROM settings WHERE key = ?)",
                (_LAST,),
            ).fetchone()
        return None if row is None else int(row[0])


def link(
    connection: sqlite3.Connection, image_id: int, name: str, source: str | None
) -> None:
    """Give an image of the project its place in the list, unless it has one."""
    known = connection.execute(
        "SELECT 1 FROM listed_images WHERE image_id = ?", (image_id,)
    ).fetchone()
    if known is not None:
        return
    # a layer that was read from a project has no file of its own
    path = None if source is None or source.endswith(".infosam") else source
    listed_id = None if path is None else _id_of_path(connection, path, missing_ok=True)
    if listed_id is None:
        cursor = connection.execute(
            "INSERT INTO listed (name, path) VALUES (?, ?)", (name, path)
        )
        listed_id = cursor.lastrowid
    connection.execute("INSERT INTO listed_images VALUES (?, ?)", (image_id, listed_id))


def with_counts(row: ListedImage, counts: Mapping[str, int]) -> ListedImage:
    """Return a row with other numbers of objects, itself if they are the same."""
    return row if row.counts == counts else replace(row, counts=counts)


def _id_of_path(
    connection: sqlite3.Connection, path: str, *, missing_ok: bool = False
) -> Any:
    row = connection.execute("SELECT id FROM listed WHERE path = ?", (path,)).fetchone()
    return None if row is None and missing_ok else int(row[0])


def _counts(connection: sqlite3.Connection) -> dict[int, dict[str, int]]:
    rows: Sequence[Any] = connection.execute(
        "SELECT listed_id, classes.name, n FROM"
        " (SELECT image_id, class_id, count(*) AS n FROM objects"
        "  WHERE deleted = 0 GROUP BY image_id, class_id)"
        " JOIN listed_images USING (image_id) JOIN classes ON classes.id = class_id"
    ).fetchall()
    counts: dict[int, dict[str, int]] = {}
    for listed_id, name, number in rows:
        of_image = counts.setdefault(listed_id, {})
        of_image[name] = of_image.get(name, 0) + number
    return counts


def _storable(text: str) -> str:
    """Return a text that can be stored, whatever bytes a file system allowed in it."""
    return text.encode(errors="backslashreplace").decode()
