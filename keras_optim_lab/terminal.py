"""What the commands print with: words as they are, on every terminal."""

import functools
import inspect
import io
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, redirect_stdout
from importlib.util import find_spec
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn

from keras_optim_lab.shown import plain

Step = Callable[..., None]  # step(done, total, description)

# The option of every command.
Backend = Annotated[
    str | None, typer.Option(help="tensorflow, jax or torch; by default KERAS_BACKEND.")
]

# And of those that train in other processes.
Workers = Annotated[
    str | None,
    typer.Option(
        help='Processes that train, each with an accelerator or its share of the cores, or "auto"; '
        "by default this one alone."
    ),
]


_JSON = Annotated[
    bool,
    typer.Option(
        "--json",
        help="Print what was found as one JSON document; all that is told meanwhile goes to "
        "standard error.",
    ),
]


def answering(command: Callable[..., Any]) -> Callable[..., None]:
    """A command with the option `--json`, which prints what the function returns.

    NaN and infinity are null. A mistake leaves standard output empty; it is told on standard error,
    and the exit status is that of the command without the option.
    """

    @functools.wraps(command)
    def answered(*arguments: Any, as_json: bool, **options: Any) -> None:
        with redirect_stdout(sys.stderr) if as_json else nullcontext():
            found = command(*arguments, **options)
        if as_json:
            sys.stdout.write(json.dumps(plain(found), indent=1, ensure_ascii=False) + "\n")

    signature = inspect.signature(command, eval_str=True)
    option = inspect.Parameter(
        "as_json", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=_JSON
    )
    parameters = [*signature.parameters.values(), option]
    answered.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    answered.__annotations__ = {p.name: p.annotation for p in parameters}
    return answered


def number_or_word(text: str | None) -> Any:
    """An option that takes either, or is not given."""
    try:
        return None if text is None else int(text)
    except ValueError:
        return text


def console(**options: Any) -> Console:
    """A console to which brackets and colons are no commands: names, paths and questions have them.

    What is to be bold or coloured is given to it as `Text`.
    """
    return Console(markup=False, emoji=False, highlight=False, **options)


def progress(on: Console, *columns: ProgressColumn, disable: bool = False) -> Progress:
    """Bars with counts and descriptions, and these columns between them."""
    described = TextColumn("{task.description}", markup=False)
    every = BarColumn(), MofNCompleteColumn(), *columns, described
    return Progress(*every, console=on, disable=disable)


@contextmanager
def step(bar: Progress, description: str, total: int | None = None) -> Iterator[Step]:
    """One bar as a function `step(done, total, description)`."""
    with bar:
        running = bar.add_task(description, total=total)

        def step(done: float, total: int, description: str | None = None) -> None:
            bar.update(running, completed=done, total=total, description=description)

        yield step


def notebook_step(description: str) -> AbstractContextManager[Step]:
    """The same below the cell of a notebook; silent elsewhere, in CI, and without widgets."""
    where = console()
    shown = where.is_jupyter and not os.environ.get("CI") and find_spec("ipywidgets")
    return step(progress(where, disable=not shown), description)


@contextmanager
def ended_by_ctrl_c(on: Console, told: Callable[[], str]) -> Iterator[None]:
    """Ends the command at a Ctrl-C within, and says what is kept and how it goes on."""
    try:
        yield
    except KeyboardInterrupt:
        on.print(f"\n{told()}", soft_wrap=True)
        raise typer.Exit(130) from None  # what shells report for Ctrl-C


def replace_what_it_lacks() -> None:
    """Lets a terminal show ? for a character that it has not; Python would end the program."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
