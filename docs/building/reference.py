"""The reference: every public name, from its docstring."""

import inspect
import re
from pathlib import Path
from types import ModuleType

import keras_optim_lab as kol
from building.prose import page
from keras_optim_lab.optimizers.catalogue import compositions

PACKAGE = kol.__name__


def write(folder: Path) -> None:
    pages = _pages()
    missing = set(kol.__all__) - {name for names in pages.values() for name in names}
    if missing:
        raise RuntimeError(f"No page of the reference has {', '.join(sorted(missing))}")
    for title, names in pages.items():
        text = page(title.capitalize(), *(_entry(f"{PACKAGE}.{name}") for name in names))
        (folder / f"{_file(title)}.md").write_text(text, "utf-8")
    hidden = "\n".join([*map(_file, pages), "command"])
    listed = "\n".join(
        f"- [{title.capitalize()}]({_file(title)}.md): " + ", ".join(f"`{name}`" for name in names)
        for title, names in pages.items()
    )
    index = page(
        "Reference",
        "Every public name, with its arguments, what it returns and the errors that it raises. "
        "All are found in `import keras_optim_lab as kol`.",
        f"{listed}\n- [The command](command.md)",
        f"```{{toctree}}\n:hidden:\n{hidden}\n```",
    )
    (folder / "index.md").write_text(index, "utf-8")
    (folder / "command.md").write_text(_command(), "utf-8")


def _pages() -> dict[str, list[str]]:
    first, curvature, around = (
        [each.cls.__name__ for each in entries]
        for entries in (
            kol.optimizers.entries(),
            kol.optimizers.entries(needs_objective=True),
            compositions(),
        )
    )
    placed = {*first, *curvature, *around}
    # What the optimizers' module names beside them, such as `groups`.
    others = [name for name in kol.__all__ if _home(name).startswith(f"{PACKAGE}.optimizers.")]
    return {
        "tuning": ["tune", "TuningResult", "compare", "HeadToHead", "suggest", "search_space",
                   "PruningCallback", "map", "SettingsMap", "executors", "logging", "keras_tuner"],
        "tasks": ["Task", "tasks"],
        "optimizers": [*first, "optimizers"],
        "around others": [*around, *(n for n in others if n not in placed and n != "optimizers")],
        "curvature": [*curvature, "Model", "Sequential", "minimize", "MinimizeResult",
                      "derivative"],
        "schedules and rates": ["schedules", "find_learning_rate", "RangeTest"],
        "without a model": ["functional"],
        "watching": ["trace", "Trace", "race", "Race", "surfaces", "Surface", "Formula"],
        "backends": ["compare_backends", "BackendComparison"],
    }  # fmt: skip


def _home(name: str) -> str:
    return getattr(getattr(kol, name), "__module__", "") or ""


def _file(title: str) -> str:
    return title.replace(" ", "-")


def _entry(path: str) -> str:
    value = kol
    for part in path.split(".")[1:]:
        value = getattr(value, part)
    if isinstance(value, ModuleType):
        title = f"## `{path.replace(PACKAGE, 'kol')}`"
        entries = [_entry(f"{path}.{name}") for name in _public(value)]
        return "\n\n".join([title, _directive("automodule", path), *entries])
    if inspect.isclass(value):
        members = "" if issubclass(value, kol.optimizers.Optimizer) else ":members:\n"
        return _directive("autoclass", path, members)
    kind = "autofunction" if callable(value) else "autodata"
    return _directive(kind, path)


def _public(module: ModuleType) -> list[str]:
    names = getattr(module, "__all__", None) or [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", "") == module.__name__
    ]
    return [
        name
        for name in sorted(set(names) - set(kol.__all__))
        if not isinstance(getattr(module, name), ModuleType)
    ]


def _directive(kind: str, path: str, options: str = "") -> str:
    body = "".join(f"   {line}\n" for line in options.splitlines())
    return f"```{{eval-rst}}\n.. {kind}:: {path}\n{body}```"


def _command() -> str:
    """The command's help, as Typer writes it in Markdown."""
    import typer
    from typer.cli import get_docs_for_click

    from keras_optim_lab.cli import app

    command = typer.main.get_command(app)
    text = get_docs_for_click(
        obj=command, ctx=typer.Context(command), name="keras-optim-lab", title="The command"
    )
    return re.sub(r"<br\s*/?>", " ", text)
