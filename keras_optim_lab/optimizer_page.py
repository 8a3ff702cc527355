"""All that is known of one optimizer, as a page for the terminal."""

import inspect
import json
import math
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from keras_optim_lab.optimizers.catalogue import Entry
from keras_optim_lab.optimizers.shell.field_kinds import Field
from keras_optim_lab.optimizers.shell.numeric import DecayRate, Numeric
from keras_optim_lab.optimizers.shell.slots import Slot

_COLUMN = 12  # what is longer, such as a pattern, has no room in a column of defaults
AGREEMENT = Path(__file__).with_name("optimizers") / "agreement.json"


def page(entry: Entry) -> Group:
    """What the docstring, the fields and the tests say of an optimizer, for `rich` to print."""
    idea, rest, sections = parts(entry.cls.__doc__ or "")
    relation = next((title for title in sections if title.startswith("Relation")), "Relation")
    order: dict[str, RenderableType] = {
        "When to use it": _prose(sections.get("When to use it", "")),
        "Hyperparameters": _fields(entry),
        "State": _state(entry),
        relation: _prose(sections.get(relation, "")),
        "Compared with": _agreement(entry.name),
        "Reference": _prose(sections.get("Reference", "")),
    }
    if entry.cls.composed:
        del order["Compared with"]  # what it was compared with depends on what is inside
    return Group(
        Text.assemble((entry.name, "bold"), f"   {entry.cls.__name__}, {entry.year}"),
        Text(idea),
        _prose(rest),
        *(
            Group(Text(f"\n{title}", style="bold"), Padding(content, (0, 0, 0, 2), expand=False))
            for title, content in order.items()
        ),
    )


def facts(entry: Entry) -> dict[str, Any]:
    """The same in plain numbers and words."""
    idea, _, sections = parts(entry.cls.__doc__ or "")
    fields = own_fields(entry)
    return {
        "name": entry.name,
        "class": entry.cls.__name__,
        "year": entry.year,
        "idea": idea,
        "when_to_use": sections.get("When to use it", ""),
        "needs_model": entry.needs_objective,
        "around_others": entry.cls.composed,
        "hyperparameters": [_field_facts(field) for field in fields],
        "slots": [slot.name for slot in (*entry.cls.weight_slots, *entry.cls.shared_slots)],
        "bytes_per_weight": None if entry.cls.composed else entry.cls().bytes_per_weight,
        "agreement": agreement().get(entry.name, {}),
        "reference": sections.get("Reference", ""),
    }


def _field_facts(field: Field) -> dict[str, Any]:
    found = field.search if isinstance(field, Numeric) else None
    default = None if field.default is inspect.Parameter.empty else field.default
    return {
        "name": field.name,
        "default": default,
        "what": field.doc,
        "searched": found and {"low": found.low, "high": found.high, "source": found.source},
        "of_one_minus": isinstance(field, DecayRate),
    }


def parts(docstring: str) -> tuple[str, str, dict[str, str]]:
    """A docstring's first line, the rest above its sections, and the sections by their titles."""
    pieces = re.split(r"^(\S.*):\n(?= {4})", inspect.cleandoc(docstring), flags=re.MULTILINE)
    titles, bodies = pieces[1::2], map(inspect.cleandoc, pieces[2::2])
    idea, _, rest = pieces[0].strip().partition("\n")
    return idea, rest, dict(zip(titles, bodies, strict=True))


def _prose(text: str) -> Group:
    """Paragraphs are broken anew into lines of the terminal's width; formulas stay as they are."""
    return Group(*_paragraphs(text))


def _paragraphs(text: str) -> Iterator[Text]:
    for number, paragraph in enumerate(re.split(r"\n\s*\n", text.strip("\n"))):
        is_formula = paragraph.startswith(" ")
        words = paragraph if is_formula else " ".join(paragraph.split())
        # A formula in two lines is another one, so a narrow terminal is left to cut or break it.
        yield Text(
            f"\n{words}" if number or is_formula else words,
            overflow="ignore" if is_formula else "fold",
            no_wrap=is_formula,
        )


def _fields(entry: Entry) -> Table:
    table = _table("", "default", "searched", "what")
    for field in own_fields(entry):
        default = "" if field.default is inspect.Parameter.empty else str(field.default)
        what = meaning(field)
        if len(default) > _COLUMN:
            default, what = "", f"{what} Default: {default}"
        table.add_row(field.name, default, searched(field), what)
    return table


def own_fields(entry: Entry) -> list[Field]:
    """The fields but for those that every optimizer has, by keyword only; weight decay is one."""
    return [f for f in entry.cls.fields.values() if not f.kw_only or "decay" in f.name]


def searched(field: Field) -> str:
    """The range that a study searches, or nothing."""
    found = field.search if isinstance(field, Numeric) else None
    if found is None:
        return ""
    prefix = "1 − β: " if isinstance(field, DecayRate) else ""
    return f"{prefix}{found.low:g} … {found.high:g}"


def meaning(field: Field) -> str:
    """What a field is, and where its range comes from."""
    found = field.search if isinstance(field, Numeric) else None
    return f"{field.doc} Range: {found.source}." if found else field.doc


def _state(entry: Entry) -> Table:
    table = _table("", "")
    for slot in (*entry.cls.weight_slots, *entry.cls.shared_slots):
        table.add_row(slot.name, kept(slot, entry))
    if entry.cls.composed:
        table.add_row("inside", "what the optimizers keep that it is made of")
    else:
        in_all = f"{entry.cls().bytes_per_weight:.3g} bytes per weight of a matrix of 1024 × 1024"
        table.add_row("in all", in_all)
    return table


def kept(slot: Slot, entry: Entry) -> str:
    """How much a slot keeps, in words."""
    if slot in entry.cls.shared_slots:
        return "one number for all weights"
    shape = "as large as the weight" if slot.shape is None else "of a shape of its own"
    return f"{shape}, if `{slot.when}` is on" if slot.when else shape


def _agreement(name: str) -> RenderableType:
    known = agreement().get(name)
    if not known:
        return Text("nothing yet")
    table = _table("", "")
    for other, error in known.items():
        table.add_row(other, f"{digits(error)} digits")
    return table


@cache
def agreement() -> dict[str, dict[str, float]]:
    """By optimizer and by what it was compared with, how far the two were apart.

    The largest distance of two trajectories in any of the tests, as a share of the way; written by
    `scripts/test --write-agreement`.
    """
    return json.loads(AGREEMENT.read_text("utf-8"))


def digits(error: float) -> int:
    """How many decimal digits of numbers that far apart are the same."""
    return math.floor(-math.log10(error))


def _table(*header: str) -> Table:
    table = Table(header_style="dim", box=None, pad_edge=False, show_header=any(header))
    for column in header:
        table.add_column(column, overflow="fold", no_wrap=column in ("default", "searched"))
    return table
