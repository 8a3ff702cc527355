"""What the commands print with: words as they are, on every terminal."""

import io
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn

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


def progress(on: Console, *columns: ProgressColumn) -> Progress:
    """Bars with counts and descriptions, and these columns between them."""
    described = TextColumn("{task.description}", markup=False)
    return Progress(BarColumn(), MofNCompleteColumn(), *columns, described, console=on)


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
