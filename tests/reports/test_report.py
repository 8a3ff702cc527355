"""The report says what the runs showed, in a sentence, tables and figures."""

import html
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution

import keras_optim_lab as kol
from keras_optim_lab.reports import study_figures as figures
from keras_optim_lab.reports.html import Page
from keras_optim_lab.reports.report import verdict, write_report
from keras_optim_lab.reports.writing import number
from keras_optim_lab.tuning.evaluation import Runs
from keras_optim_lab.tuning.study_result import Confirmation
from tests.reports.examples import (
    BETTER,
    EXAMPLES,
    INF,
    NAN,
    cosine_wins,
    judged,
    runs,
    study_of,
)
from tests.studies import small_task

pytestmark = pytest.mark.once

# The sentence.


@pytest.mark.parametrize(
    ("default", "tuned", "said"),
    [
        (runs(0.5, 0.6, 0.7), runs(0.2, 0.2, 0.2), "is better than its defaults"),
        (
            runs(0.5, 0.6, 0.7),
            runs(0.54, 0.55, 0.56),
            "is better, though within the spread of the seeds, than its defaults",
        ),
        (
            runs(0.5, 0.5, 0.5),
            runs(0.1, 0.4, 0.7),
            "is better, though within the spread of the seeds, than its defaults",
        ),
        (runs(0.5, 0.6, 0.7), runs(0.7, 0.8, 0.9), "is no better than its defaults"),
        (runs(0.5, 0.6, 0.7), runs(0.5, 0.6, 0.7), "is no better than its defaults"),
        (runs(0.5), runs(0.4), "is better, in a single run of each, than its defaults"),
        (runs(0.5), runs(0.6), "is no better than its defaults"),
        (runs(NAN, INF, NAN), runs(0.7, 0.8, 0.9), "is better than its defaults"),
        (runs(0.5, 0.6, 0.7), runs(0.1, 0.1, NAN), "is no better than its defaults"),
        (runs(NAN, NAN, NAN), runs(NAN, NAN, NAN), "is no better than its defaults"),
        (runs(0.5, 0.6, NAN), runs(0.2, 0.2, 0.2), "is better than its defaults"),
        (runs(0.5, 0.6, NAN), runs(0.9, 0.9, 0.9), "is steadier, though no better, than its"),
    ],
)
def test_the_verdict_says_what_the_runs_showed(default, tuned, said):
    assert f"Tuned Adam {said}" in verdict(study_of(trials=1), judged(default, tuned))


def test_of_a_maximized_objective_more_is_better():
    tuning = study_of(
        task=small_task(metrics=["accuracy"]),
        objective="val_accuracy",
        logs=lambda loss, epoch: {"val_accuracy": 1 / loss},
        trials=2,
    )
    low, high = (Runs("", {"loss": [1.0, 1.0], "accuracy": [a, a]}, [[a], [a]]) for a in (0.7, 0.9))
    assert "is better than its defaults" in verdict(tuning, judged(low, high))
    assert "is no better than its defaults" in verdict(tuning, judged(high, low))


def test_the_verdict_names_split_task_metric_and_both_means():
    assert verdict(study_of(trials=1), BETTER) == (
        "Tuned Adam is better than its defaults on the test split of small: loss 0.25 ± 0 against "
        "0.6 ± 0.1 (mean ± standard deviation over 3 seeds)."
    )


def test_the_verdict_counts_diverged_runs():
    said = verdict(study_of(trials=1), judged(runs(0.5, 0.6, NAN), runs(NAN, NAN, NAN)))
    assert "loss diverged against 0.55 ± 0.071 (1 of 3 diverged)" in said


def test_a_single_run_has_no_spread():
    said = verdict(study_of(trials=1), judged(runs(0.5), runs(0.25)))
    assert "loss 0.25 against 0.5 (one seed)" in said


# The page.


def write(tuning, evaluation=BETTER, path=Path("page.html")):
    return write_report(tuning, evaluation, path).read_text(encoding="utf-8")


def cells(page):
    """The tables of a page as rows of text."""
    rows = re.findall(r"<tr>(.*?)</tr>", page)
    return [re.findall(r"<t[dh]>(.*?)</t[dh]>", row) for row in rows]


def shown_code(page):
    """The call that makes the optimizer."""
    (code,) = re.findall(r"<pre>(.*?)</pre>", page, flags=re.DOTALL)
    assignment = next(line for line in code.splitlines() if line.startswith("optimizer = "))
    return html.unescape(assignment.removeprefix("optimizer = "))


