"""The files that an experiment writes, and what they never take the place of."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Output:
    """A file that a run writes.

    Attributes:
        path: of it.
        folder: that it must lie in, when all links are resolved.
        mark: that the command has left in an earlier one; "" where that is checked elsewhere.
        marked: what holds the mark in its place, if it is another file.
        key: of the experiment's file that asks for it, if one does.
    """

    path: Path
    folder: Path
    mark: str = ""
    marked: Path | None = None
    key: str | None = None

    def check(self) -> None:
        """Raises a ValueError where it would lie elsewhere, or in the place of another file."""
        real, folder = self.path.resolve(), self.folder.resolve()
        if not real.is_relative_to(folder):
            raise ValueError(
                f"{real} would be written, and lies outside {folder}. An experiment writes into "
                "its own folder; a document may lie in one beside it."
            )
        if real.exists() and not self._is_ours():
            raise ValueError(
                f"{real} is there, and was not written by this command. Move it, or give this "
                "another name."
            )

    def _is_ours(self) -> bool:
        if not self.path.is_file():
            return False
        marked = self.marked or self.path
        return not self.mark or (
            marked.is_file() and self.mark in marked.read_text("utf-8", errors="replace")
        )
