"""The commands `keras-optim-lab trace` and `keras-optim-lab race`."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from keras_optim_lab import backend as backends
from keras_optim_lab import terminal
from keras_optim_lab.files import write_whole
from keras_optim_lab.reports import tables
from keras_optim_lab.reports.writing import point
from keras_optim_lab.terminal import Backend

if TYPE_CHECKING:
    from keras_optim_lab.landscapes.surfaces import Surface
    from keras_optim_lab.landscapes.trace import Trace
    from keras_optim_lab.optimizers import Optimizer

# The fields of an optimizer are options of `trace`, whichever optimizer it is.
FIELDS_AS_OPTIONS = {"allow_extra_args": True, "ignore_unknown_options": True}

Function = Annotated[
    str | None, typer.Option(help='A formula in x, y, z or x1, x2, …, such as "x**2 + sin(y)".')
]
SurfaceName = Annotated[str | None, typer.Option(help="A test surface; `surfaces` lists them.")]
Start = Annotated[
    str | None, typer.Option(help="Numbers with commas; by default the surface's usual start.")
]


def trace(
    context: typer.Context,
    optimizer: Annotated[str, typer.Argument(help="`keras-optim-lab optimizers` lists them.")],
    function: Function = None,
    surface: SurfaceName = None,
    start: Start = None,
    steps: Annotated[int, typer.Option(help="How many steps to show.")] = 10,
    format: Annotated[str, typer.Option(help="table, csv, json or markdown.")] = "table",
    digits: Annotated[int, typer.Option(min=1, max=17, help="Of numbers in a table.")] = 6,
    output: Annotated[Path | None, typer.Option(help="A file in place of the terminal.")] = None,
    backend: Backend = None,
) -> Any:
    """Work a method out step by step: gradient, slots, corrected moments, step.

    For example: keras-optim-lab trace adam --function "x**2" --start 0.5 --steps 5

    Every field of the optimizer is an option: --learning-rate 0.1 --beta-1 0.8 --amsgrad
    """
    backends.select(backend)
    from keras_optim_lab.landscapes.trace import trace as follow
    from keras_optim_lab.optimizers import entry

    if format not in _FORMATS:
        raise ValueError(f"--format is one of {', '.join(_FORMATS)}. Received: {format!r}")
    cls = entry(optimizer).cls
    chosen = cls(**_fields(cls, context.args))
    where = _surface(function, surface, _numbers(start))
    found = follow(chosen, where, where.start, steps)
    if format == "table" and output is None:
        _show(found, digits)
    elif output is None:
        sys.stdout.write(_FORMATS[format](found, digits))
    else:
        write_whole(output, _FORMATS[format](found, digits))
    return json.loads(found.to_json())


def race(
    surface: SurfaceName = None,
    function: Function = None,
    optimizers: Annotated[
        str, typer.Option(help="Names with commas; `optimizers` lists them.")
    ] = "gradient-descent,momentum,rmsprop,adam",
    start: Start = None,
    steps: Annotated[int, typer.Option(help="That each method may take.")] = 200,
    learning_rate: Annotated[
        float | None, typer.Option(help="For all optimizers, in place of their defaults.")
    ] = None,
    tune: Annotated[
        bool, typer.Option("--tune", help="Search each method's learning rate for this surface.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Of that search.")] = 0,
    output: Annotated[
        list[Path] | None,
        typer.Option(
            help="A page (.html), an animation (.gif) or a still (.png); may be repeated. "
            "By default reports/race-SURFACE.html."
        ),
    ] = None,
    backend: Backend = None,
) -> Any:
    """Let several methods run on one surface, and draw it.

    For example: keras-optim-lab race --surface beale --optimizers momentum,adam,newton --tune
    """
    backends.select(backend)
    from keras_optim_lab.landscapes.race import race as run
    from keras_optim_lab.landscapes.standings import WORDS
    from keras_optim_lab.optimizers import entry

    if tune and learning_rate is not None:
        raise ValueError("--tune finds the learning rates: leave out --learning-rate.")
    where = _surface(function, surface or ("rosenbrock" if function is None else None), None)
    paths = output or [
        Path("reports") / f"race-{where.name if function is None else 'function'}.html"
    ]
    wrong = [path for path in paths if path.suffix not in (".html", ".gif", ".png")]
    if wrong:
        raise ValueError(f"--output ends on .html, .gif or .png. Received: {str(wrong[0])!r}")
    if any(path.suffix != ".html" for path in paths):
        from keras_optim_lab.landscapes.pictures import library

        library()  # before the race, not after it
    given = {} if learning_rate is None else {"learning_rate": learning_rate}
    entered = [entry(name.strip()).cls(**given) for name in optimizers.split(",")]
    console = terminal.console()
    with console.status("running"):
        found = run(where, entered, steps=steps, start=_numbers(start), tune=tune, seed=seed)
    console.print(Text.assemble((found.surface.name, "bold"), f" from {found.surface.start}"))
    console.print(tables.table(*found.table(), WORDS))
    written = [
        (found.html(path) if path.suffix == ".html" else found.picture(path)).resolve()
        for path in paths
    ]
    for path in written:
        console.print(f"Picture: {path}", soft_wrap=True)
    return {"surface": found.surface.name, "runners": found.records(), "pictures": written}


def surfaces(backend: Backend = None) -> Any:
    """List the test surfaces.

    For example: keras-optim-lab surfaces --json
    """
    backends.select(backend)
    from keras_optim_lab.landscapes.surfaces import get, names

    found = [get(name) for name in names()]
    rows = [[each.name, point(each.start), each.note, each.formula] for each in found]
    header = ("name", "start", "what it is", "formula")
    terminal.console().print(tables.table(header, rows, header[:2], header[2:]))
    told = ("name", "formula", "bounds", "start", "minima", "note")
    return [{name: getattr(each, name) for name in told} for each in found]


def _fields(cls: "type[Optimizer]", arguments: list[str]) -> dict[str, Any]:
    """`--beta-1 0.8 --amsgrad` as values of the optimizer's fields."""
    from keras_optim_lab.arguments import near_matches
    from keras_optim_lab.optimizers.shell.field_kinds import Switch

    values: dict[str, Any] = {}
    rest = list(arguments)
    while rest:
        option, equals, value = rest.pop(0).partition("=")
        name = option.removeprefix("--").replace("-", "_")
        switch, off = cls.fields.get(name.removeprefix("no_")), name.startswith("no_")
        if isinstance(switch, Switch) and not equals:
            values[switch.name] = not off
            continue
        if name not in cls.fields or not option.startswith("--"):
            known = [f"--{known.replace('_', '-')}" for known in cls.fields]
            raise ValueError(
                f"{cls.__name__} has no option {option!r}.{near_matches(option, known)} "
                f"It has: {', '.join(known)}."
            )
        if not equals:
            if not rest:
                raise ValueError(f"{option} takes a value.")
            value = rest.pop(0)
        values[name] = _value(value)
    return values