def test_the_tables_hold_the_numbers():
    page = write(study_of(space={"beta_1": 0.9, "beta_2": (0.99, 0.9999)}))
    table = cells(page)
    assert ["settings", "loss", "mae"] in table
    assert ["default", "0.6 ± 0.1", "0.2 ± 0.1"] in table
    assert ["tuned", "0.25 ± 0", "0.125 ± 0"] in table
    rows = {row[0]: row[1:] for row in table}
    assert rows["beta_1"][:3] == ["0.9", "0.9", "fixed"]
    assert rows["beta_2"][0] == "0.999"
    assert rows["beta_2"][2] == "0.99 … 0.9999"
    assert rows["epsilon"] == [
        *("1e-08", rows["epsilon"][1]),
        *("1e-08 … 1", "Sivaprasad et al., 2020, arXiv:1910.11758"),
    ]


def test_the_settings_are_shown_as_code_that_runs():
    tuning = study_of(space={"amsgrad": True})
    page = write(tuning)
    made = eval(shown_code(page), {"kol": kol})
    best = tuning.best_params
    assert made.amsgrad is True
    for name in ("beta_1", "beta_2", "epsilon"):
        assert getattr(made, name) == pytest.approx(best[name], rel=1e-3)
    assert 1 - made.beta_2 == pytest.approx(1 - best["beta_2"], rel=1e-3)


SCHEDULED = {"schedule": ["constant", "linear", "cosine"], "warmup": (0.0, 0.25)}


def test_a_schedule_stands_in_the_settings_and_in_their_code(monkeypatch):
    tuning = study_of("adabound", 20, space=SCHEDULED, loss=cosine_wins)
    best = tuning.best_params
    page = write(tuning)
    rows = {row[0]: row[1:] for row in reversed(cells(page)) if row}
    assert rows["schedule"] == ["constant", "cosine", "constant, linear, cosine", ""]
    assert rows["warmup"] == ["0", f"{best['warmup']:.4g}", "0 … 0.25", ""]
    assert "2 epochs, 6 steps" in page
    made = eval(shown_code(page), {"kol": kol})
    for name in ("learning_rate", "final_learning_rate"):
        schedule = type(made).numeric[name].given(made)
        assert (schedule.steps, schedule.decay) == (6, "cosine")
        assert schedule.learning_rate == pytest.approx(best[name], rel=1e-3)
        assert schedule.warmup == pytest.approx(best["warmup"], rel=1e-3)


def test_a_fixed_schedule_is_shown_as_fixed():
    page = write(study_of(trials=2, space={"schedule": "linear"}))
    assert ["schedule", "constant", "linear", "fixed", ""] in cells(page)
    assert "warmup=0, decay=" in page


def test_a_searched_schedule_that_was_not_chosen_is_shown_and_needs_no_code():
    page = write(study_of(trials=2, space={"schedule": CategoricalDistribution(["constant"])}))
    assert ["schedule", "constant", "constant", "constant", ""] in cells(page)
    assert "WarmupDecay" not in page


def test_the_page_says_how_many_trials_went_which_way():
    losses = iter([1.0, NAN, 2.0, 3.0])
    page = write(study_of(trials=4, loss=lambda h: next(losses)))
    assert ["trials", "3 complete, 0 pruned, 1 diverged, 0 failed"] in cells(page)


def test_names_are_escaped():
    page = write(study_of(task=small_task(name="<b>bold</b>"), trials=1))
    assert "<b>" not in page
    assert "&lt;b&gt;bold" in page


def test_the_folder_of_the_page_is_made():
    path = Path("deep/folder/page.html")
    assert write_report(study_of(trials=1), BETTER, path) == path
    assert path.is_file()


@pytest.mark.parametrize("fault", ["rendering", "writing"])
def test_a_failed_write_keeps_the_earlier_report_and_leaves_nothing_behind(
    monkeypatch, in_empty_folder, fault
):
    tuning = study_of(trials=1)
    before = write(tuning)

    def full(*_, **__):
        raise OSError("No space left on device")

    if fault == "rendering":
        monkeypatch.setattr(Page, "render", full)
    else:
        monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        write(tuning)
    assert [path.name for path in in_empty_folder.iterdir()] == ["page.html"]
    assert Path("page.html").read_text(encoding="utf-8") == before


def test_a_study_without_a_complete_trial_has_no_report(in_empty_folder):
    tuning = study_of(loss=lambda h: NAN, trials=2)
    with pytest.raises(RuntimeError, match="no complete trial"):
        tuning.report()
    assert list(in_empty_folder.iterdir()) == []


