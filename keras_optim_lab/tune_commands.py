"""The commands `keras-optim-lab tune`, `worker` and `report`."""

import json
import shlex
import shutil
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import TimeRemainingColumn
from rich.text import Text

from keras_optim_lab import backend as backends
from keras_optim_lab import terminal
from keras_optim_lab.arguments import whole_number
from keras_optim_lab.redaction import without_password
from keras_optim_lab.terminal import Backend, Workers, number_or_word

if TYPE_CHECKING:
    from keras_optim_lab.tuner import TuningResult
    from keras_optim_lab.tuning.budget import Budget
    from keras_optim_lab.tuning.engines.engine import Engine

console = terminal.console()

OptimizerName = Annotated[
    str,
    typer.Option(
        help='One optimizer, such as adam or "lookahead(adam)", or several with commas for '
        "the study to choose."
    ),
]
Space = Annotated[
    list[str] | None,
    typer.Option(
        help="NAME=LOW:HIGH searches a range, NAME=VALUE fixes; schedule=constant,cosine "
        "searches the decays of the learning rate, batch_size=16,32 and epochs=5:40 how it is "
        "trained. May be repeated."
    ),
]
Storage = Annotated[
    str | None,
    typer.Option(
        help="Journal file or database URL; by default studies/NAME.journal.",
        envvar="KERAS_OPTIM_LAB_STORAGE",
    ),
]
Start = Annotated[
    str,
    typer.Option(
        help="What is tried first: portfolio, defaults, none, or a JSON file with a list of "
        "settings."
    ),
]
Minutes = Annotated[
    float | None,
    typer.Option(help="That it may take; what is over first, these or the trials, ends it."),
]
Population = Annotated[str, typer.Option(help='How many models train side by side, or "auto".')]
Ray = Annotated[
    str | None,
    typer.Option(
        help='Train in actors on a cluster of Ray, "HOST:PORT", or "local" for one of its own: '
        "--workers says how many, each with a CPU, and with --gpus of these."
    ),
]
Gpus = Annotated[float, typer.Option(help="GPUs, or a share of one, of each actor on --ray.")]
Folds = Annotated[
    str,
    typer.Option(
        help="Over which all settings are cross-validated: a number, none, or auto, 5 where there "
        "are few validation samples."
    ),
]
Seeds = Annotated[int, typer.Option(help="Runs of default and tuned settings in the report.")]


def tune(
    task: Annotated[str, typer.Option(help="A task; `keras-optim-lab tasks` lists them.")],
    optimizer: OptimizerName = "adam",
    trials: Annotated[int, typer.Option(help="Finished trials that the study is to have.")] = 64,
    seed: Annotated[int, typer.Option(help="Of the sampler; trial n trains with seed + n.")] = 0,
    sampler: Annotated[str, typer.Option(help="tpe, gp, cmaes, random, qmc or grid.")] = "tpe",
    pruner: Annotated[
        str, typer.Option(help="median, hyperband, halving, freeze-thaw or none.")
    ] = "none",
    objective: Annotated[str, typer.Option(help="What to improve, from the logs.")] = "val_loss",
    space: Space = None,
    population: Population = "auto",
    start: Start = "portfolio",
    minutes: Minutes = None,
    seeds_per_trial: Annotated[
        int, typer.Option(help="Runs of each trial, which is judged by their mean.")
    ] = 1,
    folds: Folds = "auto",
    confirm: Annotated[
        int,
        typer.Option(help="Race so many of the best trials and the defaults over fresh seeds."),
    ] = 12,
    name: Annotated[str | None, typer.Option(help="Of the study; an old one continues.")] = None,
    storage: Storage = None,
    report: Annotated[bool, typer.Option(help="Write the HTML report at the end.")] = True,
    seeds: Seeds = 20,
    workers: Workers = None,
    ray: Ray = None,
    gpus: Gpus = 0.0,
    backend: Backend = None,
) -> Any:
    """Search the settings of an optimizer that suit a task.

    For example: keras-optim-lab tune --task digits-cnn --optimizer adam,radam --trials 60
    """
    chosen = backends.select(backend)
    from keras_optim_lab.tuner import TuningResult
    from keras_optim_lab.tuning import confirmation
    from keras_optim_lab.tuning.budget import KEPT_BACK, Budget

    whole_number("trials", trials)
    whole_number("seeds", seeds)
    whole_number("confirm", confirm, least=0)
    budget = Budget(minutes, KEPT_BACK if confirm else 0.0)
    context = _engine(population, workers, ray, gpus)
    result = TuningResult.create(
        task,
        optimizer.split(",") if "," in optimizer else optimizer,
        seed=seed,
        sampler=sampler,
        pruner=pruner,
        storage=storage,
        name=name,
        space=dict(map(override, space or [])),
        objective=objective,
        seeds_per_trial=seeds_per_trial,
        folds=fold_count(folds),
        start=_start(start),
    )
    study = result.study.study_name
    searched = f"{', '.join(result.space.optimizers)} on {task}, {trials} trials, on {chosen}"
    searched += f", each trial over {result.folds} folds" if result.folds else ""
    console.print(Text.assemble("Study ", (study, "bold"), f": {searched}."))
    unsaid = [] if name else ["--name", study]
    unsaid += [] if backend else ["--backend", chosen]
    with terminal.ended_by_ctrl_c(console, lambda: _stopped(result, unsaid)), context as engine:
        _run_trials(result, trials, engine, budget)
        if confirm and result.is_complete:
            with progress("racing the best and the defaults") as step:
                confirmation.confirm(result, confirm, engine, step, budget)
        _show_best(result)
        console.print(Text(repr(result.best_optimizer()), style="bold green"))
        if fit := result.best_configuration.recipe.fit:
            console.print(Text(fit, style="bold green"))
        page = _write_report(result, None, seeds, engine) if report else None
    return {**found(result), "report": page}


