"""The command `keras-optim-lab`: a thin layer over the public Python functions."""

import os
import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer
from rich.text import Text
from typer.core import TyperGroup

from keras_optim_lab import __version__, terminal
from keras_optim_lab import backend as backends
from keras_optim_lab.comparison.command import compare_backends
from keras_optim_lab.experiments.command import run
from keras_optim_lab.landscapes.command import FIELDS_AS_OPTIONS, race, surfaces, trace
from keras_optim_lab.map_command import show_map
from keras_optim_lab.redaction import without_password
from keras_optim_lab.reports import tables
from keras_optim_lab.terminal import Backend, answering
from keras_optim_lab.tune_commands import compare, report, tune, worker

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # Keras imports TensorFlow where it is


class _Commands(TyperGroup):
    """The commands; what was given and not understood is repeated without its passwords."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except Exception as error:
            if isinstance(message := getattr(error, "message", None), str):
                error.message = without_password(message)  # type: ignore[attr-defined]
            raise


_EXAMPLES = "  \n".join(
    (
        "For example:",
        "",
        "keras-optim-lab tune --task digits-mlp --optimizer adam --trials 64",
        'keras-optim-lab compare --task digits-mlp adam "adam learning_rate=3e-3"',
        'keras-optim-lab trace adam --function "x**2" --start 0.5',
        "keras-optim-lab optimizers muon --json",
    )
)

app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    rich_markup_mode="rich",
    epilog=_EXAMPLES,
    pretty_exceptions_enable=False,
)
console = terminal.console()

_BUILT_IN_A_STEP = (
    "Bytes are what is kept between steps. In each step newton also builds the n × n Hessian of n "
    "weights; gauss_newton and levenberg_marquardt a matrix of n × n, or of outputs × outputs if "
    "that is smaller."
)
# What is told in one line; anything else is a mistake of this package's, and needs its traceback.
_TOLD = (
    *(ValueError, TypeError, OverflowError, RuntimeError),
    *(OSError, ImportError, MemoryError),
)


def main() -> None:
    """Runs the command; a user's mistake is one line, not a traceback."""
    terminal.replace_what_it_lacks()
    try:
        app()
    except _TOLD as error:
        if os.environ.get("KERAS_OPTIM_LAB_TRACEBACK"):
            raise
        message = Text.assemble(("Error: ", "red"), without_password(error))
        terminal.console(stderr=True).print(message, soft_wrap=True)
        sys.exit(2)


def _show_version(asked: bool) -> None:
    if asked:
        console.print(f"keras-optim-lab {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Optimizers for Keras 3, and the tuner that finds their settings."""


def optimizers(
    name: Annotated[
        str | None, typer.Argument(help="One of them, to be shown in full.", show_default=False)
    ] = None,
    backend: Backend = None,
) -> Any:
    """List the optimizers, or show all about one.

    For example: keras-optim-lab optimizers muon
    """
    backends.select(backend)
    from keras_optim_lab.optimizer_page import facts, page
    from keras_optim_lab.optimizers import entries, entry
    from keras_optim_lab.optimizers.catalogue import compositions

    if name is not None:
        console.print(page(entry(name, composed=True)), crop=False)
        return facts(entry(name, composed=True))
    for title, found in (
        ("name", entries()),
        ("with kol.Model", entries(needs_objective=True)),
    ):
        header = [title, "year", "idea", "slots", "bytes\nper weight"]
        rows = []
        for row, made in [(row, row.cls()) for row in found]:
            kept = str(len(made.active_slots)), f"{made.bytes_per_weight:.2g}"
            rows.append([row.name, str(row.year), row.idea, *kept])
        console.print(tables.table(header, rows, sentences=["idea"]), "")
    console.print(f"{_BUILT_IN_A_STEP}\n")
    others = [[row.name, str(row.year), row.idea] for row in compositions()]
    console.print(tables.table(["around others", "year", "idea"], others, sentences=["idea"]))
    return [facts(row) for row in (*entries(), *entries(needs_objective=True), *compositions())]


def tasks(backend: Backend = None) -> Any:
    """List the built-in tasks.

    For example: keras-optim-lab tasks --json
    """
    backends.select(backend)
    from keras_optim_lab.tasks import describe

    header = ["name", "what", "weights", "train/val/test", "batch", "epochs"]
    rows = []
    for task in describe():
        samples = "/".join(map(str, task.samples))
        numbers = f"{task.weights:,}", samples, str(task.batch_size), str(task.epochs)
        rows.append([task.name, task.summary, *numbers])
    console.print(tables.table(header, rows, ["name", "train/val/test"], ["what"]))
    told = ("name", "summary", "weights", "samples", "batch_size", "epochs")
    return [{what: getattr(task, what) for what in told} for task in describe()]


def programs(
    clear: Annotated[bool, typer.Option("--clear", help="Remove all of them.")] = False,
) -> Any:
    """Show how many compiled programs are kept for other processes, and where.

    For example: keras-optim-lab programs --clear
    """
    from keras_optim_lab.backend import programs as kept

    if clear:
        kept.clear()
    place, files = kept.folder(), kept.kept()
    if place is None:
        console.print(f"None are kept: {kept.VARIABLE} is empty.")
        return {"folder": None, "files": 0, "mebibytes": 0.0}
    mebibytes = sum(map(kept.size, files)) / 2**20
    console.print(
        f"{len(files)} files of {mebibytes:.1f} MiB in {place}; at most {kept.MOST // 2**20} MiB. "
        f"{kept.VARIABLE} names another folder.",
        soft_wrap=True,
    )
    return {"folder": place, "files": len(files), "mebibytes": mebibytes}


# In the order in which they are told of.
_COMMANDS: dict[str, Callable[..., Any]] = {
    "tune": tune,
    "worker": worker,
    "report": report,
    "compare": compare,
    "optimizers": optimizers,
    "tasks": tasks,
    "programs": programs,
    "map": show_map,
    "compare-backends": compare_backends,
    "run": run,
    "trace": trace,
    "race": race,
    "surfaces": surfaces,
}
for name, command in _COMMANDS.items():
    settings = FIELDS_AS_OPTIONS if command is trace else {}
    app.command(name, context_settings=settings)(answering(command))


if __name__ == "__main__":
    main()
