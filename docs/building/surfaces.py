"""The gallery: a page for every test surface, and the races that can be played."""

import re
from pathlib import Path

import keras_optim_lab as kol
from building import pictures, records
from building.prose import formula, page, table
from keras_optim_lab.landscapes import race_page
from keras_optim_lab.reports.writing import point

PLAYED = ("rosenbrock", "himmelblau", "ackley", "saddle", "plateau")
_RUNNERS = (*pictures.FOUR, "newton")


def write(folder: Path) -> None:
    """Writes the pages of all surfaces into `folder`."""
    surfaces = [kol.surfaces.get(name) for name in kol.surfaces.names()]
    for surface in surfaces:
        (folder / f"{surface.name}.md").write_text(_page(surface, folder / "pictures"), "utf-8")
    rows = [[f"[{each.name}]({each.name}.md)", each.note] for each in surfaces]
    hidden = "\n".join(each.name for each in surfaces)
    index = page(
        "Test surfaces",
        "Functions of two numbers on which methods are seen at work. "
        "`keras-optim-lab race --surface NAME` lets any methods run on any of them.",
        table(["", "what it asks of a method"], rows),
        f"```{{toctree}}\n:hidden:\n{hidden}\n```",
    )
    (folder / "index.md").write_text(index, "utf-8")


def write_moving(folder: Path, races: Path) -> None:
    """Writes a page with races that are played in the browser, and these races into `races`."""
    parts = []
    for name in PLAYED:
        path = races / f"{name}.html"
        if not path.exists():
            race_page.write(_race(name, pictures.FOUR), path, shared_script=True)
        link = f"../races/{name}.html"
        parts += [
            f"## {name}",
            f"{_note(kol.surfaces.get(name))}: [more of it](surfaces/{name}.md).",
            f'```{{raw}} html\n<iframe class="race" loading="lazy" src="{link}" '
            f'title="A race on {name}"></iframe>\n'
            f'<p><a href="{link}">On a page of its own</a></p>\n```',
        ]
    moving = page(
        "Moving pictures",
        "Four methods from one start, each with the learning rate that was found for the surface: "
        "press ▶. Pages like these are made by `keras-optim-lab race --surface NAME --tune`.",
        *parts,
    )
    (folder / "moving.md").write_text(moving, "utf-8")


def _race(surface: str, names: tuple[str, ...]) -> kol.Race:
    entered = [pictures.optimizer(name, surface) for name in names]
    return kol.race(surface, entered, steps=max(pictures.steps(name, surface) for name in names))


def _page(surface: kol.Surface, folder: Path) -> str:
    minima = "nobody knows" if surface.minima is None else "none: it falls without end"
    if surface.minima:
        minima = ", ".join(point(each) for each in surface.minima)
    entered = {
        type(each).__name__: each
        for each in (
            pictures.optimizer(name, surface.name)
            for name in _RUNNERS
            if surface.name in records.races()[name]
        )
    }
    n = max(pictures.steps(name, surface.name) for name in pictures.FOUR)
    file = pictures.drawn(folder, "methods", surface.name, entered, n)
    facts = [["usual start", point(surface.start)], ["minima", minima]]
    if surface.minima:
        facts.append(["least value", f"{surface.minimum:.4g}"])
    facts.append(["bounds", " × ".join(f"[{low:g}, {high:g}]" for low, high in surface.bounds)])
    return page(
        surface.name,
        f"*{_note(surface)}.*",
        formula(f"f = {_typeset(surface.formula)}"),
        table(["", ""], facts),
        f"![Methods on {surface.name}](pictures/{file})",
        "Each method with the learning rate that was found for this surface.",
        "## Who arrives",
        _arrivals(surface),
        f"`keras-optim-lab race --surface {surface.name} --tune` shows others; "
        "[optimizers compared](../../optimizers-compared.md) says how this was measured.",
    )


def _note(surface: kol.Surface) -> str:
    return surface.note[:1].upper() + surface.note[1:]


def _arrivals(surface: kol.Surface) -> str:
    rows = []
    for name, found in records.races().items():
        if surface.name in found:
            on = found[surface.name]
            rows.append((on["arrived"] or 10**9, name, on))
    header = ["optimizer", "learning rate", "steps", "of 50 random starts"]
    return table(
        header,
        [
            [
                f"[{kol.optimizers.entry(name).cls.__name__}](../optimizers/{name}.md)",
                "–" if on["rate"] is None else f"{on['rate']:.3g}",
                "never" if on["arrived"] is None else str(on["arrived"]),
                f"{on['success']:.0%}",
            ]
            for _, name, on in sorted(rows, key=lambda row: row[:2])
        ],
    )


def _typeset(text: str) -> str:
    """A formula of Python as docstrings would write it."""
    text = re.sub(r"\*\*(\d)", lambda m: "⁰¹²³⁴⁵⁶"[int(m[1])], text)
    text = re.sub(r"\b(sqrt)\(", "√(", text).replace("pi", "π").replace("-", "−")
    return re.sub(r"(?<=[\dπe])\*|\*", " ", text)
