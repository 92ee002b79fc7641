"""The line below the panel: what was said last, or else what to do next."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np
from napari.utils.notifications import show_error

from napari_infosam._napari.keys import shown
from napari_infosam._napari.small_widgets import sentence

if TYPE_CHECKING:
    from napari_infosam._napari.object_in_work import Answer
    from napari_infosam._napari.proposals import Proposals
    from napari_infosam._napari.session import Session
    from napari_infosam._napari.viewer_link import ViewerLink

logger = logging.getLogger(__name__)

_NEARLY_ALL = 0.9
"""A proposal of more than this part of the picture is hardly what was meant."""


class StatusLine:
    """One sentence for the person, always up to date.

    Parameters
    ----------
    session
        Who speaks. To be made before anyone else listens to its prompts: what was said
        about those before is over by the time that the new ones are shown.

    Attributes
    ----------
    label
        What shows it.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._link: ViewerLink | None = None
        self._proposals: Proposals | None = None
        self._said, self._is_failure = "", False
        self.label = sentence("status")
        self.label.setContentsMargins(4, 0, 4, 0)  # from the edges of the window
        session.voice.said.connect(self._on_said)
        session.prompts_changed.connect(self._forget_said)

    def follow(self, link: ViewerLink, proposals: Proposals) -> None:
        """Tell from now on what can be done with tool and proposals."""
        self._link, self._proposals = link, proposals
        self._session.engine.changed.connect(self._show)
        link.together.changed.connect(self._show)
        link.tool.changed.connect(self._show)
        proposals.changed.connect(self._show)
        self._show()

    def close(self) -> None:
        """Stop listening."""
        self._session.voice.said.disconnect(self._on_said)
        self._session.prompts_changed.disconnect(self._forget_said)
        if self._link is not None and self._proposals is not None:
            self._session.engine.changed.disconnect(self._show)
            self._link.together.changed.disconnect(self._show)
            self._link.tool.changed.disconnect(self._show)
            self._proposals.changed.disconnect(self._show)

    def _on_said(self, text: str, is_failure: bool) -> None:
        self._said, self._is_failure = text, is_failure
        self._show()
        if is_failure:
            logger.warning("%s", text)
            show_error(text)

    def _forget_said(self) -> None:
        self._said, self._is_failure = "", False

    def _show(self) -> None:
        self.label.setText(self._sentence())

    def _sentence(self) -> str:
        session = self._session
        waiting = session.engine.activity
        if self._said:
            return f"\N{WARNING SIGN} {self._said}" if self._is_failure else self._said
        if waiting and session.prompts:
            return f"{waiting} Your prompts are kept and answered then."
        if waiting:
            return waiting
        if session.proposal is not None and session.is_answered:
            return self._proposed(session.proposal)
        if session.source is None:
            return "Open an image to begin: File > Open Sample > InfoSAM has some."
        if session.prompts:
            return "The mask is being computed …"
        return self._what_to_do()

    def _proposed(self, answer: Answer) -> str:
        """Return what there is to be said of the mask in sight."""
        target, mask = self._session.work.target, answer.prediction.mask
        what = "Proposal" if target is None else f"New mask for object {target}"
        source = self._session.source
        if source and np.count_nonzero(mask) > _NEARLY_ALL * np.prod(source.shape):
            return (
                f"{what} of nearly the whole picture: draw a box ({shown('box')}) or "
                f"paint ({shown('paint')}) instead, or right-click on what does not "
                "belong to it."
            )
        score = min(answer.prediction.score, 1.0)
        return (
            f"{what}; the model expects IoU {score:.2f}. "
            f"Accept ({shown('accept')}), or click to correct it."
        )

    def _what_to_do(self) -> str:
        """Return what a person can do while no object is in work."""
        if self._link is None or self._proposals is None:
            return ""
        tool, offered = self._link.tool, len(self._proposals.offered)
        if offered:
            what = "1 object is" if offered == 1 else f"{offered} objects are"
            return f"{what} proposed. Accept ({shown('accept')}), or go on."
        if not tool.active:
            return "Clicks are napari's at the moment: press Points to segment."
        if tool.painting:
            return "Paint nearly all of an object; the model draws its edge."
        if tool.boxing:
            which = "each object" if tool.box_each else "an object"
            return f"Drag a box around {which}."
        return "Click on an object to segment it."
