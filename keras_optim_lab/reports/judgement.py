"""Is the search to be trusted? What speaks against it, in sentences.

Three things are looked at: whether the gain over the defaults is more than seeds alone give,
whether the best settings lie inside the ranges that were searched, and whether the trials are
enough for what was searched.
"""

import math
from collections.abc import Sequence
from typing import Literal

from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial

from keras_optim_lab.optimizers.shell.field_kinds import Field
from keras_optim_lab.optimizers.shell.numeric import DecayRate
from keras_optim_lab.reports.writing import command, listed, number
from keras_optim_lab.tasks.catalogue import is_built_in
from keras_optim_lab.tuning.evaluation import EVALUATIONS, Evaluation
from keras_optim_lab.tuning.paired import Gain
from keras_optim_lab.tuning.paired import gain as paired_gain
from keras_optim_lab.tuning.spaces.parameters import field_name
from keras_optim_lab.tuning.study import TuningStudy

Outcome = Literal["no better", "steadier", "better once", "perhaps better", "better"]

PLAYBOOK = "Google's Tuning Playbook (github.com/google-research/tuning_playbook)"
_CONFIDENCE = 0.95
_MORE = 4  # times as many seeds halve the interval of a gain
# The best value is at an edge within this share of the range, on the range's own scale; so are
# the best trials if most of these few are.
_EDGE = 0.05
_FEW = 5
# The Playbook's budgets for Adam: η alone below 10 trials, β₁ from 10 on, ε from 25, and β₂ with
# "many more", which is taken for twice as many here.
_BUDGETS = (10, 25, 50)
_BUDGET_OF = {1: "fewer than 10 trials", 2: "10 to 25", 3: "25 and somewhat more"}
# What it leaves out first. Of others, such as a weight decay or a schedule, it does not speak:
# they are searched because the method or the user wants them, so they come before these.
_LAST = ("beta", "beta_1", "epsilon", "rho", "beta_2")


def warnings_of(tuning: TuningStudy, evaluation: Evaluation) -> list[str]:
    """What a reader should know before trusting the result; nothing if all is well."""
    return [
        *_of_luck(tuning, evaluation),
        *_of_edges(tuning),
        *_of_few_trials(tuning),
    ]


# The gain.


def gain(tuning: TuningStudy, evaluation: Evaluation) -> Gain:
    """The gain in the tuned metric on the evaluated split: positive is better."""
    default, tuned = (runs.scores[tuning.metric] for runs in (evaluation.default, evaluation.tuned))
    return paired_gain(default, tuned, tuning.objective.direction, confidence=_CONFIDENCE)


def outcome(tuning: TuningStudy, evaluation: Evaluation) -> Outcome:
    """What the runs show; the verdict says it, and a warning follows from it."""
    metric = tuning.metric
    default, tuned = evaluation.default, evaluation.tuned
    better = tuned.mean(metric) - default.mean(metric)
    if tuning.objective.direction == "minimize":
        better = -better
    steadier = default.diverged(metric) - tuned.diverged(metric)
    if steadier < 0 or (steadier == 0 and not better > 0):
        return "no better"
    if steadier > 0:
        return "steadier" if better <= 0 else "better"
    if len(evaluation.seeds) == 1:
        return "better once"
    return "better" if gain(tuning, evaluation).low > 0 else "perhaps better"


def _of_luck(tuning: TuningStudy, evaluation: Evaluation) -> list[str]:
    if tuning.verdict is not None and not tuning.verdict.better:
        return []
    seeds = max(EVALUATIONS, _MORE * len(evaluation.seeds))
    more = _more(tuning, seeds)
    match outcome(tuning, evaluation):
        case "better once":
            return [
                "A single run of each cannot tell a gain from the luck of a seed: write the report "
                f"over more seeds, {more}."
            ]
        case "perhaps better":
            found = gain(tuning, evaluation)
            if math.isnan(found.low):
                return [
                    "The seeds with which neither setting diverged are too few to tell a gain from "
                    f"luck: write the report over more seeds, {more}."
                ]
            return [
                f"The gain lies within the spread of the seeds: {number(found.mean)} on average, "
                f"with a 95 % confidence interval of {number(found.low)} … {number(found.high)} "
                f"(paired t-test). Write the report over more seeds to tell it from luck: {more}."
            ]
    return []


def _more(tuning: TuningStudy, seeds: int) -> str:
    """What writes the report over so many seeds."""
    study, found = tuning.study.study_name, tuning.named_storage
    if found is None:  # in memory, or in a storage that has no name
        return f"result.report(seeds={seeds})"
    if not is_built_in(tuning.task):  # which the command does not know
        where = "".join(f", {name}={place!r}" for name, place in found.items())
        return f"TuningResult.load({study!r}{where}, task=...).report(seeds={seeds})"
    return command("report", {**found, "seeds": seeds}, study)


# The edges.