def worker(
    study: Annotated[str, typer.Argument(help="Name of the study.")],
    storage: Storage = None,
    trials: Annotated[
        int | None,
        typer.Option(help="Finished trials that it is to have; by default what it was last told."),
    ] = None,
    minutes: Minutes = None,
    population: Population = "auto",
    backend: Backend = None,
) -> Any:
    """Train trials of a stored study beside the other processes that do.

    Start as many as there are cores or machines, at any time; each ends when the study has all
    its trials. What a killed one was training is trained by the others.

    For example: keras-optim-lab worker STUDY --storage postgresql+psycopg://USER@HOST/NAME
    """
    chosen = backends.select(backend)
    from keras_optim_lab.tuner import TuningResult
    from keras_optim_lab.tuning.budget import Budget

    budget = Budget(minutes)
    context = _engine(population)
    result = TuningResult.load(study, storage)
    console.print(Text.assemble("Training trials of study ", (study, "bold"), f" on {chosen}."))
    stopped = "Stopped; start it again at any time."
    with terminal.ended_by_ctrl_c(console, lambda: stopped), context as engine:
        _run_trials(result, result.wanted(trials), engine, budget)
    _show_best(result)
    return found(result)


def report(
    study: Annotated[str, typer.Argument(help="Name of the study.")],
    storage: Storage = None,
    output: Annotated[
        Path | None, typer.Option(help="Page to write; by default reports/STUDY.html.")
    ] = None,
    seeds: Seeds = 20,
    backend: Backend = None,
) -> Any:
    """Write the HTML report of a stored study.

    For example: keras-optim-lab report STUDY --output report.html
    """
    backends.select(backend)
    from keras_optim_lab.tuner import TuningResult

    result = TuningResult.load(study, storage)
    return {**found(result), "report": _write_report(result, output, seeds)}


def compare(
    candidates: Annotated[
        list[str],
        typer.Argument(
            help='Two or more: "adam", "adam learning_rate=3e-3 beta_2=0.99", "lookahead(adam)".'
        ),
    ],
    task: Annotated[str, typer.Option(help="A task; `keras-optim-lab tasks` lists them.")],
    metric: Annotated[str, typer.Option(help="What to compare, from the logs.")] = "val_loss",
    runs: Annotated[int, typer.Option(help="Of each candidate, at most.")] = 64,
    delta: Annotated[
        float, typer.Option(help="A difference that does not matter, as a share of the best.")
    ] = 0.02,
    folds: Folds = "auto",
    seed: Annotated[int, typer.Option(help="Of the first run.")] = 0,
    output: Annotated[
        Path | None, typer.Option(help="Page to write; by default none.", show_default=False)
    ] = None,
    population: Population = "auto",
    backend: Backend = None,
) -> Any:
    """Train candidates with common seeds until it is certain which is better.

    For example: keras-optim-lab compare --task digits-mlp adam "adam learning_rate=3e-3"
    """
    backends.select(backend)
    from keras_optim_lab.head_to_head import compare as compared
    from keras_optim_lab.reports import tables

    named = {text: _candidate(text) for text in candidates}
    if len(named) < len(candidates):
        twice = next(text for text in named if candidates.count(text) > 1)
        raise ValueError(f"Candidates must differ, and {twice!r} was given more than once.")
    with (
        terminal.ended_by_ctrl_c(console, lambda: "Stopped; nothing is kept of it."),
        progress("runs with common seeds") as step,
    ):
        found = compared(
            task,
            named,
            metric=metric,
            runs=runs,
            delta=delta,
            folds=fold_count(folds),
            seed=seed,
            population=number_or_word(population),
            on_progress=step,
        )
    console.print("", tables.table(found.header, found.rows, sentences=["candidate"]), "")
    console.print(Text(found.verdict, style="bold"))
    page = None if output is None else found.report(output).resolve()
    if page is not None:
        console.print(Text(f"Page: {page}"), soft_wrap=True)
    return {"best": found.best, "verdict": found.verdict, "values": found.values, "page": page}


def _candidate(text: str) -> dict[str, Any]:
    name, *settings = text.split()
    return {"optimizer": name, **dict(map(override, settings))}


