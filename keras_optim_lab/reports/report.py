"""The report of a tuning study."""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from keras_optim_lab.reports import study_figures as figures
from keras_optim_lab.reports.html import Page
from keras_optim_lab.reports.judgement import Outcome, outcome, warnings_of
from keras_optim_lab.reports.writing import number, plus_minus
from keras_optim_lab.tuning.evaluation import Evaluation, Runs
from keras_optim_lab.tuning.shortlist import Smoothed
from keras_optim_lab.tuning.spaces.configuration import Configuration
from keras_optim_lab.tuning.spaces.parameters import complement, field_name
from keras_optim_lab.tuning.spaces.template import Template
from keras_optim_lab.tuning.study import ENGINE, TuningStudy
from keras_optim_lab.versions import in_a_line, versions_of_study

_ENOUGH_TRIALS = 16  # to say how wide the good region is
_SAID: dict[Outcome, str] = {
    "no better": "no better than",
    "steadier": "steadier, though no better, than",
    "better once": "better, in a single run of each, than",
    "perhaps better": "better, though within the spread of the seeds, than",
    "better": "better than",
}


def write_report(tuning: TuningStudy, evaluation: Evaluation, path: Path) -> Path:
    """Writes the page to `path`, whose folder is made if need be, and returns `path`."""
    page = Page(f"{tuning.found_configuration.template.title} on {tuning.task.name}")
    page.paragraph(verdict(tuning, evaluation), "result")
    page.warnings("Before you trust this result", warnings_of(tuning, evaluation))
    settings(page, tuning)
    shown = f"{tuning.metric} on the {evaluation.split} split during these runs"
    comparison(page, evaluation, f"Below: {shown}, their mean in bold.")
    page.figure(figures.curves(tuning, evaluation))
    search(page, tuning)
    page.heading("How this was made")
    made_with = in_a_line(versions_of_study(keras.backend.backend()))
    page.facts([*making(tuning), ("versions", made_with)])
    return page.write(path)


def verdict(tuning: TuningStudy, evaluation: Evaluation) -> str:
    """The verdict where there is one, and what default and tuned settings give when evaluated."""
    name, decided = tuning.found_configuration.template.title, tuning.verdict
    metric, default, tuned = tuning.metric, evaluation.default, evaluation.tuned
    where = f"on the {evaluation.split} split of {tuning.task.name}"
    after, before = (mean_and_spread(runs, metric) for runs in (tuned, default))
    numbers, over = f"{metric} {after} against {before}", over_seeds(len(evaluation.seeds))
    if decided is None:
        said = _SAID[outcome(tuning, evaluation)]
        return f"Tuned {name} is {said} its defaults {where}: {numbers} ({over})."
    return f"Tuned {name} is {decided}. Tuned against default {where}: {numbers} ({over})."


def settings(page: Page, tuning: TuningStudy) -> None:
    """Adds the best settings, beside the defaults and what was searched."""
    best, chosen = tuning.found_configuration, tuning.best_configuration
    template = best.template
    page.heading("Settings")
    rows = []
    for name, value in best.settings.items():
        field = template.numeric.get(name)
        source = field.search.source if field is not None and field.search is not None else ""
        default = {**tuning.space.own, **template.defaults}[name]
        rows.append([name, number(default), number(value), _range(tuning, name), source])
    page.table(["hyperparameter", "default", "tuned", "searched", "range from"], rows)
    if chosen != best:
        page.paragraph("No better for sure than the defaults, which are what to use:", "note")
    code = [_code(chosen, tuning.steps), "model.compile(optimizer=optimizer, ...)"]
    page.code("\n".join([*code, chosen.recipe.fit] if chosen.recipe.fit else code))
    if chosen.scheduled:
        page.paragraph(
            f"The schedule is as long as the training of {tuning.task.name}: "
            f"{chosen.on(tuning.task).epochs} epochs, {tuning.steps} steps. For another training "
            "give its own number of steps.",
            "note",
        )
    if as_good := _as_good(tuning):
        page.paragraph(
            "How far each of the tuned settings may be changed alone before it does worse than the "
            "luck of one trial explains, by all trials around it:",
            "note",
        )
        page.table(["hyperparameter", "as good"], as_good)


