"""What experiments of all kinds have in common, and how they are made from their files."""

import shlex
from abc import ABC, abstractmethod
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from keras_optim_lab import backend as backends
from keras_optim_lab.experiments.file import Common, ExperimentFile
from keras_optim_lab.experiments.outputs import Output
from keras_optim_lab.experiments.parts import OnProgress, Part
from keras_optim_lab.experiments.records import Records, lock_of

if TYPE_CHECKING:
    from keras_optim_lab.reports.html import Page

K = TypeVar("K", bound=Common)
_MAKING = "How this was made"


def _silent(what: str, done: float, total: int) -> None:
    pass


class Experiment(ABC, Generic[K]):
    """An experiment whose file has been checked.

    A kind reads what came out once, when all is trained, and makes verdict, page and document of
    it.

    Attributes:
        name: of the file; with the backend, where that is another than the file's.
        keys: what the file says.
        records: what has been trained already.
        page: where its page is written.
        command: that runs it.
    """

    reads: type[K]  # the keys of the kind

    def __init__(self, file: ExperimentFile, backend: str):
        self.file = file
        self.backend = backend
        other = backend != file.common.backend
        self.name = f"{file.stem}-{backend}" if other else file.stem
        self.command = shlex.join(
            ["keras-optim-lab", "run", file.path, *(["--backend", backend] if other else [])]
        )
        self.keys = file.table.read(self.reads)
        self.prepare()
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
        from keras_optim_lab.versions import in_a_line

        page = Page(self.name)
        page.paragraph(self.keys.question)
        page.paragraph(self.verdict(), "result")
        self.write(page)
        page.heading(_MAKING)
        page.code(self.command)
        page.facts([*self.facts(), ("versions", in_a_line(self.stamp["versions"]))])
        return page.write(self.page, shared_script=True)

    @property
    def outputs(self) -> list[Path]:
        """Every file that a run writes, locks aside."""
        written = (*self._own, *self.documents())
        return [*self.studies(), *(output.path for output in written)]

    def _check_outputs(self) -> None:
        lock = Output(lock_of(self._own[0].path), self.file.folder)
        for output in (*self._own, lock, *self.documents()):
            self.file.table.check(output.key, output.check)

    @property
    def stamp(self) -> dict[str, Any]:
        """What every record holds beside settings and result."""
        from keras_optim_lab.versions import versions_of_study

        return {"versions": versions_of_study(self.backend), "command": self.command}

    def prepare(self) -> None:
        """Makes what the kind needs of the keys; raises ExperimentError where they do not fit."""

    def documents(self) -> list[Output]:
        """What it writes elsewhere than among the results."""
        return []

    def studies(self) -> list[Path]:
        """The files of the studies that it makes."""
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
    chosen = backends.select(backend or file.common.backend)
    # A kind is imported when Keras knows its backend.
    kind = import_module(f"keras_optim_lab.experiments.kinds.{file.common.kind}").KIND
    return kind(file, chosen)
