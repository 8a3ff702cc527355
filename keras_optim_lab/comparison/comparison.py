"""`compare_backends`, and the result that it returns."""

import json
import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

import keras_optim_lab
from keras_optim_lab.comparison.diagnosis import Diagnosis, Gradient, diagnose, question
from keras_optim_lab.comparison.differences import (
    PER_STEP,
    Difference,
    differences,
)
from keras_optim_lab.comparison.gradients import Question
from keras_optim_lab.comparison.job import load_arrays, save_arrays, write_job
from keras_optim_lab.comparison.plan import Method, Plan, make_plan
from keras_optim_lab.comparison.processes import TITLES, run_on
from keras_optim_lab.files import file_name, write_whole
from keras_optim_lab.tasks import Task

Progress = Callable[[str], None]


def _silent(message: str) -> None:
    pass


@dataclass(frozen=True)
class Times:
    """What one run cost on one backend; seconds by the clock, of `train_on_batch`.

    Attributes:
        first_step: seconds of the first call, which traces and compiles.
        compiling: seconds that the first batches of each size took beyond a steady step. PyTorch
            compiles nothing: there it is what warming up takes.
        step: seconds of a steady step: the median of those that compiled nothing. NaN if none.
        peak_memory: most bytes of memory that the process held during the run, with Python, Keras
            and the data; None where the system does not tell. Memory of an accelerator is not in
            it.
    """

    first_step: float
    compiling: float
    step: float
    peak_memory: int | None

    @classmethod
    def of(cls, seconds: list[float], batch_sizes: list[int], peak_memory: int | None) -> "Times":
        first = {size: i for i, size in reversed(list(enumerate(batch_sizes)))}
        steady = [s for i, s in enumerate(seconds) if i not in first.values()]
        step = median(steady) if steady else float("nan")
        compiling = sum(max(seconds[i] - step, 0.0) for i in first.values())
        return cls(seconds[0], compiling if steady else float("nan"), step, peak_memory)


@dataclass(frozen=True)
class Run:
    """One optimizer on all backends.

    Attributes:
        method: the optimizer.
        by_step: the difference after every recorded step; empty for fewer than two backends.
        losses: by backend, the loss of each batch before its step.
        times: by backend.
        diagnosis: why the backends part, if they do and the weights were kept.
    """

    method: Method
    by_step: list[Difference]
    losses: dict[str, list[float]]
    times: dict[str, Times]
    diagnosis: Diagnosis | None = None

    @property
    def first_beyond(self) -> Difference | None:
        """The first difference beyond 1e-6 for each step taken."""
        return next((difference for difference in self.by_step if difference.beyond), None)

    @property
    def agrees(self) -> bool:
        """Whether two backends or more were compared and no difference is beyond the tolerance."""
        return bool(self.by_step) and self.first_beyond is None

    def after(self, step: int) -> Difference:
        """The difference after one of the recorded steps."""
        return next(difference for difference in self.by_step if difference.step == step)

    def verdict(self, steps: Sequence[int]) -> str:
        """A sentence about these steps, and why the backends part if they do."""
        if not self.by_step:
            return "not compared: that takes two backends"
        reached = listed([f"{self.after(s).relative:.1e} after {_steps(s)}" for s in steps])
        first = self.first_beyond
        if first is None:
            return f"agrees to {reached}"
        one, two = (TITLES[name] for name in first.backends)
        why = self.diagnosis.text if self.diagnosis else "Not examined: see how this was made."
        return (
            f"differs by {reached}; first beyond {PER_STEP:.0e} per step after {_steps(first.step)}"
            f" ({first.relative:.1e}), in {first.tensor}{list(first.index)} between {one} and "
            f"{two}. {why}"
        )


