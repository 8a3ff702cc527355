"""The command `keras-optim-lab`: a thin layer over the public Python functions."""

import os
import shlex
import shutil
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import TimeRemainingColumn
from rich.table import Table
from rich.text import Text
from typer.core import TyperGroup

from keras_optim_lab import __version__, terminal
from keras_optim_lab import backend as backends
from keras_optim_lab.comparison.command import compare_backends
from keras_optim_lab.experiments.command import run
from keras_optim_lab.landscapes.command import FIELDS_AS_OPTIONS, race, surfaces, trace
from keras_optim_lab.redaction import without_password

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # Keras imports TensorFlow where it is


class _Commands(TyperGroup):
    """The commands; what was given and not understood is repeated without its passwords."""

    def invoke(self, ctx):
        try:
            return super().invoke(ctx)
        except Exception as error:
            if isinstance(message := getattr(error, "message", None), str):
                error.message = without_password(message)  # type: ignore[attr-defined]
            raise


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
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

Backend = Annotated[
    str | None, typer.Option(help="tensorflow, jax or torch; by default KERAS_BACKEND.")
]
Storage = Annotated[
    str | None,
    typer.Option(
        help="Journal file or database URL; by default studies/NAME.journal.",
        envvar="KERAS_OPTIM_LAB_STORAGE",
    ),
]
Population = Annotated[str, typer.Option(help='How many models train side by side, or "auto".')]
Seeds = Annotated[int, typer.Option(help="Runs of default and tuned settings in the report.")]


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


@app.command()
def tune(
    task: Annotated[str, typer.Option(help="A task; `keras-optim-lab tasks` lists them.")],
    optimizer: Annotated[
        str,
        typer.Option(
            help='One optimizer, such as adam or "lookahead(adam)", or several with commas for '
            "the study to choose."
        ),
    ] = "adam",
    trials: Annotated[int, typer.Option(help="Finished trials that the study is to have.")] = 64,
    seed: Annotated[int, typer.Option(help="Of the sampler; trial n trains with seed + n.")] = 0,
    sampler: Annotated[str, typer.Option(help="tpe, random or qmc.")] = "tpe",
    pruner: Annotated[str, typer.Option(help="median, hyperband, halving or none.")] = "median",
    objective: Annotated[str, typer.Option(help="What to improve, from the logs.")] = "val_loss",
    space: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME=LOW:HIGH searches a range, NAME=VALUE fixes; schedule=constant,cosine "
            "searches the decays of the learning rate. May be repeated."
        ),
    ] = None,
    population: Population = "auto",
    seeds_per_trial: Annotated[
        int, typer.Option(help="Runs of each trial, which is judged by their mean.")
    ] = 1,
    confirm: Annotated[
        int, typer.Option(help="Train so many of the best trials again with fresh seeds.")
    ] = 0,
    name: Annotated[str | None, typer.Option(help="Of the study; an old one continues.")] = None,
    storage: Storage = None,
    report: Annotated[bool, typer.Option(help="Write the HTML report at the end.")] = True,
    seeds: Seeds = 20,
    backend: Backend = None,
) -> None:
    """Search the settings of an optimizer that suit a task."""
    chosen = backends.select(backend)
    import optuna

    from keras_optim_lab.arguments import whole_number
    from keras_optim_lab.tuner import TuningResult
    from keras_optim_lab.tuning import evaluation
    from keras_optim_lab.tuning.engines.population_engine import PopulationEngine

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    whole_number("trials", trials)
    whole_number("seeds", seeds)
    whole_number("confirm", confirm, least=0)
    engine = PopulationEngine(_population(population))
    result = TuningResult.create(
        task,
        optimizer.split(",") if "," in optimizer else optimizer,
        seed=seed,
        sampler=sampler,
        pruner=pruner,
        storage=storage,
        name=name,
        space=dict(map(_override, space or [])),
        objective=objective,
        seeds_per_trial=seeds_per_trial,
    )
    study = result.study.study_name
    searched = f"{', '.join(result.space.optimizers)} on {task}, {trials} trials, on {chosen}"
    console.print(Text.assemble("Study ", (study, "bold"), f": {searched}."))

    def stopped() -> str:
        command = [_program(), *map(without_password, sys.argv[1:])]
        command += [] if name else ["--name", study]
        command += [] if backend else ["--backend", chosen]
        kept = f"the study keeps its {len(result.finished_trials)} finished trials"
        return f"Stopped; {kept}. Continue with:\n  {shlex.join(command)}"

    with terminal.ended_by_ctrl_c(console, stopped):
        _run_trials(result, trials, engine)
        if confirm:
            with _progress("confirming the best") as step:
                evaluation.confirm(result, confirm, engine=engine, on_progress=step)
        _show_best(result)
        console.print(Text(repr(result.best_optimizer()), style="bold green"))
        if report:
            _write_report(result, None, seeds, engine)


@app.command()
def worker(
    study: Annotated[str, typer.Argument(help="Name of the study.")],
    storage: Storage = None,
    trials: Annotated[
        int | None,
        typer.Option(help="Finished trials that it is to have; by default what it was last told."),
    ] = None,
    population: Population = "auto",
    backend: Backend = None,
) -> None:
    """Train trials of a stored study beside the other processes that do.

    Start as many as there are cores or machines, at any time; each ends when the study has all
    its trials. What a killed one was training is trained by the others.
    """
    chosen = backends.select(backend)
    import optuna

    from keras_optim_lab.tuner import TuningResult
    from keras_optim_lab.tuning.engines.population_engine import PopulationEngine

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    engine = PopulationEngine(_population(population))
    result = TuningResult.load(study, storage)
    console.print(Text.assemble("Training trials of study ", (study, "bold"), f" on {chosen}."))
    with terminal.ended_by_ctrl_c(console, lambda: "Stopped; start it again at any time."):
        _run_trials(result, result.wanted(trials), engine)
    _show_best(result)


