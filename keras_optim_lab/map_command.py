"""The command `keras-optim-lab map`."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from keras_optim_lab import backend as backends
from keras_optim_lab import terminal, tune_commands
from keras_optim_lab.terminal import Backend
from keras_optim_lab.tune_commands import Folds, Population, Storage

console = terminal.console()

Side = Annotated[str, typer.Option(help="A hyperparameter, such as learning_rate or beta_1.")]


def show_map(
    task: Annotated[
        str | None, typer.Option(help="A task; by default that of the study.", show_default=False)
    ] = None,
    optimizer: Annotated[
        str | None,
        typer.Option(help="By default adam, or that of the study.", show_default=False),
    ] = None,
    x: Side = "learning_rate",
    y: Side = "beta_1",
    settings: Annotated[int, typer.Option(help="Of the grid, at most.")] = 256,
    seeds: Annotated[
        int | None,
        typer.Option(
            help="Runs of each, by default 2; or cross-validations, by default 1.",
            show_default=False,
        ),
    ] = None,
    folds: Folds = "auto",
    objective: Annotated[
        str | None,
        typer.Option(help="What to show, from the logs; by default val_loss, or the study's."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the first run.")] = 0,
    space: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME=LOW:HIGH is another range of x or y, NAME=VALUE fixes another setting. May "
            "be repeated."
        ),
    ] = None,
    study: Annotated[
        str | None,
        typer.Option(help="Go through the choice of this study and show it.", show_default=False),
    ] = None,
    storage: Storage = None,
    output: Annotated[
        Path | None, typer.Option(help="Page to write; by default reports/map-TASK-X-Y.html.")
    ] = None,
    population: Population = "auto",
    backend: Backend = None,
) -> Any:
    """Train a grid over two hyperparameters and draw which of them matter.

    For example: keras-optim-lab map --task digits-mlp --x learning_rate --y beta_2
    """
    chosen = backends.select(backend)
    from keras_optim_lab.maps.settings_map import map as map_of
    from keras_optim_lab.tuner import TuningResult

    result = None if study is None else TuningResult.load(study, storage)
    trained = task or (result.task if result else None)
    if trained is None:
        raise ValueError("Give --task, or --study of which the task and the settings are.")
    name = trained if isinstance(trained, str) else trained.name
    console.print(Text(f"Map of {x} and {y} on {name}, on {chosen}."))
    with (
        terminal.ended_by_ctrl_c(console, lambda: "Stopped; nothing is kept of a map."),
        tune_commands.progress("runs of the map") as step,
    ):
        found = map_of(
            trained,
            optimizer,
            x,
            y,
            settings=settings,
            seeds=seeds,
            folds=tune_commands.fold_count(folds),
            objective=objective,
            seed=seed,
            space=dict(tune_commands.override(each) for each in space or []),
            population=terminal.number_or_word(population),
            result=result,
            on_progress=step,
        )
    from keras_optim_lab.reports import tables

    console.print("", tables.table(found.header, found.rows, sentences=found.header[:1]), "")
    console.print(Text(found.sentence, style="bold"))
    page = found.report(output).resolve()
    console.print(Text(f"Page: {page}"), soft_wrap=True)
    return {"sentence": found.sentence, "cells": found.records(), "page": page}
