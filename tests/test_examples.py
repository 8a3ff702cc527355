"""The examples of the README, of other documents and of docstrings run as they stand. What they
print is not compared: numbers differ a little between machines."""

import inspect
import re
import sys
from pathlib import Path

import keras
import numpy as np
import optuna
import pytest

import keras_optim_lab as kol
from keras_optim_lab.optimizers import catalogue
from tests.studies import small_model, small_task

ROOT = Path(__file__).parents[1]
GENERATED = {"gallery", "reference", "evidence", "_build"}  # by scripts/docs
PAGES = [
    ROOT / "README.md",
    *(
        p
        for p in sorted((ROOT / "docs").rglob("*.md"))
        if p.relative_to(ROOT).parts[1] not in GENERATED
    ),
]
EXAMPLES = {
    f"{page.relative_to(ROOT)}:{number}": block
    for page in PAGES
    for number, block in enumerate(
        re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL), 1
    )
    if "import keras_optim_lab" in block
}
# What takes long in earnest is done once.
FEWER = {
    "trials=32": "trials=2, confirm=1",
    "trials=64": "trials=1",
    "trials=50": "trials=1",
    "trials=8": "trials=1",
    "epochs=100": "epochs=1",
    "epochs=20": "epochs=1",
    "epochs=10": "epochs=1",
    'report("wine.html")': 'report("wine.html", seeds=1)',
    '"digits-mlp", ["adam", "radam"]': 'task, ["adam"], backends=["jax"], steps=(1,)',
    ", tune=True": "",
    "text-gru": "digits-mlp",
}

pytestmark = pytest.mark.once


def fewer(example):
    for given, tried in FEWER.items():
        example = example.replace(given, tried)
    return example


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_runs_and_prints(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    policy = keras.config.dtype_policy()
    try:
        exec(compile(fewer(EXAMPLES[name]), name, "exec"), {"__name__": "__main__"})
    finally:
        keras.config.set_dtype_policy(policy)
    assert capsys.readouterr().out.strip()


def public():
    """What the package and its rooms name for others to use, once each, by its name."""
    rooms = (kol, kol.optimizers, kol.schedules, kol.tasks, kol.keras_tuner)
    found = {}
    for room in rooms:
        for name in room.__all__:
            value = getattr(room, name)
            if inspect.isroutine(value) or inspect.isclass(value):
                found.setdefault(value, f"{room.__name__}.{name}".replace("keras_optim_lab", "kol"))
    return {name: value for value, name in found.items() if name.split(".")[-1] not in CHECKS}


CHECKS = ("check_decay", "check_warmup")  # of arguments, for the other rooms
PUBLIC = public()
TAKE_ALL = {  # arguments that they are given
    *("kol.optimizers.entries", "kol.optimizers.names"),
    *("kol.schedules.factor", "kol.tasks.describe", "kol.tasks.names"),
}
FUNCTIONS = {name: value for name, value in PUBLIC.items() if not inspect.isclass(value)}


def parts(docstring):
    """The text above a docstring's sections, and their titles."""
    pieces = re.split(r"^(\S.*):\n(?= {4})", inspect.cleandoc(docstring), flags=re.MULTILINE)
    return pieces[0], pieces[1::2]


def example(value):
    """The indented lines above a docstring's sections that use the package."""
    blocks = re.split(r"\n(?=\S)", parts(value.__doc__ or "")[0])
    code = [inspect.cleandoc("\n" + "\n".join(block.split("\n")[1:])) for block in blocks]
    return "\n".join(block for block in code if "kol." in block)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_public_function_says_what_it_returns_and_raises_and_shows_how_to_call_it(name):
    function = FUNCTIONS[name]
    titles = parts(function.__doc__)[1]
    assert "Returns" in titles
    assert "Raises" in titles or name in TAKE_ALL
    assert example(function)


@pytest.fixture
def given(monkeypatch):
    """What examples take for granted; what they enter into the catalogue is gone with them."""
    monkeypatch.setattr(catalogue, "_ENTRIES", {**catalogue._ENTRIES})
    model = small_model()
    model.compile("adam", "mse")
    x, y = np.ones((16, 3), "float32"), np.ones((16, 1), "float32")

    def hypermodel(hp):
        model = small_model()
        model.compile(kol.keras_tuner.optimizer(hp, "adam"), "mse")
        return model

    return {
        "kol": kol,
        "keras": keras,
        "np": np,
        "ops": keras.ops,
        "optuna": optuna,
        "x": x,
        "y": y,
        "x_val": x,
        "y_val": y,
        "data": (x, y),
        "task": small_task(),
        "model": model,
        "inputs": model.inputs,
        "outputs": model.outputs,
        "build_model": small_model,
        "hypermodel": hypermodel,
        "generator": model,
        "critic": model,
        "trial": optuna.create_study().ask(),
        "keras_tuner": sys.modules["keras_tuner"],
    }


@pytest.mark.parametrize("name", [name for name in PUBLIC if example(PUBLIC[name])])
def test_the_example_of_a_docstring_runs(name, given, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(fewer(example(PUBLIC[name])), name, "exec"), given)


def test_links_between_the_documents_lead_somewhere():
    for page in [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "experiments" / "README.md"]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