def test_the_report_of_a_result_is_named_after_its_study(monkeypatch):
    tuning = study_of(trials=1)
    monkeypatch.setattr("keras_optim_lab.tuner.evaluation.evaluate", lambda *_: BETTER)
    assert tuning.report() == Path("reports/study.html")
    assert tuning.report("mine.html") == Path("mine.html")
    assert Path("mine.html").is_file()


# The figures.


def test_the_curves_show_every_run_and_its_mean():
    figure = figures.curves(study_of(trials=1), BETTER)
    means = {trace.name: trace.y for trace in figure.data if trace.name}
    assert len(figure.data) == 3 + 1 + 3 + 1
    assert means["default"] == pytest.approx((1.2, 0.6))
    assert means["tuned"] == pytest.approx((0.5, 0.25))


def test_the_mean_of_curves_of_unequal_length_ends_with_the_shortest():
    short = Runs("", {"loss": [1.0, 2.0]}, [[3.0, 2.0, 1.0], [4.0]])
    figure = figures.curves(study_of(trials=1), judged(short, short))
    assert [len(trace.x) for trace in figure.data[:3]] == [3, 1, 1]
    assert figure.data[2].y == (3.5,)


def test_slices_show_every_complete_trial_over_each_searched_hyperparameter():
    tuning = study_of()
    drawn = figures.slices(tuning)
    names = [figure.layout.xaxis.title.text for figure in drawn]
    assert names == ["learning_rate", "1-beta_1", "1-beta_2", "epsilon"]
    for name, figure in zip(names, drawn, strict=True):
        trials, best = figure.data
        assert list(trials.x) == [trial.params[name] for trial in tuning.study.trials]
        assert list(trials.y) == [trial.value for trial in tuning.study.trials]
        assert (best.x[0], best.y[0]) == (tuning.best_trial.params[name], tuning.best_trial.value)
        assert figure.layout.xaxis.type == "log"


def test_the_slice_of_a_schedule_is_over_words_in_the_order_of_the_space():
    tuning = study_of("gradient_descent", 20, space=SCHEDULED, loss=cosine_wins)
    _, schedule, warmup = figures.slices(tuning)
    axis = schedule.layout.xaxis
    assert (axis.title.text, axis.type) == ("schedule", "category")
    assert axis.categoryarray == ("constant", "linear", "cosine")
    assert schedule.data[1].x == ("cosine",)
    assert "%{x}" in schedule.data[0].hovertemplate, "a word has no digits"
    assert (warmup.layout.xaxis.title.text, warmup.layout.xaxis.type) == ("warmup", None)
    assert "%{x:.4g}" in warmup.data[0].hovertemplate


def test_importances_are_those_of_deep_trees_and_cost_no_more_the_more_trials(monkeypatch):
    deep = optuna.importance.FanovaImportanceEvaluator
    forests = []

    class Few(deep):
        def __init__(self, **arguments):
            super().__init__(**arguments, n_trees=8)
            forests.append(self._evaluator._forest)

    monkeypatch.setattr(optuna.importance, "FanovaImportanceEvaluator", Few)
    tuning = study_of("momentum", trials=230)
    (bars,) = figures.importances(tuning).data
    evaluator = deep(seed=0, n_trees=8)
    expected = optuna.importance.get_param_importances(tuning.study, evaluator=evaluator)
    assert dict(zip(bars.y, bars.x, strict=True)) == pytest.approx(expected, abs=0.01)
    assert max(tree.get_n_leaves() for tree in forests[0].estimators_) <= 2**7


def test_whole_numbers_are_written_whole():
    assert [*map(number, (65536, 20, True, 65536.0, 0.99912))] == [
        *("65536", "20", "True", "6.554e+04", "0.99912")
    ]


def test_logarithmic_axes_have_a_few_plain_ticks():
    decades = figures.log_axis([1e-8, 1.0])
    assert (decades["dtick"], decades["exponentformat"]) == (2, "power")
    near = figures.log_axis([0.02, 0.5])
    assert {"0.02", "0.05", "0.1", "0.2", "0.5"} <= set(near["ticktext"])


@pytest.mark.parametrize("space", [None, {"batch_size": [24, 2, 8]}])
def test_the_line_of_the_best_trial_lies_in_front(space):
    """Optuna sorts the lines by choices among numbers."""
    tuning = study_of(space=space)
    figure = figures.parallel_coordinates(tuning)
    assert len(figure.data) == 8
    front = figure.data[-1]
    assert front.line.color == figures.TUNED_COLOR
    assert front.y[0] == min(line.y[0] for line in figure.data)


