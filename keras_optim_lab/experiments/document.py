"""An experiment as a Markdown document, for those who read the repository."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from keras_optim_lab.files import write_whole

if TYPE_CHECKING:
    from keras_optim_lab.experiments.experiment import Experiment


def path_of(experiment: "Experiment") -> Path | None:
    """Where its file wants the document: `document`, beginning at the file's folder.

    Nowhere on another backend than the file's: what that one gave stays.
    """
    wanted = experiment.read["document"]
    if not wanted or experiment.backend != experiment.file.backend:
        return None
    return (experiment.file.folder / wanted).resolve()


def write(
    experiment: "Experiment", path: Path, title: str, sections: Sequence[tuple[str, Sequence[str]]]
) -> None:
    """Writes question, verdict, command, these sections and how all was measured.

    Args:
        experiment: whose trainings have all ended.
        path: of the document; its folder is made.
        title: of the document.
        sections: heading and blocks of Markdown.
    """
    blocks = [
        f"# {title}",
        experiment.file.question,
        experiment.verdict(),
        "This page is written by a command, with all that it shows:",
        f"```\n{experiment.command}\n```",
    ]
    for heading, body in sections:
        blocks += [f"## {heading}", *body]
    facts = "\n".join(f"- {what}: {how}" for what, how in experiment.facts())
    blocks += ["## How it was measured", facts]
    write_whole(path, "\n\n".join(blocks) + "\n")


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; numbers, in all columns but the first, end at their right."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
