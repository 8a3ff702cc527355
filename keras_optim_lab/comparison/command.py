"""The command `keras-optim-lab compare-backends`."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from keras_optim_lab import backend as selected
from keras_optim_lab import terminal
from keras_optim_lab.reports import tables


def compare_backends(
    task: Annotated[str, typer.Option(help="A task; `keras-optim-lab tasks` lists them.")],
    optimizers: Annotated[
        str | None, typer.Option(help="Names with commas; by default the whole catalogue.")
    ] = None,
    backends: Annotated[
        str, typer.Option(help="Names with commas; one that is not installed is left out.")
    ] = "tensorflow,jax,torch",
    steps: Annotated[str, typer.Option(help="After how many steps to compare.")] = "1,10,100",
    seed: Annotated[int, typer.Option(help="Of initial weights and order of samples.")] = 0,
    learning_rate: Annotated[
        float | None, typer.Option(help="For all optimizers, in place of their defaults.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Page to write; by default reports/backends-TASK.html.")
    ] = None,
) -> Any:
    """Train the same on several backends and say how far their weights part.

    For example: keras-optim-lab compare-backends --task digits-mlp --optimizers adam,radam
    """
    selected.select()  # for the initial weights, which one process makes for all
    from keras_optim_lab.comparison.comparison import compare_backends as compare
    from keras_optim_lab.comparison.comparison_page import cost_rows, difference_rows
    from keras_optim_lab.comparison.processes import TITLES

    console = terminal.console()
    stopped = "Stopped; nothing is kept of a comparison that is not complete."
    with (
        terminal.ended_by_ctrl_c(console, lambda: stopped),
        console.status("loading the task") as status,
    ):
        result = compare(
            task,
            optimizers.split(",") if optimizers is not None else None,
            backends=backends.split(","),
            steps=[_count(step) for step in steps.split(",")],
            seed=seed,
            learning_rate=learning_rate,
            on_progress=lambda line: status.update(Text(line)),
        )
    console.print(f"{result.summary}\n")
    if result.backends:
        console.print(tables.table(*difference_rows(result)))
        header, rows = ["optimizer"], [[label] for label in result.runs]
        for backend in result.backends:
            header += [f"{TITLES[backend]}\nfirst step", "\nstep"]
            for row, cost in zip(rows, cost_rows(result, backend)[1], strict=True):
                row += [cost[1], cost[3]]
        console.print()
        console.print(tables.table(header, rows))
    for label, verdict in result.verdicts.items():
        if result.runs[label].first_beyond is not None:
            console.print(Text.assemble("\n", (label, "bold"), f" {verdict}"), soft_wrap=True)
    page = result.report(output)
    data = result.to_json(page.with_suffix(".json"))
    console.print(f"\nReport: {page.resolve()}", soft_wrap=True)
    console.print(f"Data:   {data.resolve()}", soft_wrap=True)
    return {**result.as_dict(), "report": page.resolve()}


def _count(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError(
            f"--steps takes whole numbers with commas, such as 1,10,100. Received: {text!r}"
        ) from None