def _engine(
    population: str, workers: str | None = None, ray: str | None = None, gpus: float = 0.0
) -> AbstractContextManager["Engine"]:
    """What trains, while Optuna says nothing of every trial."""
    import optuna

    from keras_optim_lab.tuning import executors
    from keras_optim_lab.tuning.executors.choosing import engine_of

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    rows, count = number_or_word(population), number_or_word(workers)
    if ray is None:
        return engine_of(rows, count)
    if not isinstance(count, int):
        raise ValueError(f"--ray needs --workers, a number of actors. Received: {workers}")
    return executors.Ray(count, num_gpus=gpus, address=ray, population=rows)


def fold_count(text: str) -> Any:
    return None if text == "none" else number_or_word(text)


def _start(text: str) -> Any:
    """The name of a start, or the settings in a file."""
    path = Path(text)
    if path.suffix != ".json":
        return text
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(
            "--start takes portfolio, defaults, none, or a JSON file such as "
            f'[{{"learning_rate": 0.003}}]. Received: {text} ({error})'
        ) from None


def _stopped(result: "TuningResult", unsaid: list[str]) -> str:
    """How to go on: with the command's arguments, and those that it has chosen itself."""
    # By its path where the name is not found.
    program = "keras-optim-lab" if shutil.which("keras-optim-lab") else sys.argv[0]
    command = shlex.join([program, *map(without_password, sys.argv[1:]), *unsaid])
    kept = f"the study keeps its {len(result.finished_trials)} finished trials"
    return f"Stopped; {kept}. Continue with:\n  {command}"


def found(result: "TuningResult") -> dict[str, Any]:
    """A study's result in plain numbers and words."""
    best, verdict = result.best_trial, result.verdict
    return {
        "study": result.study.study_name,
        "objective": result.objective.name,
        "trials": len(result.finished_trials),
        "best": {"trial": best.number, "value": best.value, "params": best.params},
        "verdict": verdict and {"better": verdict.better, "text": str(verdict)},
        "optimizer": repr(result.best_optimizer()),
        "settings": result.best_params,
    }


def _show_best(result: "TuningResult") -> None:
    best, verdict = result.best_trial, result.verdict
    console.print(Text(f"\nBest: trial {best.number}, {result.objective.name} {best.value:.5g}"))
    if verdict is not None:
        console.print(Text(f"Verdict: {verdict}"))


def _run_trials(result: "TuningResult", trials: int, engine: "Engine", budget: "Budget") -> None:
    with progress("", total=trials) as step:

        def told(study: Any, trial: Any = None) -> None:
            complete = any(t.state.name == "COMPLETE" for t in result.finished_trials)
            best = f"{result.objective.name} {study.best_value:.5g}" if complete else ""
            step(len(result.finished_trials), trials, f"best {best}" if best else "no result yet")

        told(result.study)
        result.run(trials, engine, [told], budget)


def _write_report(
    result: "TuningResult",
    output: Path | None,
    seeds: int,
    engine: "Engine | None" = None,
) -> Path:
    from keras_optim_lab.reports.judgement import warnings_of
    from keras_optim_lab.reports.report import verdict
    from keras_optim_lab.tuning.evaluation import evaluate

    with progress("default against tuned settings") as step:
        evaluation = evaluate(result, seeds, engine, step)
    path = result.report(output, seeds)
    console.print(Text(f"\n{verdict(result, evaluation)}"))
    for sentence in warnings_of(result, evaluation):
        console.print(Text.assemble(("Warning: ", "yellow"), sentence))
    console.print(Text(f"Report: {path.resolve()}"), soft_wrap=True)
    return path.resolve()


def progress(description: str, total: int | None = None) -> AbstractContextManager[terminal.Step]:
    """A progress bar as a function `step(done, total, description)`."""
    return terminal.step(terminal.progress(console, TimeRemainingColumn()), description, total)


def override(text: str) -> tuple[str, Any]:
    """`learning_rate=1e-4:1e-2` as a range, `epsilon=1e-8` as a value, `schedule=…` as words.

    `batch_size=16,32,64` as a list, and its numbers and those of `epochs=5:50` as whole ones.
    """
    name, equals, value = text.partition("=")
    if name == "schedule" and value:
        return name, value.split(",") if "," in value else value
    numeric: Callable[[str], float] = int if name in ("batch_size", "epochs") else float
    low, colon, high = value.partition(":")
    try:
        if equals and colon:
            return name, (numeric(low), numeric(high))
        if name == "batch_size" and "," in value:
            return name, [numeric(each) for each in value.split(",")]
        if equals and value.lower() in ("true", "false"):
            return name, value.lower() == "true"
        if equals:
            return name, numeric(value)
    except ValueError:
        pass
    raise ValueError(
        "--space takes NAME=LOW:HIGH or NAME=VALUE with numbers, schedule=NAME,NAME or "
        "batch_size=NUMBER,NUMBER; batch_size and epochs are whole numbers. "
        f"Received: {text!r}"
    )