def _code(best: Configuration, steps: int | None) -> str:
    """What makes the optimizer, with digits enough to be read."""
    if best.template.given is not None:
        names = ", ".join(sorted({*re.findall(r"\w+", best.template.title)}))
        schedule = "from keras_optim_lab.schedules import WarmupDecay\n" if best.scheduled else ""
        return (
            f"from keras_optim_lab import {names}\n{schedule}\n"
            f"optimizer = {best.optimizer(steps)!r}"
        )
    given = dict(best.hyperparameters)
    if best.scheduled:
        shape = (
            f"steps={steps}, warmup={number(best.recipe.warmup)}, decay={best.recipe.schedule!r}"
        )
        given |= {
            name: f"kol.schedules.WarmupDecay({number(peak)}, {shape})"
            for name, peak in best.peaks.items()
        }
    return f"import keras_optim_lab as kol\n\noptimizer = kol.{call(best.template, given)}"


def call(template: Template, settings: Mapping[str, Any]) -> str:
    """`Adam(learning_rate=0.001)`, with digits enough to be read."""
    outer, _, inner = template.title.partition("(")
    members = [inner[:-1]] if inner else []
    given = [f"{name}={number(value)}" for name, value in settings.items()]
    return f"{outer}({', '.join([*members, *given])})"


def comparison(page: Page, evaluation: Evaluation, below: str = "") -> None:
    """Adds the table of default and tuned settings; the note ends on what is shown `below` it."""
    page.heading(f"Default and tuned settings on the {evaluation.split} split")
    pair = {"default": evaluation.default, "tuned": evaluation.tuned}
    page.table(
        ["settings", *evaluation.default.scores],
        [[n, *(mean_and_spread(runs, m) for m in runs.scores)] for n, runs in pair.items()],
    )
    over = over_seeds(len(evaluation.seeds))
    page.paragraph(f"From seeds that the search did not use: {over}. {below}".rstrip(), "note")


def search(page: Page, tuning: TuningStudy) -> None:
    """Adds the figures of the trials."""
    page.heading("The search")
    page.paragraph(f"{tuning.objective.name} of every complete trial and the best so far.", "note")
    page.figure(figures.history(tuning))
    _thinned(page, tuning)
    _confirmed(page, tuning)
    if len(tuning.space.optimizers) > 1:
        page.heading("By optimizer")
        page.figure(figures.by_optimizer(tuning))
    if not figures.enough_for_importances(tuning):
        page.paragraph(
            "The complete trials are too few or too alike to say which hyperparameters matter.",
            "note",
        )
        return
    page.heading("Which hyperparameters matter")
    page.paragraph("Share of the objective's variance that each one explains (fANOVA).", "note")
    page.figure(figures.importances(tuning), height=300)
    page.heading("Slices")
    page.paragraph(
        "A decay rate β is searched as 1 − β on a log scale. Darker points are later trials; the "
        "ring is the best one.",
        "note",
    )
    page.figures(figures.slices(tuning))
    _why_not_the_lowest(page, tuning)
    page.heading("Parallel coordinates")
    page.paragraph(
        "Every trial is a line; darker ones are better, and the red one is the best.",
        "note",
    )
    page.figure(figures.parallel_coordinates(tuning), wide=True)
    _why_not_the_lowest(page, tuning)


def _thinned(page: Page, tuning: TuningStudy) -> None:
    """Says which trials are drawn, where they are too many."""
    if (complete := len(tuning.ranked_trials)) > figures.MOST:
        page.paragraph(
            f"Of {complete:,} complete trials {figures.MOST:,} are drawn here and below: the best "
            f"{figures.MOST // 4}, those that were the best when they ended, and others evenly. "
            "Shares of the variance are of evenly chosen ones.",
            "note",
        )


def _confirmed(page: Page, tuning: TuningStudy) -> None:
    """Adds the race of the best trials and the defaults, if there was one."""
    confirmed, metric = tuning.confirmation, tuning.objective.name
    if confirmed is None:
        return
    searched = {f"trial {trial.number}": trial.value for trial in tuning.ranked_trials}
    best = f"trial {confirmed.best}"
    rows = [
        [
            f"{name}, the best" if name == best else name,
            f"{searched[name]:.4g}" if name in searched else "",
            mean_and_spread(Runs("", {metric: values}, []), metric),
            str(len(values)),
        ]
        for name, values in sorted(
            confirmed.values.items(), key=lambda each: tuning.objective.order(each[1])
        )
    ]
    page.paragraph(
        "The best of many trials owe part of their lead to their seeds: these and the defaults "
        "were trained again with common fresh seeds, in rounds that those left who were behind. "
        "The best trial of the last round was then trained beside the defaults with other seeds.",
        "note",
    )
    page.table(["settings", f"{metric} in the search", "in the race", "runs"], rows)


