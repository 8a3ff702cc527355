"""What experiments of all kinds have in common, and how they are made from their files."""

import shlex
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from keras_optim_lab import backend as backends
from keras_optim_lab.experiments.file import COMMON, ExperimentFile
from keras_optim_lab.experiments.outputs import Output
from keras_optim_lab.experiments.records import Records, lock_of
from keras_optim_lab.experiments.schema import Key
from keras_optim_lab.experiments.versions import versions

if TYPE_CHECKING:
    from keras_optim_lab.experiments.search import Search
    from keras_optim_lab.reports.html import Page

# Called as `on_progress(what, done, total)` after every trial, and every epoch of other trainings,
# which count by the share of their epochs.
OnProgress = Callable[[str, float, int], None]


_MAKING = "How this was made"


def _silent(what: str, done: float, total: int) -> None:
    pass


@dataclass(frozen=True)
class Part:
    """A part of an experiment: how many trainings it is made of, and how many are there."""

    what: str
    trainings: int
    done: int

    @property
    def missing(self) -> int:
        return self.trainings - self.done


class Experiment(ABC):
    """An experiment whose file has been checked.

    Attributes:
        name: of the file; with the backend, where that is another than the file's.
        read: the values of its keys.
        records: what has been trained already.
        page: where its page is written.
        command: that runs it.
    """

    keys: ClassVar[dict[str, Key]]

    def __init__(self, file: ExperimentFile, backend: str):
        self.file = file
        self.backend = backend
        other = backend != file.backend
        self.name = f"{file.stem}-{backend}" if other else file.stem
        self.command = shlex.join(
            ["keras-optim-lab", "run", file.path, *(["--backend", backend] if other else [])]
        )
        self.read: dict[str, Any] = file.table.read({**COMMON, **self.keys})
        self.check()
        from keras_optim_lab.reports.html import SHARED_SCRIPT  # Keras comes with it

        results = file.folder / "results"
        self.page = results / f"{self.name}.html"
        self._own = [
            Output(results / f"{self.name}.jsonl", file.folder),
            Output(self.page, file.folder, f"<h2>{_MAKING}</h2>\n<pre>keras-optim-lab run "),
            Output(results / SHARED_SCRIPT, file.folder, "\n* plotly.js "),
        ]
        self._check_outputs()
        self.records = Records(self._own[0].path)  # checks itself what is there

    def run(self, on_progress: OnProgress = _silent) -> Path:
        """Trains what is missing and writes the page, whose path is returned."""
        self.parts()  # what is stored must fit this file, before anything is trained
        self.train(on_progress)
        self._check_outputs()  # others may have written since
        from keras_optim_lab.reports.html import Page

        page = Page(self.name)
        page.paragraph(self.file.question)
        page.paragraph(self.verdict(), "result")
        self.write(page)
        page.heading(_MAKING)
        page.code(self.command)
        page.facts([*self.facts(), ("versions", self._versions())])
        return page.write(self.page, shared_script=True)

    @property
    def outputs(self) -> list[Path]:
        """Every file that a run writes, locks aside."""
        return [
            *(search.path for search in self.searches()),
            *(output.path for output in (*self._own, *self.documents())),
        ]

    def _check_outputs(self) -> None:
        lock = Output(lock_of(self._own[0].path), self.file.folder)
        for output in (*self._own, lock, *self.documents()):
            self.file.table.check(output.key, output.check)

    @property
    def stamp(self) -> dict[str, Any]:
        """What every record holds beside settings and result."""
        return {"versions": versions(self.backend), "command": self.command}

    def _versions(self) -> str:
        return ", ".join(f"{name} {number}" for name, number in versions(self.backend).items())

    @abstractmethod
    def check(self) -> None:
        """Checks what a key alone does not tell; raises ExperimentError."""

    def documents(self) -> list[Output]:
        """What it writes elsewhere than among the results."""
        return []

    def searches(self) -> list["Search"]:
        """The studies that it makes."""
        return []

    @abstractmethod
    def parts(self) -> list[Part]:
        """What there is to do, and what is there; nothing is trained or written."""

    @abstractmethod
    def train(self, on_progress: OnProgress) -> None:
        """Trains what is missing."""

    @abstractmethod
    def verdict(self) -> str:
        """The result in words, when all is trained."""

    @abstractmethod
    def write(self, page: "Page") -> None:
        """Adds tables and figures."""

    @abstractmethod
    def facts(self) -> list[tuple[str, str]]:
        """What the page says of how it was made."""


def load(path: str | Path, backend: str | None = None) -> Experiment:
    """The experiment of a file, checked; nothing has been trained or written.

        keras_optim_lab.experiments.experiment.load("experiments/adam-digits.toml").run()

    Args:
        path: of the TOML file.
        backend: in place of the one that the file names; its results are kept apart.

    Raises:
        FileNotFoundError: there is no such file.
        ExperimentError: something in it is wrong; the message names file, line and key.
        ValueError, RuntimeError, ModuleNotFoundError: Keras cannot run on the backend.
    """
    file = ExperimentFile(path)
    chosen = backends.select(backend or file.backend)
    # A kind is imported when Keras knows its backend.
    kind = import_module(f"keras_optim_lab.experiments.kinds.{file.kind}").KIND
    return kind(file, chosen)
