"""The command `keras-optim-lab run`."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import TaskID
from rich.text import Text

from keras_optim_lab import terminal
from keras_optim_lab.reports import tables
from keras_optim_lab.terminal import Workers, number_or_word


def run(
    file: Annotated[Path, typer.Argument(help="An experiment, such as experiments/NAME.toml.")],
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Say what would be trained and written, and do neither."),
    ] = False,
    backend: Annotated[
        str | None,
        typer.Option(help="In place of the file's; its results are kept apart."),
    ] = None,
    workers: Workers = None,
) -> Any:
    """Run an experiment from its file, or what is missing of it.

    Everything finished is kept: studies under studies/, trainings as lines of
    results/NAME.jsonl beside the file. The page is results/NAME.html.

    For example: keras-optim-lab run experiments/adam-digits.toml --dry-run
    """
    from keras_optim_lab.experiments.experiment import load
    from keras_optim_lab.tuning.engines.default import trained_by
    from keras_optim_lab.tuning.executors.choosing import engine_of

    console = terminal.console()
    experiment = load(file, backend)
    if dry_run:
        parts = experiment.parts()
        counts = [(part.trainings, part.done, part.missing) for part in parts]
        table = [[part.what, *map(str, n)] for part, n in zip(parts, counts, strict=True)]
        said = f" on {experiment.backend}. {experiment.keys.question}\n"
        console.print(Text.assemble((experiment.name, "bold"), said))
        console.print(tables.table(["what", "trainings", "there", "to run"], table))
        every, _, missing = map(sum, zip(*counts, strict=True))
        console.print(f"{missing} of {every} trainings would be run.\n")
        console.print("Files that would be written:")
        for path in experiment.outputs:
            console.print(f"  {os.path.relpath(path)}", soft_wrap=True)
        return {
            "parts": [
                {"what": part.what, "trainings": n, "there": done, "missing": missing}
                for part, (n, done, missing) in zip(parts, counts, strict=True)
            ],
            "files": experiment.outputs,
        }
    stopped = (
        "Stopped; all that is finished is kept. The same command continues:\n"
        f"  {experiment.command}"
    )
    with (
        terminal.ended_by_ctrl_c(console, lambda: stopped),
        terminal.progress(console) as bar,
    ):
        rows: dict[str, TaskID] = {}

        def step(what: str, done: float, total: int) -> None:
            if what not in rows:
                rows[what] = bar.add_task(what, total=total)
            bar.update(rows[what], completed=done)

        with engine_of(workers=number_or_word(workers)) as engine, trained_by(engine):
            page = experiment.run(step)
    console.print(f"\n{experiment.verdict()}")
    console.print(f"Page: {page.resolve()}", soft_wrap=True)
    console.print(f"Data: {experiment.records.path.resolve()}", soft_wrap=True)
    return {
        "verdict": experiment.verdict(),
        "page": page.resolve(),
        "data": experiment.records.path.resolve(),
    }
