"""What a study tries first: the defaults, settings that are known to be good, or what it is given.

What it starts with is part of its plan. Who first trains it puts these trials into its queue,
within one write, so that they are there once, whoever else begins at the same moment.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice, zip_longest
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from keras_optim_lab.arguments import near_matches
from keras_optim_lab.tuning.samplers import GENERATIONS
from keras_optim_lab.tuning.spaces.portfolios import portfolio
from keras_optim_lab.tuning.spaces.settings import as_params, default_params
from keras_optim_lab.tuning.spaces.space import SearchSpace
from keras_optim_lab.tuning.study_result import DEFAULTS, StudyResult

# What `tune` takes by name.
NAMES = ("portfolio", "defaults", "none")
# Of a portfolio, or an earlier result, a study has what its first generation has room for beside
# the defaults, but so many at least.
_AT_LEAST = 2
_EARLIER = 16  # of the best settings of an earlier result are kept with the plan

PLAN = "keras_optim_lab"  # the study's attribute that says what it searches
START = "start"  # the part of a plan that says it, and the attribute of trials that were in it
_STARTED = "started"  # the study's attribute: how many trials were put into the queue

_log = logging.getLogger("keras_optim_lab")

Params = dict[str, Any]


def planned(start: Any, space: SearchSpace) -> Any:
    """What `tune` takes as `start`, checked, in plain data.

    Raises:
        TypeError, ValueError: it is none of these; a name in it is unknown, or a value outside of
            the space.
    """
    if isinstance(start, str):
        if start not in NAMES:
            raise ValueError(
                f"start={start!r} is not known.{near_matches(start, NAMES)} Known: "
                f"{', '.join(NAMES)}; or give a list of settings, or an earlier result."
            )
        return start
    if isinstance(start, StudyResult):
        return {"earlier": _of_result(start, space)}
    if not isinstance(start, list | tuple):
        raise TypeError(
            f"`start` must be one of {', '.join(map(repr, NAMES))}, a list of settings such as "
            f'[{{"learning_rate": 3e-3}}], or an earlier result. Received: start={start!r}'
        )
    return {"given": [as_params(space, each, f"start[{i}]") for i, each in enumerate(start)]}


def difference(former: Any, wanted: Any) -> str:
    """What a study starts with and what it was to start with, in words."""
    one, other = (_in_words(each) for each in (former, wanted))
    return f"{one}, not {'others' if one == other else other}"


def _in_words(start: Any) -> str:
    if isinstance(start, str):
        return start
    return f"{len(start['given'])} given settings" if "given" in start else "an earlier result"


def enqueue(tuning: StudyResult, trials: int) -> None:
    """Puts into the queue of a study what it starts with, unless that has been done.

    Args:
        tuning: the study.
        trials: how many it is to have.
    """
    study, attributes = tuning.study, tuning.study.user_attrs
    start = attributes.get(PLAN, {}).get(START, "none")
    if start == "none" or _STARTED in attributes:
        return
    first = _trials(start, tuning.space, trials)
    study_id = tuning.storage.get_study_id_from_name(study.study_name)
    tuning.storage.claim(study_id, {_STARTED: len(first)}, first)


def _trials(start: Any, space: SearchSpace, trials: int) -> list[FrozenTrial]:
    first = [*_defaults(space)][:trials]
    share = max(_AT_LEAST, trials // GENERATIONS - 1)
    if start == "portfolio":
        others = islice(_distinct(_portfolios(space), first), share)
        first += list(others)[: max(0, trials - len(first))]
    elif isinstance(start, dict):
        (kind, settings), *_ = start.items()
        given = (_trial(space, params, kind) for params in settings)
        first += islice(_distinct(given, first), None if kind == "given" else share)
    return first


def _defaults(space: SearchSpace) -> Iterator[FrozenTrial]:
    for name in space.optimizers:
        try:
            yield _trial(space, default_params(space, name), DEFAULTS)
        except ValueError as error:
            _log.info("The study does not begin with %s", error)


def _portfolios(space: SearchSpace) -> Iterator[FrozenTrial]:
    """Those of all optimizers in turn, as far as the space has them."""
    lists = [list(_of_portfolio(space, name)) for name in space.optimizers]
    for trial in chain.from_iterable(zip_longest(*lists)):
        if trial is not None:
            yield trial


def _of_portfolio(space: SearchSpace, name: str) -> Iterator[FrozenTrial]:
    for settings in portfolio(space.templates[name]):
        try:
            params = as_params(space, {"optimizer": name, **settings}, "portfolio")
        except ValueError:  # of a narrower space
            continue
        yield _trial(space, params, "portfolio")


def _of_result(result: StudyResult, space: SearchSpace) -> list[Params]:
    """The parameters of its best settings, best first, as far as the space has them."""
    best = result.best_trial
    others = [trial for trial in result.ranked_trials if trial.number != best.number]
    found: list[Params] = []
    for trial in [best, *others]:
        chosen = result.space.decode(trial.params)
        try:
            found.append(as_params(space, {"optimizer": chosen.name, **chosen.settings}, START))
        except ValueError as error:
            _log.info(
                "Trial %d of %s is left out of %s", trial.number, result.study.study_name, error
            )
        if len(found) == _EARLIER:
            break
    return found


def _trial(space: SearchSpace, params: Params, origin: str) -> FrozenTrial:
    distributions = {name: space.distributions[name] for name in params}
    return optuna.trial.create_trial(
        state=TrialState.WAITING,
        params=params,
        distributions=distributions,
        user_attrs={START: origin},
    )


def _distinct(trials: Iterable[FrozenTrial], first: Sequence[FrozenTrial]) -> Iterator[FrozenTrial]:
    """Those with other parameters than all before them."""
    known = [trial.params for trial in first]
    for trial in trials:
        if trial.params not in known:
            known.append(trial.params)
            yield trial
