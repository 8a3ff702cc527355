"""What experiments have found, read from the lines of their results."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


@cache
def lines(name: str) -> list[dict[str, Any]]:
    text = (EXPERIMENTS / "results" / f"{name}.jsonl").read_text("utf-8")
    return [json.loads(line) for line in text.splitlines()]


def races() -> dict[str, dict[str, Any]]:
    """By optimizer and surface: the tuned `rate`, the step of `arrived` and the `success`."""
    return {line["settings"]["optimizer"]: line["result"]["surfaces"] for line in lines("races")}


@cache
def trained(name: str, metric: str = "loss") -> dict[str, tuple[dict[str, Any], np.ndarray]]:
    """By method its settings, and the metric on the test split after the last epoch, [seed].

    What another search had found before stands in the lines as well: the last settings count.
    """
    found: dict[str, tuple[dict[str, Any], list[float]]] = {}
    for line in lines(name):
        settings = line["settings"]
        method, chosen = settings["method"], settings["hyperparameters"]
        if method not in found or found[method][0] != chosen:
            found[method] = chosen, []
        found[method][1].append(line["result"]["curves"][metric][-1])
    return {method: (chosen, np.array(runs, float)) for method, (chosen, runs) in found.items()}


def spread(values: np.ndarray) -> str:
    """Mean ± standard deviation."""
    if not np.isfinite(values).all():
        return f"diverged in {np.sum(~np.isfinite(values))} of {len(values)}"
    return f"{values.mean():.4g} ± {values.std(ddof=1):.2g}"


SIX = (
    *("diabetes-mlp", "friedman-mlp", "clusters-batchnorm"),
    *("breast-cancer-mlp", "photograph-mlp", "mnist1d-mlp"),
)
_SETTINGS = 64  # of each optimizer that all have


@cache
def ranks() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """By optimizer its rank among all on each of `SIX`, by default and with the best settings.

    Ranks begin at 1. Settings are the defaults and a Sobol sequence over each one's search space,
    64 in all (32 of Shampoo), one seed each, judged by the validation loss after the last epoch.
    """
    losses = {}
    for path in sorted((EXPERIMENTS / "results" / "portfolios").glob("*.npz")):
        with np.load(path) as found:
            kept = [found[f"{task}/val_loss"][:_SETTINGS, 0, -1].astype(float) for task in SIX]
            losses[path.stem] = np.stack([np.pad(k, (0, _SETTINGS - len(k)), "edge") for k in kept])
    names = list(losses)
    every = np.nan_to_num(np.stack([losses[name] for name in names]), nan=np.inf)
    ranked = [each.argsort(0).argsort(0) + 1 for each in (every[:, :, 0], every.min(axis=2))]
    return {name: (ranked[0][i], ranked[1][i]) for i, name in enumerate(names)}
