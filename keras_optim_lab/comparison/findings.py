"""What a comparison of backends has found."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import keras_optim_lab
from keras_optim_lab.comparison.diagnosis import Diagnosis
from keras_optim_lab.comparison.differences import PER_STEP, Difference
from keras_optim_lab.comparison.plan import Method, Plan
from keras_optim_lab.comparison.processes import TITLES
from keras_optim_lab.files import write_whole
from keras_optim_lab.reports.writing import listed
from keras_optim_lab.shown import Row, Shown


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
class Findings(Shown):
    """What a comparison of backends has found.

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

    @property
    def headline(self) -> str:
        return self.summary

    def records(self) -> list[Row]:
        return [
            {
                "optimizer": label,
                **{f"step_{step}": run.after(step).relative for step in self.steps if run.by_step},
                "agrees": run.agrees,
                **{f"{name}_ms": 1000 * times.step for name, times in run.times.items()},
            }
            for label, run in self.runs.items()
        ]

    def _draw(self, axes: Any) -> None:
        for label, run in self.runs.items():
            if run.by_step:
                each = [(one.step, one.relative) for one in run.by_step]
                axes.plot(*zip(*each, strict=True), label=label)
        axes.set(xlabel="step", ylabel="relative difference", xscale="log", yscale="log")
        axes.legend()

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
        return f"<{type(self).__name__}: {self.summary}>"


def _finite(value: Any) -> Any:
    """The same with NaN and infinity as words, for which JSON has no numbers."""
    if isinstance(value, dict):
        return {name: _finite(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _steps(count: int) -> str:
    return f"{count} step" if count == 1 else f"{count} steps"