@app.command()
def report(
    study: Annotated[str, typer.Argument(help="Name of the study.")],
    storage: Storage = None,
    output: Annotated[
        Path | None, typer.Option(help="Page to write; by default reports/STUDY.html.")
    ] = None,
    seeds: Seeds = 20,
    backend: Backend = None,
) -> None:
    """Write the HTML report of a stored study."""
    backends.select(backend)
    from keras_optim_lab.tuner import TuningResult

    _write_report(TuningResult.load(study, storage), output, seeds)


@app.command()
def optimizers(
    name: Annotated[
        str | None, typer.Argument(help="One of them, to be shown in full.", show_default=False)
    ] = None,
    backend: Backend = None,
) -> None:
    """List the optimizers, or show all about one."""
    backends.select(backend)
    from keras_optim_lab.optimizer_page import page
    from keras_optim_lab.optimizers import entries, entry
    from keras_optim_lab.optimizers.catalogue import compositions

    if name is not None:
        console.print(page(entry(name, composed=True)), crop=False)
        return
    for title, found in (
        ("name", entries()),
        ("with kol.Model", entries(needs_objective=True)),
    ):
        table = _table(title, "year", "idea", "slots", "bytes\nper weight")
        for row in found:
            optimizer = row.cls()
            slots = len(optimizer.active_slots)
            table.add_row(
                row.name, str(row.year), row.idea, str(slots), f"{optimizer.bytes_per_weight:.2g}"
            )
        console.print(table, "")
    console.print(f"{_BUILT_IN_A_STEP}\n")
    table = _table("around others", "year", "idea")
    for row in compositions():
        table.add_row(row.name, str(row.year), row.idea)
    console.print(table)


@app.command()
def tasks(backend: Backend = None) -> None:
    """List the built-in tasks."""
    backends.select(backend)
    from keras_optim_lab.tasks import describe

    table = _table("name", "what", "weights", "train/val/test", "batch", "epochs")
    for task in describe():
        table.add_row(
            task.name,
            task.summary,
            f"{task.weights:,}",
            "/".join(map(str, task.samples)),
            str(task.batch_size),
            str(task.epochs),
        )
    console.print(table)


app.command()(compare_backends)
app.command()(run)
app.command(context_settings=FIELDS_AS_OPTIONS)(trace)
app.command()(race)
app.command()(surfaces)


def _population(text: str) -> Any:
    try:
        return int(text)
    except ValueError:
        return text


def _program() -> str:
    """How to call this command again: by its name, or by its path where the name is not found."""
    return "keras-optim-lab" if shutil.which("keras-optim-lab") else sys.argv[0]


def _show_best(result: Any) -> None:
    best = result.best_trial
    seeds = result.confirmation.get(best.number)
    value = sum(seeds) / len(seeds) if seeds else best.value
    over = f", mean over {len(seeds)} fresh seeds" if seeds else ""
    console.print(Text(f"\nBest: trial {best.number}, {result.objective.name} {value:.5g}{over}"))


def _run_trials(result: Any, trials: int, engine: Any) -> None:
    with _progress("", total=trials) as step:

        def told(study, trial=None):
            complete = any(t.state.name == "COMPLETE" for t in result.finished_trials)
            best = f"{result.objective.name} {study.best_value:.5g}" if complete else ""
            step(len(result.finished_trials), trials, f"best {best}" if best else "no result yet")

        told(result.study)
        result.run(trials, engine, [told])


def _write_report(result: Any, output: Path | None, seeds: int, engine: Any = None) -> None:
    from keras_optim_lab.reports.judgement import warnings_of
    from keras_optim_lab.reports.report import verdict
    from keras_optim_lab.tuning.evaluation import evaluate

    with _progress("default against tuned settings") as step:
        evaluation = evaluate(result, seeds, engine, step)
    path = result.report(output, seeds)
    console.print(Text(f"\n{verdict(result, evaluation)}"))
    for sentence in warnings_of(result, evaluation):
        console.print(Text.assemble(("Warning: ", "yellow"), sentence))
    console.print(Text(f"Report: {path.resolve()}"), soft_wrap=True)


@contextmanager
def _progress(description: str, total: int | None = None):
    """A progress bar as a function `step(done, total, description)`."""
    with terminal.progress(console, TimeRemainingColumn()) as bar:
        running = bar.add_task(description, total=total)

        def step(done: float, total: int, description: str | None = None) -> None:
            bar.update(running, completed=done, total=total, description=description)

        yield step


def _override(text: str) -> tuple[str, Any]:
    """`learning_rate=1e-4:1e-2` as a range, `epsilon=1e-8` as a value, `schedule=…` as words."""
    name, equals, value = text.partition("=")
    if name == "schedule" and value:
        return name, value.split(",") if "," in value else value
    low, colon, high = value.partition(":")
    try:
        if equals and colon:
            return name, (float(low), float(high))
        if equals and value.lower() in ("true", "false"):
            return name, value.lower() == "true"
        if equals:
            return name, float(value)
    except ValueError:
        pass
    raise ValueError(
        "--space takes NAME=LOW:HIGH or NAME=VALUE with numbers, or schedule=NAME,NAME. "
        f"Received: {text!r}"
    )


def _table(*header: str) -> Table:
    table = terminal.table()
    for column in header:
        right = column in ("year", "slots", "weights", "batch", "epochs") or "bytes" in column
        whole = column not in ("what", "idea")  # only sentences are broken into lines
        table.add_column(column, justify="right" if right else "left", no_wrap=whole)
    return table


if __name__ == "__main__":
    main()
