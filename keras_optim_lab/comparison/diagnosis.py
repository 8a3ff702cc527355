"""Why a run parts on two backends: measured at the number where it first does.

The step in which the two came apart there is repeated as far as its gradient: each backend takes
it again at the weights that it had, and at weights that are moved by one unit in the last place.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from keras_optim_lab.comparison.differences import Difference
from keras_optim_lab.comparison.gradients import Question
from keras_optim_lab.comparison.plan import Tensor
from keras_optim_lab.comparison.processes import TITLES

Cause = Literal["noise", "kink", "gradients", "scalar", "small gradient", "unknown"]

# Gradients that rounding alone has parted differ by about 1e-7 of the largest in their tensor.
_ROUNDED = 1e-5


@dataclass(frozen=True)
class Gradient:
    """One backend's gradient at one number.

    Attributes:
        gradient: at the weights that the backend had.
        again: the same, computed once more.
        nudged: at those weights, each moved by one unit in the last place, several times.
    """

    gradient: float
    again: float
    nudged: list[float]

    @property
    def spread(self) -> float:
        """How far it moves when the weights change in their last digit."""
        values = [self.gradient, *self.nudged]
        return max(values) - min(values)


@dataclass(frozen=True)
class Diagnosis:
    """What was measured where a run first parted, and what follows.

    Attributes:
        cause: "noise": a backend's own gradient is not the same twice; "kink": a last-digit
            change of the weights moves the gradient as far as the backends differ in it;
            "gradients": the gradients differ by more than that; "scalar": the steps of the whole
            tensor differ by one factor; "small gradient": rounding alone moves the gradient, in
            proportion to itself, by as much as the steps differ; "unknown": none of these.
        step: in which the two backends came apart most at this number, up to the one where the
            difference went beyond the tolerance.
        gradients: by backend.
        largest: gradient of the tensor.
        steps: by backend, what was added to the number in this step.
        factor: of the first backend's steps to the second's, the median over the tensor.
    """

    cause: Cause
    step: int
    tensor: str
    index: tuple[int, ...]
    gradients: dict[str, Gradient]
    largest: float
    steps: dict[str, float]
    factor: float

    @property
    def text(self) -> str:
        """The cause in words, with the numbers that show it."""
        (a, ga), (b, gb) = self.gradients.items()
        one, two = TITLES[a], TITLES[b]
        gap, spread = abs(ga.gradient - gb.gradient), max(ga.spread, gb.spread)
        gradients = f"{_short(ga.gradient)} on {one} and {_short(gb.gradient)} on {two}"
        share = f"{gap / self.largest:.1e} of the tensor's largest" if self.largest else "all of it"
        where = f"In step {self.step}"
        match self.cause:
            case "noise":
                return (
                    f"{where} a backend does not give the same gradient twice: the model draws "
                    "random numbers (dropout, for one), and each backend draws its own."
                )
            case "kink":
                return (
                    f"{where} the gradients differ before the optimizer sees them: {gradients}, "
                    f"{share}. Moving the weights by one unit in the last place moves the gradient "
                    f"by {_short(spread)} on a single backend: the loss has a kink there, such as "
                    "a ReLU whose input is 0 to within rounding."
                )
            case "gradients":
                return (
                    f"{where} the gradients differ before the optimizer sees them: {gradients}, "
                    f"{share}. Rounding of the weights moves them by {_short(spread)} only, so the "
                    "backends compute this model or its loss differently."
                )
            case "scalar":
                return (
                    f"{where} the gradients agree ({_short(ga.gradient)}, to {share}), but the "
                    "steps of the whole tensor differ by one factor, "
                    f"1 {_signed(self.factor - 1)}: a scalar of the rule, such as a power of β, "
                    "is rounded differently."
                )
            case "small gradient":
                return (
                    f"{where} the gradient there is small: {_short(ga.gradient)}, "
                    f"{abs(ga.gradient) / self.largest:.0e} of the tensor's largest. Moving the "
                    "weights by one unit in the last place moves it by "
                    f"{_percent(spread / abs(ga.gradient))}; between {one} and {two} it differs by "
                    f"{_percent(gap / abs(ga.gradient))}, and the step made of it by "
                    f"{_percent(self.relative_gap)}, which rounding alone explains."
                )
        return (
            f"{where} the gradients agree to {share} and the steps, {_short(self.steps[a])} on "
            f"{one} and {_short(self.steps[b])} on {two}, do not; neither rounding of the weights "
            "nor a common factor accounts for it."
        )

    @property
    def relative_gap(self) -> float:
        """By how much the steps of the two backends differ, relative to the longer one."""
        a, b = self.steps.values()
        return abs(a - b) / max(abs(a), abs(b), math.ulp(0.0))


def question(
    difference: Difference,
    weights: Mapping[str, np.ndarray],
    tensors: Sequence[Tensor],
    recorded: Sequence[int],
) -> Question | None:
    """What to ask of both backends about a difference; None if too few weights were kept.

    Args:
        weights: for each backend an array (1 + recorded steps, numbers), initial ones first.
    """
    if list(recorded[: difference.step]) != list(range(1, difference.step + 1)):
        return None
    (k,) = [i for i, tensor in enumerate(tensors) if tensor.name == difference.tensor]
    index = int(np.ravel_multi_index(difference.index, tensors[k].shape or (1,)))
    a, b = (weights[name][: difference.step + 1] for name in difference.backends)
    at = tensors[k].start + index
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        return None
    apart = np.abs(np.diff(a[:, at].astype("float64")) - np.diff(b[:, at].astype("float64")))
    return Question(step=int(apart.argmax()) + 1, tensor=k, index=index)


def diagnose(
    asked: Question,
    difference: Difference,
    weights: Mapping[str, np.ndarray],
    tensor: Tensor,
    gradients: Mapping[str, Gradient],
    whole: Mapping[str, np.ndarray],
) -> Diagnosis:
    """Names the cause that the measurements show.

    Args:
        weights: as for `question`.
        gradients, whole: each backend's gradient at the number, and of its tensor.
    """
    a, b = difference.backends
    steps = {
        name: np.diff(
            weights[name][asked.step - 1 : asked.step + 1, tensor.place].astype("float64"), axis=0
        )[0]
        for name in (a, b)
    }
    largest = float(max(np.abs(whole[name]).max() for name in (a, b)))
    factor = _factor(steps[a], steps[b])
    diagnosis = Diagnosis(
        cause="unknown",
        step=asked.step,
        tensor=difference.tensor,
        index=difference.index,
        gradients={name: gradients[name] for name in (a, b)},
        largest=largest,
        steps={name: float(steps[name][asked.index]) for name in (a, b)},
        factor=factor,
    )
    cause = _cause(diagnosis, np.abs(steps[a] - factor * steps[b])[asked.index])
    return Diagnosis(**{**vars(diagnosis), "cause": cause})


def _cause(found: Diagnosis, left: float) -> Cause:
    """`left`: what remains of the difference of the steps when the common factor is taken out."""
    a, b = found.gradients.values()
    gap, spread = abs(a.gradient - b.gradient), max(a.spread, b.spread)
    if any(abs(g.gradient - g.again) > _ROUNDED * found.largest for g in (a, b)):
        return "noise"
    if gap > _ROUNDED * found.largest:
        return "kink" if spread > gap / 2 else "gradients"
    one, two = found.steps.values()
    if left < abs(one - two) / 4:
        return "scalar"
    uncertain = max(gap, spread) / max(abs(a.gradient), math.ulp(0.0))
    if 0 < found.relative_gap <= 2 * uncertain and spread > gap / 4:
        return "small gradient"
    return "unknown"


def _factor(a: np.ndarray, b: np.ndarray) -> float:
    """The c by which most of a is c · b; 1 where too few numbers move to tell."""
    moved = np.abs(b) > 1e-3 * np.abs(b).max()
    # The median: a single number that differs says nothing of the others.
    return float(np.median(a[moved] / b[moved])) if moved.sum() >= 3 else 1.0


def _short(value: float) -> str:
    return f"{value:.1e}"


def _signed(value: float) -> str:
    return f"{'+' if value >= 0 else '-'} {abs(value):.1e}"


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %"
