"""What keys do about boxes and proposals, beside the prompts of one object."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_infosam._napari.placing import in_view

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from napari_infosam._napari.proposals import Proposals
    from napari_infosam._napari.session import Session
    from napari_infosam._napari.viewer_link import ViewerLink
    from napari_infosam.core.prompts import Box


class ManyActions:
    """Undo, redo and clear of boxes and proposals, and what is in view.

    Parameters
    ----------
    session, proposals
        The object in work, and those that are proposed.
    link
        Who has the tool and the image.
    viewer
        Whose view it is.
    """

    def __init__(
        self,
        session: Session,
        proposals: Proposals,
        link: ViewerLink,
        viewer: Viewer,
    ) -> None:
        self._viewer = viewer
        self._session = session
        self._proposals = proposals
        self._link = link

    def toggle_box_each(self) -> None:
        """Let every box be for an object of its own, or no longer."""
        tool = self._link.tool
        tool.box_each = not (tool.boxing and tool.box_each)
        if tool.box_each:
            self._link.use_box()

    def propose(self) -> None:
        """Propose everything in view."""
        self._proposals.propose(self.in_view())

    def clear(self) -> None:
        """Clear the prompts of the object in work, or else all proposals."""
        if self._session.prompts:
            self._session.clear()
        else:
            self._proposals.clear()

    @property
    def can_undo(self) -> bool:
        """Whether there is something to take back."""
        return self._proposals.can_undo or self._session.can_undo

    @property
    def can_redo(self) -> bool:
        """Whether there is something to do again."""
        return self._proposals.can_redo or self._session.can_redo

    def undo(self) -> None:
        """Take back what was done last: a prompt, box, rejection or change."""
        at, other = self._proposals.undo_at, self._session.undoing.undo_at
        if at is not None and (other is None or at > other):
            self._proposals.undo()
        else:
            self._session.undo()

    def redo(self) -> None:
        """Do again what was undone last."""
        at, other = self._proposals.redo_at, self._session.undoing.redo_at
        if at is not None and (other is None or at < other):
            self._proposals.redo()
        else:
            self._session.redo()

    def in_view(self) -> Box | None:
        """Return the part of the picture that the canvas shows, in its pixels."""
        image = self._link.image
        return None if image is None else in_view(self._viewer, image)