def _why_not_the_lowest(page: Page, tuning: TuningStudy) -> None:
    best = tuning.best_trial.number
    if best != tuning.ranked_trials[0].number:
        page.paragraph(
            f"The best one, trial {best}, was the best in the race: others "
            "were better in the search only.",
            "note",
        )


def making(tuning: TuningStudy) -> list[tuple[str, str]]:
    """How the study's trials were trained, versions aside."""
    trials = tuning.study.get_trials(deepcopy=False)
    states = [trial.state for trial in trials]
    diverged = sum(bool(trial.user_attrs.get("diverged")) for trial in trials)
    confirmed = tuning.confirmation
    return [
        ("task", f"{tuning.task!r}".strip("<>")),
        ("objective", f"{tuning.objective.name}, {tuning.objective.direction}d, last epoch"),
        (
            "trials",
            f"{states.count(TrialState.COMPLETE)} complete, "
            f"{states.count(TrialState.PRUNED) - diverged} pruned, {diverged} diverged, "
            f"{states.count(TrialState.FAIL)} failed",
        ),
        ("seeds of each trial", str(tuning.seeds_per_trial)),
        ("folds", str(tuning.folds or "none, judged on the validation split")),
        ("trained by", _engine(tuning)),
        ("race", f"of {len(confirmed.values)} settings" if confirmed else "no"),
        ("seed", str(tuning.seed)),
        ("study", tuning.study.study_name),
    ]


def _engine(tuning: TuningStudy) -> str:
    """What trained the trials of the study's last run."""
    summary = tuning.study.user_attrs.get(ENGINE)
    if summary is None:
        return "not recorded"
    text = f"the {summary['engine']} engine in {summary['seconds']:.1f} s"
    if "width" in summary:
        text += f", {summary['width']} rows, {summary['form']}"
    return f"{text} ({summary['reason']})" if "reason" in summary else text


def _as_good(tuning: TuningStudy) -> list[list[str]]:
    """By hyperparameter, the range in which it does as well as the best one."""
    if len(tuning.finished_trials) < _ENOUGH_TRIALS:
        return []
    rows = []
    for label, ends in Smoothed(tuning).region(tuning.best_trial.params).items():
        key = tuning.space.owner(label)[1]
        low, high = sorted(1 - end for end in ends) if key != field_name(key) else ends
        rows.append([field_name(key), f"{number(low)} … {number(high)}"])
    return rows


def _range(tuning: TuningStudy, name: str) -> str:
    """What was searched, in terms of the hyperparameter itself."""
    space = {**tuning.space.spaces[tuning.found_configuration.name], **tuning.space.recipe}
    if isinstance(decay := space.get(complement(name)), FloatDistribution):
        return f"{number(1 - decay.high)} … {number(1 - decay.low)}"
    match space.get(name):
        case FloatDistribution() | IntDistribution() as found:
            return f"{number(found.low)} … {number(found.high)}"
        case CategoricalDistribution() as found:
            return ", ".join(map(str, found.choices))
        case _:
            own = name in tuning.space.fixed[tuning.found_configuration.name]
            leader = tuning.found_configuration.template.leaders.get(name)
            return f"as {leader}" if leader and not own else "fixed"


def mean_and_spread(runs: Runs, metric: str, digits: int = 4) -> str:
    """`0.0485 ± 0.0061`, and how many runs diverged where some did."""
    mean, spread, diverged = runs.mean(metric), runs.spread(metric), runs.diverged(metric)
    if math.isnan(mean):
        return "diverged"
    shown = plus_minus(mean, spread, digits)
    return f"{shown} ({diverged} of {len(runs.scores[metric])} diverged)" if diverged else shown


def over_seeds(count: int) -> str:
    """What such numbers are taken over."""
    return "one seed" if count == 1 else f"mean ± standard deviation over {count} seeds"
