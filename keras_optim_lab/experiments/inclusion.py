"""Inclusion: an optimizer that can do what another does should end no worse when both are tuned.

Choi et al., 2019, arXiv:1910.05446: where it ends worse, its search has not come to an end.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from keras_optim_lab.arguments import is_number
from keras_optim_lab.reports.writing import listed, number
from keras_optim_lab.tuning.criterion import Direction
from keras_optim_lab.tuning.paired import CONFIDENCE, Gain, diverged, gain
from keras_optim_lab.tuning.spaces.parameters import field_name
from keras_optim_lab.tuning.spaces.recipe import OF_SOME_TASK, USUAL
from keras_optim_lab.tuning.spaces.space import SearchSpace

# What an optimizer does for some of its settings, over the ranges that are searched by default. Of
# others there is none: Nadam's and NAdamW's β₁ begin where Adam's ends, RAdam, AdaBelief, AdEMAMix
# and AdaBound have no setting within their ranges that makes Adam of them, nor has it one for them.
NESTED: dict[tuple[str, str], str] = {
    ("adamw", "adam"): (
        "with λ = 0 it is the same; λ is searched from 0.005 on, which takes a share of 0.005 η of "
        "the weights in a step"
    ),
    ("adam", "momentum"): (
        "for ε well above √v̂ the step is η/ε times the momentum, corrected for its beginning, with "
        "β₁ up to 0.98"
    ),
    ("adam", "rmsprop"): (
        "with β₁ = 0 it is the same, corrected for its beginning; β₁ is searched from 0.5 on, the "
        "mean of about two gradients"
    ),
    ("momentum", "gradient_descent"): (
        "with β = 0 it is the same; β is searched from 0.7 on, the mean of about three gradients"
    ),
    ("rmsprop", "gradient_descent"): "for ε well above √v the step is η/ε times the gradient",
}
_SMALLER = "it is searched in all that the other is, and in more"


@dataclass(frozen=True)
class Searched:
    """A method that was tuned: an optimizer, and what its search space was changed by."""

    optimizer: str
    space: Mapping[str, object]


@dataclass(frozen=True)
class Inclusion:
    """A method that can do what another does, and what both gave.

    Attributes:
        larger, smaller: their names.
        because: of what settings it can.
        gain: of the larger one over the smaller, run by run.
        worse: whether the larger is worse for sure, or diverged more often.
    """

    larger: str
    smaller: str
    because: str
    gain: Gain
    worse: bool


def inclusions(
    methods: Mapping[str, Searched],
    values: Mapping[str, Sequence[float]],
    direction: Direction,
) -> list[Inclusion]:
    """All that are known among these methods, by the runs of their tuned settings.

    Args:
        methods: by name.
        values: by name, the metric of each run, with the same seeds in the same order for all.
        direction: which way is better.
    """
    found = []
    for larger, one in methods.items():
        for smaller, because in _within(one, methods):
            if smaller == larger:
                continue
            lead = gain(values[smaller], values[larger], direction)
            more = diverged(values[larger]) - diverged(values[smaller])
            worse = more > 0 or (more == 0 and lead.high < 0)
            found.append(Inclusion(larger, smaller, because, lead, worse))
    return found


def sentence(found: Sequence[Inclusion]) -> str:
    """Whether all of them hold, and whose search has not come to an end."""
    worse = [each for each in found if each.worse]
    if not worse:
        return "Every method is no worse, beyond the spread of the seeds, than those it contains."
    said = [
        f"{name} is worse than {listed([each.smaller for each in worse if each.larger == name])}"
        for name in dict.fromkeys(each.larger for each in worse)
    ]
    ending = "its search has" if len(said) == 1 else "their searches have"
    return (
        f"{'; '.join(said)}, beyond the spread of the seeds and though it contains what is better: "
        f"{ending} not finished."
    )


_INTERVAL = f"{100 * CONFIDENCE:.0f} % interval"
HEADER = ["method", "contains", "because", "gains over it", _INTERVAL, "so it is"]


def rows(found: Sequence[Inclusion]) -> list[list[str]]:
    """Of the table."""
    return [
        [
            each.larger,
            each.smaller,
            each.because,
            number(each.gain.mean),
            f"{number(each.gain.low)} … {number(each.gain.high)}",
            "worse" if each.worse else "no worse",
        ]
        for each in found
    ]


def _within(one: Searched, methods: Mapping[str, Searched]) -> list[tuple[str, str]]:
    """The methods that one can stand for, and why; those behind others of them are left out."""
    same = [
        (name, _SMALLER)
        for name, other in methods.items()
        if other.optimizer == one.optimizer and other != one and _holds(one, other)
    ]
    if one.space:
        return same
    plain = {each.optimizer: name for name, each in methods.items() if not each.space}
    behind, ahead = {one.optimizer: ""}, [one.optimizer]
    while ahead:
        larger = ahead.pop(0)
        for (outer, inner), because in NESTED.items():
            if outer == larger and inner not in behind:
                before = behind[larger]
                behind[inner] = f"{before}; then {because}" if before else because
                ahead += [] if inner in plain else [inner]
    del behind[one.optimizer]
    return [*same, *((plain[name], why) for name, why in behind.items() if name in plain)]


def _holds(one: Searched, other: Searched) -> bool:
    """Whether one is searched in all that the other is, which is the same optimizer."""
    large, small = _searched(one), _searched(other)
    return all(_in(small[name], large[name]) for name in large)


def _searched(one: Searched) -> dict[str, Any]:
    """By setting, its range as a pair, or what it may be."""
    space = SearchSpace(one.optimizer, one.space, OF_SOME_TASK)
    (name,) = space.optimizers
    known = {**USUAL, **space.templates[name].defaults, **space.fixed[name]}
    found: dict[str, Any] = {key: [value] for key, value in {**known, **space.recipe}.items()}
    for key, distribution in space.distributions.items():
        if isinstance(distribution, CategoricalDistribution):
            found[key] = list(distribution.choices)
        elif isinstance(distribution, FloatDistribution | IntDistribution):
            low, high = distribution.low, distribution.high
            whole = key == field_name(key)
            found[field_name(key)] = (low, high) if whole else (1.0 - high, 1.0 - low)
    return found


def _in(small: Any, large: Any) -> bool:
    """Whether values, a list or the ends of a range, are among others."""
    if isinstance(large, list):
        return all(value in large for value in small)
    return all(is_number(value) and large[0] <= value <= large[1] for value in small)