@dataclass(frozen=True)
class BackendComparison:
    """What `compare_backends` found.

    Attributes:
        runs: by label: "adam" is ours, "keras Adam" the built-in beside it.
        backends: those that were compared.
        missing: those that were asked for and are not installed.
        steps: after which weights were compared.
        versions: of packages, by name, on each backend.
        machine: by backend, its platform and number of cores.
    """

    plan: Plan
    runs: dict[str, Run]
    versions: dict[str, dict[str, str]]
    machine: dict[str, str]
    peak_of_run: bool

    @property
    def backends(self) -> tuple[str, ...]:
        return self.plan.backends

    @property
    def missing(self) -> tuple[str, ...]:
        return self.plan.missing

    @property
    def steps(self) -> tuple[int, ...]:
        return self.plan.steps

    @property
    def verdicts(self) -> dict[str, str]:
        """A sentence for each run."""
        return {label: run.verdict(self.steps) for label, run in self.runs.items()}

    @property
    def differences(self) -> dict[str, dict[int, Difference]]:
        """For each run, the largest relative difference after each of `steps`."""
        return {
            label: {step: run.after(step) for step in self.steps} if run.by_step else {}
            for label, run in self.runs.items()
        }

    @property
    def times(self) -> dict[str, dict[str, Times]]:
        """For each run, what it cost on each backend."""
        return {label: run.times for label, run in self.runs.items()}

    @property
    def summary(self) -> str:
        """The result in a sentence or two."""
        titles = [TITLES[name] for name in self.backends]
        left_out = listed([TITLES[name] for name in self.missing])
        missing = f" {left_out} left out: not installed." if left_out else ""
        if len(titles) < 2:
            ran = f"on {titles[0]} alone" if titles else "on no backend"
            return f"Nothing could be compared: it ran {ran}.{missing}"
        ours = [run for run in self.runs.values() if run.method.ours]
        theirs = [run for run in self.runs.values() if not run.method.ours]
        counted = f"{sum(r.agrees for r in ours)} of {len(ours)} optimizers"
        if theirs:
            counted += f", and {sum(r.agrees for r in theirs)} of {len(theirs)} Keras built-ins,"
        return (
            f"On {listed(titles)}, {counted} stay within {PER_STEP:.0e} per step of each other "
            f"over {_steps(self.steps[-1])} of {self.plan.task.name}.{missing}"
        )

    def report(self, path: str | Path | None = None) -> Path:
        """Writes one self-contained HTML page and returns its path.

        Args:
            path: of the page; `reports/backends-TASK.html` by default.
        """
        from keras_optim_lab.comparison.comparison_page import write_page

        named = f"backends-{file_name(self.plan.task.name)}.html"
        return write_page(self, Path(path or Path("reports") / named))

    def to_json(self, path: str | Path) -> Path:
        """Writes all that was measured, except the weights, as JSON and returns the path."""
        text = json.dumps(_finite(self.as_dict()), indent=1, allow_nan=False)
        return write_whole(Path(path), text)

    def as_dict(self) -> dict[str, Any]:
        """All that was measured, except the weights, in plain types."""
        runs = {}
        for label, run in self.runs.items():
            first = run.first_beyond
            runs[label] = {
                **asdict(run),
                "agrees": run.agrees,
                "verdict": run.verdict(self.steps),
                "first_beyond": first and asdict(first),
            }
            if run.diagnosis is not None:
                runs[label]["diagnosis"]["text"] = run.diagnosis.text
        return {
            "summary": self.summary,
            "command": self.plan.command,
            "task": self.plan.task.name,
            "seed": self.plan.seed,
            "learning_rate": self.plan.learning_rate,
            "steps": self.steps,
            "recorded": self.plan.recorded,
            "tolerance_per_step": PER_STEP,
            "backends": self.backends,
            "missing": self.missing,
            "keras_optim_lab": keras_optim_lab.__version__,
            "versions": self.versions,
            "machine": self.machine,
            "peak_memory_is_of": "the run" if self.peak_of_run else "the process so far",
            "runs": runs,
        }

    def __repr__(self) -> str:
        return f"<BackendComparison: {self.summary}>"


def compare_backends(
    task: Task | str,
    optimizers: Sequence[str] | None = None,
    *,
    backends: Sequence[str] = ("tensorflow", "jax", "torch"),
    steps: Sequence[int] = (1, 10, 100),
    seed: int = 0,
    learning_rate: float | None = None,
    on_progress: Progress = _silent,
) -> BackendComparison:
    """Trains the same on several backends and says how far their weights part.

        result = kol.compare_backends("digits-mlp", ["adam", "radam"])
        print(result.verdicts["adam"])
        result.report("backends.html")

    Each backend runs in a process of its own, one after the other, from the same initial weights,
    with the same batches and hyperparameters, by Keras's own `train_on_batch`. Beside each
    optimizer runs the Keras built-in of its role, where there is one.

    Args:
        task: name of a built-in task; or a `Task` of arrays whose functions can be imported from
            a module.
        optimizers: names from the catalogue; None for all.
        backends: those that are not installed are named in the result and left out.
        steps: after how many steps to compare.
        seed: of the initial weights and of the order of the samples.
        learning_rate: for all optimizers, in place of their defaults.
        on_progress: called with a line of text whenever something begins.

    Raises:
        TypeError, ValueError: an argument cannot work; no process has been started.
        RuntimeError: a backend's process failed; the message ends with its error.
    """
    plan = make_plan(task, optimizers, backends, steps, seed, learning_rate)
    with tempfile.TemporaryDirectory(prefix="compare-backends-") as name:
        folder = Path(name)
        write_job(plan, folder)
        records = {}
        for backend in plan.backends:
            records[backend] = _recorded(plan, folder, backend, on_progress)
        runs = {
            method.label: _run(plan, folder, i, records) for i, method in enumerate(plan.methods)
        }
        found = _diagnoses(plan, folder, list(runs.values()), on_progress)
    told = list(records.values())
    return BackendComparison(
        plan=plan,
        runs={label: replace(run, diagnosis=found.get(label)) for label, run in runs.items()},
        versions={backend: record["versions"] for backend, record in records.items()},
        machine={b: f"{r['machine']}, {r['cores']} cores" for b, r in records.items()},
        peak_of_run=all(r["peak_of_run"] for record in told for r in record["runs"].values()),
    )


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
    for number, run in enumerate(runs):
        first = run.first_beyond
        if first is None:
            continue
        start = _initial_row(plan)
        weights = {
            b: np.concatenate([start, _weights(folder, b, number)[: first.step]])
            for b in first.backends
        }
        asks = question(first, weights, plan.tensors, plan.recorded)
        if asks is not None:
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
    run_on(backend, "gradients", folder, output, _silent)
    told = json.loads((output / "answers.json").read_text(encoding="utf-8"))
    whole = load_arrays(output / "gradients.npz")
    return {n: (Gradient(**t), w) for n, t, w in zip(asked, told, whole, strict=True)}


def _initial_row(plan: Plan) -> np.ndarray:
    """The first values of the trainable weights as one row, of the same order as later ones."""
    return np.concatenate([np.ravel(weight) for weight in plan.trainable])[np.newaxis]


def _finite(value: Any) -> Any:
    """The same with NaN and infinity as words, for which JSON has no numbers."""
    if isinstance(value, dict):
        return {name: _finite(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _steps(count: int) -> str:
    return f"{count} step" if count == 1 else f"{count} steps"


def listed(words: Sequence[str]) -> str:
    """Words with commas, and `and` before the last."""
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)
