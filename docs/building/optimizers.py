"""The gallery: a page for every optimizer, from its class, from results and from races."""

import json
from inspect import Parameter
from pathlib import Path

import keras_optim_lab as kol
from building import pictures, records
from building.prose import markdown, page, table
from keras_optim_lab import optimizer_page as known
from keras_optim_lab.optimizers.catalogue import Entry, compositions

TUNED = {
    "optimizers-digits": "digits-mlp",
    "optimizers-digits-cnn": "digits-cnn",
    "optimizers-mnist1d-cnn": "mnist1d-cnn",
}
_INSIDE = "momentum"  # that a wrapper is drawn around
_SEEN_ON_NETWORKS_ONLY = {"groups", "layerwise_decay", "skip_non_finite"}


def write(folder: Path) -> None:
    """Writes the pages of all optimizers into `folder`."""
    kinds = {
        "First-order methods": kol.optimizers.entries(),
        "With curvature": kol.optimizers.entries(needs_objective=True),
        "Around others": compositions(),
    }
    for entry in (entry for entries in kinds.values() for entry in entries):
        (folder / f"{entry.name}.md").write_text(_page(entry, folder / "pictures"), "utf-8")
    (folder / "index.md").write_text(_index(kinds), "utf-8")


def _index(kinds: dict[str, list[Entry]]) -> str:
    parts = []
    for title, entries in kinds.items():
        rows = [
            [f"[{e.cls.__name__}]({e.name}.md)", str(e.year), e.idea, _bytes(e)] for e in entries
        ]
        parts += [f"## {title}", table(["", "year", "idea", "bytes per weight"], rows)]
        hidden = "\n".join(entry.name for entry in entries)
        parts.append(f"```{{toctree}}\n:hidden:\n{hidden}\n```")
    return page(
        "Optimizers",
        "A page for each, written from its class and from what experiments have found. "
        "[Which one to take](../../which-optimizer.md) is a page of its own.",
        *parts,
    )


def _page(entry: Entry, folder: Path) -> str:
    idea, rest, sections = known.parts(entry.cls.__doc__ or "")
    relation = next((title for title in sections if title.startswith("Relation")), None)
    return page(
        entry.cls.__name__,
        f"*{idea}*",
        markdown(rest),
        _made(entry),
        _section("When to use it", sections),
        "## Hyperparameters",
        table(["", "default", "searched", "what"], _fields(entry)),
        "A study searches these ranges by default; those of 1 − β on a logarithmic scale.",
        "## State",
        _state(entry),
        *_drawn(entry, folder),
        *_tuned(entry),
        *_parity(entry),
        _section(relation, sections) if relation else "",
        _section("Reference", sections),
    )


def _section(title: str, sections: dict[str, str]) -> str:
    return f"## {title}\n\n{markdown(sections[title])}" if title in sections else ""


def _made(entry: Entry) -> str:
    name = entry.cls.__name__
    call = f"{name}({'' if not entry.cls.composed else 'kol.Adam(1e-3)'})"
    if entry.name == "groups":
        call = 'groups({"bias": {"weight_decay": 0.0}}, default=kol.AdamW(1e-3))'
    model = "model = kol.Model(inputs, outputs)\n" if entry.needs_objective else ""
    return f"```python\nimport keras_optim_lab as kol\n\n{model}optimizer = kol.{call}\n```"


def _fields(entry: Entry) -> list[list[str]]:
    rows = []
    for field in known.own_fields(entry):
        default = "" if field.default is Parameter.empty else f"`{field.default}`"
        rows.append([f"`{field.name}`", default, known.searched(field), known.meaning(field)])
    return rows


def _bytes(entry: Entry) -> str:
    return "as inside" if entry.cls.composed else f"{entry.cls().bytes_per_weight:.3g}"


def _state(entry: Entry) -> str:
    rows = [
        [f"`{slot.name}`", known.kept(slot, entry)]
        for slot in (*entry.cls.weight_slots, *entry.cls.shared_slots)
    ]
    if entry.cls.composed:
        return table(["", ""], [*rows, ["inside", "what the optimizers keep that it is made of"]])
    kept = f"{_bytes(entry)} bytes for each weight of a matrix of 1024 × 1024."
    return f"{table(['', ''], rows)}\n\n{kept}" if rows else f"Nothing: {kept}"


def _drawn(entry: Entry, folder: Path) -> list[str]:
    if entry.name in _SEEN_ON_NETWORKS_ONLY:
        return []
    parts = ["## On two surfaces"]
    for surface in pictures.PAIR:
        name = _INSIDE if entry.cls.composed else entry.name
        if name not in records.races():  # what takes residuals has none here
            return []
        inside = pictures.optimizer(name, surface)
        entered = {type(inside).__name__: inside}
        if entry.cls.composed:
            entered[f"{entry.cls.__name__}({_INSIDE})"] = entry.cls(
                pictures.optimizer(name, surface)
            )
        n = pictures.steps(name, surface)
        file = pictures.drawn(folder, entry.name, surface, entered, n)
        parts.append(f"![{entry.cls.__name__} on the surface {surface}](pictures/{file})")
    said = "With the learning rate that was found for each surface"
    if entry.cls.composed:
        said = f"Around {_INSIDE}, with the learning rate that was found for {_INSIDE} alone"
    return [*parts, f"{said} ([how](../../optimizers-compared.md))."]


def _tuned(entry: Entry) -> list[str]:
    rows, found = [], []
    for name, task in TUNED.items():
        runs = records.trained(name)
        if f"{entry.name}, tuned" not in runs:
            continue
        _, default = runs[f"{entry.name}, default"]
        settings, tuned = runs[f"{entry.name}, tuned"]
        rows.append([task, records.spread(default), records.spread(tuned), str(len(tuned))])
        shown = ", ".join(f"{key}={json.dumps(n)}" for key, n in _rounded(settings).items())
        command = f"`keras-optim-lab run experiments/{name}.toml`"
        found.append(f"- {task}: `{entry.cls.__name__}({shown})`, by {command}")
    if not rows:
        return []
    header = ["task", "test loss, default", "test loss, tuned", "seeds"]
    return [
        "## Tuned on our tasks",
        table(header, rows),
        "Mean ± standard deviation. The settings found:",
        "\n".join(found),
    ]


def _rounded(chosen: dict[str, float]) -> dict[str, float]:
    """To four digits of 1 − β where a number is near 1, or else of the number itself."""
    return {
        key: 1 - float(f"{1 - value:.4g}")
        if 0.9 < value < 1
        else float(f"{value:.4g}")
        if isinstance(value, float)
        else value
        for key, value in chosen.items()
    }


def _parity(entry: Entry) -> list[str]:
    found = known.agreement().get(entry.name)
    if not found or entry.cls.composed:
        return []
    rows = [[other, f"{known.digits(error)}"] for other, error in found.items()]
    return [
        "## Compared with",
        table(["", "digits"], rows),
        "Digits that are the same along whole trajectories in float32, in the test where fewest "
        "are (`./scripts/test --write-agreement`).",
    ]
