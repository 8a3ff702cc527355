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
