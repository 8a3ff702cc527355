"""An experiment as a Markdown document, for those who read the repository."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_optim_lab.experiments.experiment import Experiment
from keras_optim_lab.experiments.file import Common
from keras_optim_lab.experiments.outputs import Output
from keras_optim_lab.experiments.schema import key, text
from keras_optim_lab.files import write_whole

_WRITTEN = "This page is written by a command, with all that it shows:"
_COMMAND = "```\nkeras-optim-lab run "
PICTURES = "pictures"  # the folder beside a document that its pictures are in


def name(value: Any) -> str:
    """Where a document is to lie, seen from the experiment's file."""
    path = Path(text(value))
    hidden = any(part.startswith(".") and part != ".." for part in path.parts)
    if path.is_absolute() or path.suffix != ".md" or hidden or "\0" in value:
        raise ValueError(
            "must be a Markdown file in the experiment's folder or beside it, such as "
            f'"../docs/NAME.md". Received: {value!r}'
        )
    return value


@dataclass(frozen=True, kw_only=True)
class DocumentKeys(Common):
    """What a file says that may ask for a document."""

    document: str = key(name, "")


def outputs(experiment: Experiment[Any], pictures: Sequence[str] = ()) -> list[Output]:
    """The document, if one is to be written, and its pictures by their names."""
    path = path_of(experiment)
    if path is None:
        return []
    beside = experiment.file.folder.resolve().parent
    return [
        Output(path, beside, f"{_WRITTEN}\n\n{_COMMAND}", key="document"),
        *(
            Output(path.parent / PICTURES / each, beside, shown(each), marked=path, key="document")
            for each in pictures
        ),
    ]


def shown(picture: str) -> str:
    """The end of the Markdown that shows a picture."""
    return f"]({PICTURES}/{picture})"


def path_of(experiment: Experiment[Any]) -> Path | None:
    """Where its file wants the document: `document`, beginning at the file's folder.

    Nowhere on another backend than the file's: what that one gave stays.
    """
    wanted = experiment.keys.document
    if not wanted or experiment.backend != experiment.file.common.backend:
        return None
    return (experiment.file.folder / wanted).resolve()


def write(
    experiment: Experiment[Any],
    path: Path,
    title: str,
    sections: Sequence[tuple[str, Sequence[str]]],
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
        experiment.keys.question,
        experiment.verdict(),
        _WRITTEN,
        f"```\n{experiment.command}\n```",
    ]
    for heading, body in sections:
        blocks += [f"## {heading}", *body]
    facts = "\n".join(f"- {what}: {how}" for what, how in experiment.facts())
    blocks += ["## How it was measured", facts]
    write_whole(path, "\n\n".join(blocks) + "\n")
