"""Runs what is planned: a process for each backend, and one more of those where runs part."""

import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from keras_optim_lab.comparison.diagnosis import Diagnosis, Gradient, diagnose, question
from keras_optim_lab.comparison.differences import Difference, differences
from keras_optim_lab.comparison.findings import Run, Times
from keras_optim_lab.comparison.gradients import Question
from keras_optim_lab.comparison.job import load_arrays, save_arrays, write_job
from keras_optim_lab.comparison.plan import Plan
from keras_optim_lab.comparison.processes import TITLES, run_on

Progress = Callable[[str], None]


def measure(plan: Plan, on_progress: Progress) -> tuple[dict[str, Run], dict[str, Any]]:
    """The runs by label, and by backend what its process told of itself.

    Raises:
        RuntimeError: a process failed; the message ends with its error.
    """
    with tempfile.TemporaryDirectory(prefix="compare-backends-") as name:
        folder = Path(name)
        write_job(plan, folder)
        records = {b: _recorded(plan, folder, b, on_progress) for b in plan.backends}
        runs = {m.label: _run(plan, folder, i, records) for i, m in enumerate(plan.methods)}
        found = _diagnoses(plan, folder, list(runs.values()), on_progress)
    return {n: replace(run, diagnosis=found.get(n)) for n, run in runs.items()}, records


def _recorded(plan: Plan, folder: Path, backend: str, on_progress: Progress) -> dict[str, Any]:
    output = folder / backend
    output.mkdir()
    labels = [method.label for method in plan.methods]
    on_progress(f"{TITLES[backend]}: {labels[0]}")

    def done(label: str) -> None:
        if label in labels[:-1]:
            on_progress(f"{TITLES[backend]}: {labels[labels.index(label) + 1]}")

    run_on(backend, "recording", folder, output, done)
    return json.loads((output / "record.json").read_text(encoding="utf-8"))


def _run(plan: Plan, folder: Path, number: int, records: dict[str, Any]) -> Run:
    method = plan.methods[number]
    told = {backend: record["runs"][method.label] for backend, record in records.items()}
    weights = {b: _weights(folder, b, number) for b in plan.backends}
    return Run(
        method=method,
        by_step=differences(weights, plan.tensors, plan.recorded),
        losses={backend: run["losses"] for backend, run in told.items()},
        times={
            backend: Times.of(run["seconds"], run["batch_sizes"], run["peak_memory"])
            for backend, run in told.items()
        },
    )


def _weights(folder: Path, backend: str, number: int) -> np.ndarray:
    return np.load(folder / backend / f"{number}.npy", allow_pickle=False)


def _diagnoses(
    plan: Plan, folder: Path, runs: Sequence[Run], on_progress: Progress
) -> dict[str, Diagnosis]:
    """Examines every run that parts, with one more process for each backend that takes part."""
    asked: dict[int, tuple[Difference, Question, dict[str, np.ndarray]]] = {}
    start = np.concatenate([np.ravel(weight) for weight in plan.trainable])[np.newaxis]
    for number, run in enumerate(runs):
        if first := run.first_beyond:
            weights = {
                b: np.concatenate([start, _weights(folder, b, number)[: first.step]])
                for b in first.backends
            }
            if asks := question(first, weights, plan.tensors, plan.recorded):
                asked[number] = first, asks, weights
    answers: dict[str, dict[int, tuple[Gradient, np.ndarray]]] = {}
    for backend in plan.backends:
        own = {n: part for n, part in asked.items() if backend in part[0].backends}
        if own:
            on_progress(f"{TITLES[backend]}: gradients where runs part")
            answers[backend] = _gradients(folder, backend, own)
    found = {}
    for number, (first, asks, weights) in asked.items():
        at = {b: answers[b][number] for b in first.backends}
        found[runs[number].method.label] = diagnose(
            asks,
            first,
            weights,
            plan.tensors[asks.tensor],
            {b: gradient for b, (gradient, _) in at.items()},
            {b: whole for b, (_, whole) in at.items()},
        )
    return found


def _gradients(folder: Path, backend: str, asked: dict[int, Any]) -> dict[int, Any]:
    output = folder / f"{backend}-gradients"
    output.mkdir()
    questions = [asdict(asks) for _, asks, _ in asked.values()]
    (output / "questions.json").write_text(json.dumps(questions), encoding="utf-8")
    before = [weights[backend][asks.step - 1] for _, asks, weights in asked.values()]
    save_arrays(output / "weights.npz", before)
    run_on(backend, "gradients", folder, output, lambda line: None)
    told = json.loads((output / "answers.json").read_text(encoding="utf-8"))
    whole = load_arrays(output / "gradients.npz")
    return {n: (Gradient(**t), w) for n, t, w in zip(asked, told, whole, strict=True)}