def _value(text: str) -> Any:
    """A number or a word; the optimizer says whether it accepts it."""
    try:
        return int(text) if text.lstrip("+-").isdecimal() else float(text)
    except ValueError:
        return {"true": True, "false": False, "none": None}.get(text.lower(), text)


def _surface(function: str | None, name: str | None, start: tuple[float, ...] | None) -> "Surface":
    from keras_optim_lab.landscapes import surfaces

    if (function is None) == (name is None):
        raise ValueError('Say where: --function "x**2" or --surface rosenbrock, one of the two.')
    found = surfaces.get(name) if name is not None else surfaces.of_formula(function or "")
    return found if start is None else surfaces.started(found, start)


def _numbers(text: str | None) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        return tuple(float(number) for number in text.split(","))
    except ValueError:
        raise ValueError(
            f"--start takes numbers with commas, such as -1.2,1. Received: {text!r}"
        ) from None


def _show(found: "Trace", digits: int) -> None:
    console = terminal.console()
    console.print(f"{found.heading}\n", soft_wrap=True)
    table = found.table(digits)
    wide = max(tables.width(table), console.width)  # no digit is left out
    terminal.console(width=wide).print(table)
    console.print("\nf and g are those of the point that a step starts from; θ is where it leads.")


_FORMATS = {
    "table": lambda found, digits: found.to_markdown(digits),
    "markdown": lambda found, digits: found.to_markdown(digits),
    "csv": lambda found, digits: found.to_csv(),
    "json": lambda found, digits: found.to_json() + "\n",
}