def test_parallel_coordinates_are_logarithmic_where_losses_span_decades():
    losses = iter([0.01, 0.1, 10.0])
    figure = figures.parallel_coordinates(
        study_of(trials=3, logs=lambda *_: {"val_loss": next(losses)}, task=small_task(epochs=1))
    )
    assert sorted(line.y[0] for line in figure.data) == pytest.approx([0, 1 / 3, 1])
    ticks = {each.text: each.y for each in figure.layout.annotations if each.x == 0}
    assert ticks["1"] == pytest.approx(2 / 3)


def test_confirmed_trials_are_listed_and_say_why_the_best_is_not_the_lowest():
    tuning = study_of()
    assert "fresh seeds" not in write(tuning).partition("How this was made")[0]
    first, second, *_ = tuning.ranked_trials
    names = [f"trial {trial.number}" for trial in (first, second)]
    raced = {names[0]: [3.0, 5.0], names[1]: [2.0] * 4, "defaults": [2.0, 2.2, 2.0, 2.2]}
    race = Confirmation(2, raced, second.number, "adam", [2.0, 2.2, 2.0, 2.2], [1.0, 1.3, 1.0, 1.1])
    tuning.keep_confirmation(race, len(tuning.finished_trials))
    page = write(tuning)
    table = cells(page)
    assert [names[0], f"{first.value:.4g}", "4 ± 1.4", "2"] in table
    assert [f"{names[1]}, the best", f"{second.value:.4g}", "2 ± 0", "4"] in table
    assert ["defaults", "", "2.1 ± 0.12", "4"] in table
    assert page.count(f"The best one, trial {second.number}, was the best in the race") == 2
    assert "Tuned Adam is better: val_loss 1.1 against 2.1 by default" in page
    tuning.keep_confirmation(replace(race, tuned=race.default), len(tuning.finished_trials))
    page = write(tuning)
    assert "Tuned Adam is no better: keep the defaults" in page
    assert "optimizer = kol.Adam(learning_rate=0.001, beta_1=0.9" in page


def test_of_many_trials_the_best_the_records_and_others_evenly_are_drawn(monkeypatch):
    tuning = study_of(trials=40)
    assert "are drawn here" not in write(tuning)
    monkeypatch.setattr(figures, "MOST", 16)
    everyone = tuning.study.get_trials(deepcopy=False)
    points, line = figures.history(tuning).data
    assert len(points.x) == 16
    assert {trial.number for trial in tuning.ranked_trials[:4]} < set(points.x)
    lowest = np.minimum.accumulate([trial.value for trial in everyone])
    assert list(line.y[:-1]) == sorted(set(lowest), reverse=True)
    assert set(line.x[:-1]) <= set(points.x)
    assert line.x[-1] == everyone[-1].number
    assert max(np.diff([0, *points.x, 39])) < 9  # and no stretch is left out
    for figure in figures.slices(tuning):
        assert len(figure.data[0].x) == 16
    assert len(figures.parallel_coordinates(tuning).data) == 16
    assert figures.importances(tuning).data
    assert "Of 40 complete trials 16 are drawn here and below" in write(tuning)


def test_the_figures_of_several_optimizers_are_about_the_best_one():
    tuning = study_of(["momentum", "adam"], trials=12)
    best = tuning.best_name
    own = [t for t in tuning.study.trials if t.params["optimizer"] == best]
    assert 0 < len(own) < 12
    for figure in figures.slices(tuning):
        assert figure.layout.xaxis.title.text.startswith(f"{best}.")
        assert len(figure.data[0].x) == len(own)
    boxes = {box.name: len(box.y) for box in figures.by_optimizer(tuning).data}
    assert boxes == {best: len(own), ({"momentum", "adam"} - {best}).pop(): 12 - len(own)}


def test_the_figures_of_a_report_tell_the_log_of_no_study_that_is_not_the_users(caplog):
    tuning = study_of(["momentum", "adam"], trials=12)
    optuna.logging.enable_propagation()
    caplog.clear()
    write(tuning)
    optuna.logging.disable_propagation()
    assert caplog.messages == []


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_page_has_every_figure_that_its_study_can_fill(name):
    make, evaluation, figure_count = EXAMPLES[name]
    assert write(make(), evaluation).count('class="plotly-graph-div"') == figure_count
