"""The page of an optimizer in the terminal: all that its declaration, docstring and tests say."""

import inspect

import pytest
from rich.cells import cell_len
from rich.console import Console

from keras_optim_lab.optimizer_page import agreement, digits, page
from keras_optim_lab.optimizers import catalogue

ALL = [*catalogue.entries(), *catalogue.entries(needs_objective=True)]
OURS = [entry for entry in ALL if entry.cls.__module__.startswith("keras_optim_lab.")]
COMPOSED = [row for row in catalogue.compositions() if row.cls.__module__.startswith("keras_opt")]
WIDTH = 80

pytestmark = pytest.mark.once


def shown(entry) -> str:
    console = Console(width=WIDTH)
    with console.capture() as capture:
        console.print(page(entry), highlight=False, crop=False)
    return capture.get()


def words(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("entry", [*OURS, *COMPOSED], ids=lambda entry: entry.name)
def test_a_page_has_every_part_within_80_columns(entry):
    text = shown(entry)
    lines = text.splitlines()
    docstring = inspect.cleandoc(entry.cls.__doc__).splitlines()
    formulas = [line for line in docstring if line.startswith("    ")]
    assert all(cell_len(line) <= WIDTH or line in formulas for line in lines)
    assert entry.idea in words(text)
    composed = entry.cls.composed
    compared = [] if composed else ["Compared with"]
    titles = ["When to use it", "Hyperparameters", "State", *compared, "Reference"]
    assert [line for line in lines if line in titles] == titles
    assert any(line.startswith("Relation to ") for line in lines)
    rows = {line.split()[0] for line in lines if line.startswith("  ") and line.strip()}
    assert rows >= {name for name, field in entry.cls.fields.items() if not field.kw_only}
    assert rows >= {slot.name for slot in (*entry.cls.weight_slots, *entry.cls.shared_slots)}
    assert composed or f"{entry.cls().bytes_per_weight:.3g} bytes per weight" in text
    assert "Args:" not in text


def test_neither_a_formula_nor_a_default_is_broken():
    text = shown(catalogue.entry("muon"))
    assert "                      of m itself without Nesterov\n" in text
    assert f"Default: {catalogue.entry('muon').cls.fields['adam_for'].default}" in words(text)


def test_a_page_shows_formulas_as_they_stand_and_ranges_with_their_source():
    text = shown(catalogue.entry("adam"))
    assert "\n    m ← β₁ m + (1 − β₁) g\n" in text
    assert "learning_rate  0.001    7.6e-05 … 0.053" in text
    assert "1 − β: 1e-05 … 0.1" in text
    assert "Sivaprasad et al., 2020" in words(text)
    assert "amsgrad        False" in text
    assert "velocity_max  as large as the weight, if `amsgrad` is on" in text


@pytest.mark.parametrize("entry", OURS, ids=lambda entry: entry.name)
def test_every_optimizer_is_on_record_to_agree_with_something(entry):
    found = agreement()[entry.name]
    assert found
    assert all(digits(error) >= 3 for error in found.values())
    text = shown(entry)
    for other, error in found.items():
        assert f"{other}  " in text
        assert f"{digits(error)} digits" in text


def test_the_record_has_no_optimizer_that_is_gone():
    assert set(agreement()) == {entry.name for entry in OURS}


def test_digits_are_those_that_are_the_same():
    assert [digits(error) for error in (3e-7, 1e-9, 0.5)] == [6, 9, 0]


def test_every_range_has_a_source():
    numeric = [field for entry in OURS + COMPOSED for field in entry.cls.numeric.values()]
    assert all(field.search.source for field in numeric if field.search)
