"""The guide shows every function, and its pictures are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from napari_infosam._napari.keys import KEYS, shown

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
LINK = re.compile(r"\]\(([^)\s]+)\)")

pytestmark = pytest.mark.skipif(
    not (DOCS / "guide.md").exists(), reason="an installed package has no docs"
)


def test_every_picture_is_there_and_every_one_that_is_there_is_shown() -> None:
    pages = [*ROOT.glob("*.md"), *DOCS.glob("*.md")]
    linked = {
        (page.parent / target).resolve()
        for page in pages
        for target in LINK.findall(page.read_text(encoding="utf-8"))
        if target.endswith(".png") and "://" not in target
    }
    assert {picture for picture in linked if not picture.exists()} == set()
    assert set((DOCS / "images").resolve().iterdir()) - linked == set()


@pytest.mark.parametrize("action", [key.action for key in KEYS])
def test_the_guide_names_every_key(action: str) -> None:
    first = shown(action).split(" or ")[0]
    assert f"`{first}`" in (DOCS / "guide.md").read_text(encoding="utf-8")


def test_the_links_within_the_guide_lead_somewhere() -> None:
    text = (DOCS / "guide.md").read_text(encoding="utf-8")
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    places = {re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in titles}
    wanted = {link[1:] for link in LINK.findall(text) if link.startswith("#")}
    assert wanted <= places