def _of_edges(tuning: TuningStudy) -> list[str]:
    name, best = tuning.found_configuration.name, tuning.best_trial
    several = len(tuning.space.optimizers) > 1
    alike = [t for t in tuning.ranked_trials if not several or t.params["optimizer"] == name]
    sentences = []
    for label, distribution in _searched(tuning, name).items():
        if not isinstance(distribution, FloatDistribution | IntDistribution):
            continue
        field = tuning.space.templates[name].fields.get(field_name(_key(tuning, label)))
        for end in ("low", "high"):
            found = _Edge(_key(tuning, label), distribution, end == "high", field)
            sentences += found.sentence(label, best, alike[:_FEW])
    return sentences


class _Edge:
    """One end of the range of a parameter that may be called `1-beta_1`."""

    def __init__(
        self,
        key: str,
        distribution: FloatDistribution | IntDistribution,
        high: bool,
        field: Field | None,
    ):
        self.name = field_name(key)
        self._complement = key != self.name
        self._distribution = distribution
        self._high = high
        # β and a warm-up are in [0, 1), whole numbers ≥ 1, all other numbers ≥ 0.
        self._limit = 1.0 if isinstance(field, DecayRate) or self.name == "warmup" else math.inf
        self._whole = isinstance(distribution, IntDistribution)

    def sentence(self, label: str, best: FrozenTrial, few: Sequence[FrozenTrial]) -> list[str]:
        """The warning that one of these trials, or most of them, earn."""
        if self._is_natural:
            return []
        near = sum(self._holds(trial.params[label]) for trial in few)
        end = "upper" if self._high != self._complement else "lower"
        low, high = self._distribution.low, self._distribution.high
        shown = f"{self._shown(low, high)} (within {100 * _EDGE:.0f} %)"
        where = f"at the {end} end of its range {shown}"
        wider = f"A wider range: {self._shown(*self._wider)}."
        if self._holds(best.params[label]):
            value = best.params[label]
            value = number(1 - value if self._complement else value)
            return [f"The best {self.name}, {value}, lies {where}. {wider}"]
        if len(few) == _FEW and near > _FEW / 2:
            return [f"{near} of the {_FEW} best trials have their {self.name} {where}. {wider}"]
        return []

    def _holds(self, value: float) -> bool:
        low, high = self._distribution.low, self._distribution.high
        if self._distribution.log:
            value, low, high = math.log(value), math.log(low), math.log(high)
        share = (value - low) / (high - low)
        return share >= 1 - _EDGE if self._high else share <= _EDGE

    @property
    def _is_natural(self) -> bool:
        """Whether the hyperparameter can go no further."""
        low, high = self._distribution.low, self._distribution.high
        return high >= self._limit if self._high else low <= int(self._whole)

    @property
    def _wider(self) -> tuple[float, float]:
        """Further by a decade or by half its width, at most half way to where the field ends.

        Whole numbers are of epochs, of which nobody has ten times as many.
        """
        low, high = self._distribution.low, self._distribution.high
        if self._whole:
            return (low, 2 * high) if self._high else (low // 2, high)
        half = (high - low) / 2
        if self._high:
            further = 10 * high if self._distribution.log else high + half
            return low, min(further, (high + self._limit) / 2)
        return (low / 10 if self._distribution.log else max(low - half, low / 2)), high

    def _shown(self, low: float, high: float) -> str:
        if self._complement:
            low, high = 1 - high, 1 - low
        return f"{number(low)} … {number(high)}"


# The trials.


def _of_few_trials(tuning: TuningStudy) -> list[str]:
    several = len(tuning.space.optimizers) > 1
    sentences = []
    for name in tuning.space.optimizers:
        labels = [field_name(_key(tuning, label)) for label in _searched(tuning, name)]
        trials = sum(
            not several or trial.params.get("optimizer") == name for trial in tuning.finished_trials
        )
        keep = 1 + sum(trials >= budget for budget in _BUDGETS)
        if keep > len(_BUDGETS) or len(labels) <= keep:
            continue
        fixed = _by_priority(labels)[keep:]
        enough = _BUDGETS[min(len(labels), len(_BUDGETS) + 1) - 2]
        counted = "1 finished trial is" if trials == 1 else f"{trials} finished trials are"
        sentences.append(
            f"{counted} few for the {len(labels)} hyperparameters of "
            f"{tuning.space.templates[name].title} that were searched. {PLAYBOOK} tunes {keep} of "
            f"Adam's with {_BUDGET_OF[keep]}: fix {listed(fixed)}, or run {enough} trials."
        )
    return sentences


def _by_priority(names: Sequence[str]) -> list[str]:
    """The learning rate first, then what the Playbook does not speak of, then its own order."""

    def rank(name: str) -> int:
        if name == "learning_rate":
            return 0
        return 2 + _LAST.index(name) if name in _LAST else 1

    return sorted(names, key=rank)


# Both.


def _searched(tuning: TuningStudy, optimizer: str) -> dict[str, BaseDistribution]:
    """The study's parameters of one optimizer and of the recipe that can take two values."""
    every = {**tuning.space.hyperparameters(optimizer), **tuning.space.searched_recipe}
    return {label: each for label, each in every.items() if not each.single()}


def _key(tuning: TuningStudy, label: str) -> str:
    """A parameter's name without that of its optimizer."""
    return tuning.space.owner(label)[1]
