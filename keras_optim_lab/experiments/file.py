"""An experiment's file, as read and before its kind is known to Keras."""

import os
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_optim_lab.backend.selection import BACKENDS
from keras_optim_lab.experiments import schema
from keras_optim_lab.experiments.lines import Place, lines_of
from keras_optim_lab.experiments.schema import ExperimentError, Keys, Table, key
from keras_optim_lab.files import file_name, named

KINDS = ("study", "optimizers", "portfolio", "backends", "published", "races")


@dataclass(frozen=True, kw_only=True)
class Common(Keys):
    """What the file of every kind says.

    Attributes:
        kind: what is to be run.
        question: that it answers, in a sentence.
        backend: that it is run on unless the command says another one.
    """

    kind: str = key(schema.one_of(KINDS))
    question: str = key(schema.text)
    backend: str = key(schema.one_of(BACKENDS), "jax")


class ExperimentFile:
    """What an experiment's TOML file says, and where its results are.

    Attributes:
        path: of the file, as it is shown to readers.
        table: all of it.
        common: what it says as one of any kind.
    """

    def __init__(self, path: str | Path):
        """Reads the file; nothing in it is evaluated.

        Raises:
            FileNotFoundError: there is no such file.
            ExperimentError: it is no TOML, its name cannot be that of a study, or a key that all
                kinds have is missing or wrong.
        """
        given = Path(path)
        self.path = _shown(given)
        self.folder = given.parent
        self.stem = given.stem
        try:
            with named(given):
                text = given.read_text(encoding="utf-8").replace("\r\n", "\n")
        except FileNotFoundError:
            raise FileNotFoundError(
                f"There is no experiment {self.path}.{_beside(given)}"
            ) from None
        except UnicodeDecodeError as error:
            raise ExperimentError(f"{self.path}: is no text in UTF-8 ({error}).") from error
        if (name := file_name(self.stem)) != self.stem:
            raise ExperimentError(
                f"{self.path}: its study and results take the file's name, which must be made of "
                f"letters, digits and . _ + -. Rename the file, for instance to {name}.toml."
            )
        self.table = Table(self.path, *_parsed(self.path, text))
        self.common = self.table.read(Common, others=True)


def _parsed(path: str, text: str) -> tuple[dict[str, Any], dict[Place, int]]:
    try:
        return tomllib.loads(text), lines_of(text)
    except tomllib.TOMLDecodeError as error:
        said, _, where = str(error).rpartition(" (at ")
        line = re.search(r"line (\d+)", where)
        number = line[1] if line else str(text.count("\n") + 1)
        raise ExperimentError(f"{path}, line {number}: {said or error}. This is no TOML.") from None
    except (ValueError, RecursionError) as error:  # thousands of digits, or of brackets
        raise ExperimentError(f"{path}: cannot be read ({error}).") from None


def _shown(path: Path) -> str:
    """The path from here, or the name alone where it lies elsewhere."""
    relative = os.path.relpath(path)
    return path.name if relative.startswith("..") else Path(relative).as_posix()


def _beside(path: Path) -> str:
    names = sorted(other.name for other in path.parent.glob("*.toml"))
    return f" Beside it are: {', '.join(names)}." if names else ""
