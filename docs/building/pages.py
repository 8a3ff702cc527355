"""Writes what is generated of the site before Sphinx reads its pages."""

import contextlib
import os
from pathlib import Path

from sphinx.application import Sphinx

HERE = Path(__file__).parents[1]
_ELSEWHERE = {
    "experiments/README.md": "evidence/experiments/index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
}


def write() -> None:
    """Writes gallery, reference and evidence; pictures that are there are kept."""
    from building import experiments, optimizers, reference, surfaces

    folders = {
        name: HERE / name
        for name in ("gallery/optimizers", "gallery/surfaces", "reference", "evidence/experiments")
    }
    for folder in folders.values():
        folder.mkdir(parents=True, exist_ok=True)
        for page in folder.glob("*.md"):
            page.unlink()
    optimizers.write(folders["gallery/optimizers"])
    surfaces.write(folders["gallery/surfaces"])
    surfaces.write_moving(HERE / "gallery", HERE / "played" / "races")
    reference.write(folders["reference"])
    with contextlib.chdir(os.getcwd()):
        experiments.write(folders["evidence/experiments"], HERE / "played" / "experiments")


def _before(app: Sphinx) -> None:
    write()


def _source(app: Sphinx, name: str, source: list[str]) -> None:
    """What lies beside the documents in the repository is a page of the site, too."""
    here = Path(name).parent
    for path, page in _ELSEWHERE.items():
        linked = Path(os.path.relpath(HERE.parent / path, HERE / here)).as_posix()
        shown = Path(os.path.relpath(page, here)).as_posix()
        source[0] = source[0].replace(f"]({linked}", f"]({shown}")


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("builder-inited", _before)
    app.connect("source-read", _source)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
