"""Tables under a header: as the commands print them, as plain text, and in Markdown."""

import io
from collections.abc import Collection, Sequence
from typing import Any

from rich.measure import Measurement
from rich.table import Table

from keras_optim_lab import terminal

_WIDEST = 10_000
Rows = Sequence[Sequence[str]]


def table(
    header: Sequence[str],
    rows: Rows,
    words: Collection[str] | None = None,
    sentences: Collection[str] = (),
) -> Table:
    """A table without lines, no cell of which is broken but those of sentences.

    Args:
        words: the columns whose cells begin at their left; by default the first one. Numbers, in
            all others, end at their right.
        sentences: the columns of cells that may be broken into lines.
    """
    words = header[:1] if words is None else words
    found = Table(header_style="bold", box=None, pad_edge=False)
    for column in header:
        left, whole = column in words or column in sentences, column not in sentences
        found.add_column(
            column, justify="left" if left else "right", no_wrap=whole, overflow="fold"
        )
    for row in rows:
        found.add_row(*row)
    return found


def width(table: Table) -> int:
    """The columns of a terminal that shows all of it."""
    wide = terminal.console(width=_WIDEST)
    return Measurement.get(wide, wide.options, table).maximum


def text(table: Table) -> str:
    """The table without colours, as wide as it is."""
    written = io.StringIO()
    options: Any = {"color_system": None, "force_jupyter": False}  # a notebook would show it itself
    plain = terminal.console(file=written, width=width(table), **options)
    plain.print(table)
    return "\n".join(line.rstrip() for line in written.getvalue().splitlines())


def markdown(header: Sequence[str], rows: Rows, words: Collection[str] | None = None) -> str:
    """The same for a document."""
    words = header[:1] if words is None else words
    rule = ["---" if column in words else "---:" for column in header]
    cells = [[cell.replace("|", r"\|").replace("\n", "<br>") for cell in row] for row in rows]
    names = [column.replace("|", r"\|") for column in header]
    return "\n".join(f"| {' | '.join(line)} |" for line in (names, rule, *cells))
