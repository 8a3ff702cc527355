"""Are the settings good, or was their seed? A race of the best trials and the defaults."""

from keras_optim_lab.arguments import whole_number
from keras_optim_lab.tuning.budget import Budget
from keras_optim_lab.tuning.engines.engine import Engine
from keras_optim_lab.tuning.racing import Course, Entrant, duel, race
from keras_optim_lab.tuning.repetitions import OnProgress, silent
from keras_optim_lab.tuning.shortlist import shortlist
from keras_optim_lab.tuning.study import ENGINE, TuningStudy
from keras_optim_lab.tuning.study_result import Confirmation

# Added to the study's own seed, from which those of trials count up: what is chosen on some seeds
# is judged on others.
CONFIRMATION_SEEDS = 1_000_000
CONFIRM = 12  # trials that take part, where nothing else is said


def confirm(
    tuning: TuningStudy,
    top: int = CONFIRM,
    engine: Engine | None = None,
    on_progress: OnProgress = silent,
    budget: Budget | None = None,
) -> None:
    """Races the most promising `top` trials and the defaults, and keeps the verdict with the study.

    The best of many noisy trials owes part of its lead to its seed, so that all of them are trained
    again with common fresh seeds (`racing.race`). The best of those that are left is then trained
    beside the defaults with seeds by which nothing was chosen. The study's `verdict`, `best_trial`
    and `best_optimizer` follow until it gets more trials. Nothing is trained if the study holds
    the verdict already.

    Args:
        tuning: a study with at least one complete trial.
        top: how many trials take part, at least 1.
        engine: what trains them; see `repetitions.train`.
        on_progress: called as `on_progress(done, total)` while they train.
        budget: of time; where little is left there are fewer rounds and runs, and at least one.

    Raises:
        RuntimeError: the study has no complete trial.
    """
    top = whole_number("top", top)
    if is_confirmed(tuning, top):
        return
    course = Course(
        tuning.task,
        tuning.objective,
        tuning.seed + CONFIRMATION_SEEDS,
        tuning.folds,
        engine,
        budget or Budget(),
    )
    finished = len(tuning.finished_trials)  # those that others add meanwhile take no part
    _tell_pace(tuning, course.budget)
    trials, defaults = _trials(tuning, top), _defaults(tuning)
    entrants = [*trials.values(), *defaults.values()]
    values = race(course, entrants, [each.name for each in defaults.values()], on_progress)

    def place(each: Entrant) -> tuple[int, tuple[float, float]]:
        return -len(values[each.name]), tuning.objective.order(values[each.name])

    reference = min(defaults, key=lambda name: place(defaults[name]))
    raced = [number for number, each in trials.items() if each.name in values]
    best = min(raced, key=lambda number: place(trials[number]), default=None)
    default, tuned = [], []
    if best is not None:
        pair = defaults[reference], trials[best]
        won = place(pair[1]) < place(pair[0])
        judged = duel(course, pair, on_progress) if won else values
        both = zip(*(judged[each.name] for each in pair), strict=False)
        default, tuned = map(list, zip(*both, strict=True))
    tuning.keep_confirmation(Confirmation(top, values, best, reference, default, tuned), finished)


def is_confirmed(tuning: TuningStudy, top: int) -> bool:
    """Whether the study, as it stands, holds the race of so many trials."""
    kept = tuning.confirmation
    return kept is not None and kept.reference is not None and kept.top == top


def _tell_pace(tuning: TuningStudy, budget: Budget) -> None:
    """How long a training takes beside others, as far as the search tells."""
    seconds = tuning.study.user_attrs.get(ENGINE, {}).get("seconds")
    if seconds is not None:
        runs = len(tuning.finished_trials) * tuning.seeds_per_trial * (tuning.folds or 1)
        budget.trained(seconds / runs)


def _trials(tuning: TuningStudy, top: int) -> dict[int, Entrant]:
    """Those that take part, by their numbers."""
    return {
        each.number: Entrant(f"trial {each.number}", tuning.space.decode(each.params), each.params)
        for each in shortlist(tuning, top)
    }


def _defaults(tuning: TuningStudy) -> dict[str, Entrant]:
    """By optimizer, itself as it is without tuning."""
    # A model that is built from the trial is built from the best one.
    params = tuning.ranked_trials[0].params
    several = len(tuning.space.optimizers) > 1
    return {
        name: Entrant(
            f"{name} by default" if several else "defaults", tuning.space.untuned(name), params
        )
        for name in tuning.space.optimizers
    }
