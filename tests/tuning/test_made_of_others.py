"""Wrappers and groups are tuned as any other optimizer, by the names of all their numbers."""

import json

import optuna
import pytest

import keras_optim_lab as kol
from keras_optim_lab.reports import report
from keras_optim_lab.reports.html import Page
from keras_optim_lab.tuner import TuningResult
from keras_optim_lab.tuning.engines.session import fresh_session
from keras_optim_lab.tuning.spaces.space import SearchSpace
from tests.studies import Formula, small_model, small_task
from tests.tuning.populations import assert_same_as_fit


def grouped():
    rules = {"dense_1/": {"weight_decay": 0.0}, "bias": kol.Momentum(0.05)}
    return kol.groups(rules, default=kol.AdamW(0.01))


def test_the_rows_of_a_population_are_the_trainings_of_fit():
    """All kinds in one program: compiling takes most of the time."""
    rules = {"dense_1/": {"weight_decay": 0.0}, "bias": kol.Cautious(kol.Momentum(0.05))}
    optimizer = kol.Lookahead(kol.groups(rules, default=kol.AdamW(0.01)), steps=2)
    space = {"schedule": "cosine", "group_1.beta_1": 0.8}
    summary = assert_same_as_fit(small_task(epochs=1), optimizer, trials=2, space=space)
    assert (summary["engine"], summary["programs"]) == ("population", 1)


@pytest.mark.once("torch")
@pytest.mark.parametrize("kind", ["lookahead(adam)", "cautious(momentum)", "groups", "layerwise"])
def test_the_rows_of_each_kind_are_the_trainings_of_fit(kind):
    own = {"groups": grouped, "layerwise": lambda: kol.layerwise(kol.Lion())}
    optimizer = own[kind]() if kind in own else kind
    summary = assert_same_as_fit(small_task(epochs=1), optimizer, trials=2)
    assert summary["engine"] == "population"


def half_frozen():
    model = small_model()
    model.layers[0].trainable = False
    return model


@pytest.mark.once("torch")
def test_the_rows_of_groups_that_wait_for_a_frozen_layer_are_the_trainings_of_fit():
    task = small_task(epochs=1, model=half_frozen)
    fresh_session()  # as before a trial: the names that Keras gives to layers count from here
    frozen = task.build_model(0).non_trainable_variables[0].path.rpartition("/")[0]
    waiting = kol.groups({f"{frozen}/": kol.Momentum(0.05)}, default=kol.Adam(0.01))
    summary = assert_same_as_fit(task, waiting, trials=2)
    assert summary["engine"] == "population"


@pytest.mark.once("torch")
def test_what_keras_does_around_a_step_is_done_in_rows():
    clipped = kol.Cautious("adam", clipnorm=0.1)
    summary = assert_same_as_fit(small_task(epochs=1), clipped, trials=2)
    assert summary["engine"] == "population"


@pytest.mark.once
def test_every_number_with_a_range_is_searched_by_its_name_in_the_whole():
    space = kol.search_space(kol.Lookahead(kol.Momentum(), steps=3))
    assert list(space) == ["learning_rate", "1-beta", "lookahead.share"]
    assert list(kol.search_space("cautious(lookahead(momentum))")) == list(space)
    several = kol.search_space([kol.layerwise(kol.Momentum()), "adam"])
    assert "layerwise_decay(momentum).layerwise_decay.decay" in several
    assert "adam.1-beta_1" in several


@pytest.mark.once
def test_a_group_of_the_class_of_the_default_follows_it_in_what_they_share():
    space = SearchSpace(grouped(), {"group_1.epsilon": 1e-6, "amsgrad": True})
    searched = ["learning_rate", "1-beta_1", "1-beta_2", "epsilon", "weight_decay"]
    others = ["group_2.learning_rate", "group_2.1-beta"]
    assert list(space.distributions) == searched + others
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(0))
    optimizer = space.suggest(study.ask()).optimizer(steps=None)
    one, two = optimizer.rules.values()
    default = optimizer.default
    assert (one.beta_1, one.beta_2, one.amsgrad) == (default.beta_1, default.beta_2, True)
    assert (one.epsilon, one.weight_decay) == (1e-6, 0.0)
    assert default.beta_1 != 0.9
    assert isinstance(two, kol.Momentum)
    assert (optimizer.reference, float(one.learning_rate)) == (0.01, pytest.approx(0.01))


@pytest.mark.once
@pytest.mark.usefixtures("by_formula")
@pytest.mark.parametrize("storage", [None, "sqlite:///study.db"])
def test_a_stored_study_is_loaded_and_continued(task, storage, in_empty_folder):
    optimizers = [kol.Lookahead(grouped(), steps=3), "adam"]
    made = kol.tune(
        task, optimizers, trials=2, confirm=0, name="mine", storage=storage, sampler="random"
    )
    loaded = TuningResult.load("mine", storage, task=task)
    assert repr(loaded.best_optimizer()) == repr(made.best_optimizer())
    assert repr(loaded.default_optimizer()) == repr(made.default_optimizer())
    loaded.run(3, engine=Formula())
    optimizers = [kol.Lookahead(grouped(), steps=3), "adam"]  # with other names, of their own
    again = kol.tune(
        task, optimizers, trials=4, confirm=0, name="mine", storage=storage, sampler="random"
    )
    assert len(again.finished_trials) == 4
    optimizers[0] = kol.Lookahead(grouped(), steps=2)
    with pytest.raises(ValueError, match=r"another space: .* steps=3, .* not .* steps=2, "):
        kol.tune(task, optimizers, trials=5, confirm=0, name="mine", storage=storage)


@pytest.mark.once
@pytest.mark.usefixtures("by_formula")
def test_the_report_shows_how_to_make_the_optimizer(task, tmp_path):
    result = kol.tune(task, grouped(), trials=3, confirm=0, space={"schedule": "cosine"})
    page = Page("settings")
    report.settings(page, result)
    text = page.write(tmp_path / "page.html").read_text()
    assert "from keras_optim_lab import AdamW, Groups, Momentum" in text
    assert "Groups(rules={" in text
    assert "as beta_1" in text


def chosen_here():
    def chosen(place):
        return True

    return chosen


def training():
    optimizer = kol.Adam()
    optimizer.build([])
    return optimizer


@pytest.mark.once
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: "lookahed(adam)", "Did you mean 'lookahead'"),
        (lambda: "groups(adam)", "'groups' goes around no other optimizer. Wrappers: layer"),
        (lambda: "lookahead(adm)", "Did you mean 'adam'"),
        (lambda: "lookahead", r"goes around others.*name both: \"lookahead\(adam\)\""),
        (lambda: ["adam", kol.Adam(0.1)], "`optimizer` names one twice"),
        (
            lambda: kol.Lookahead(kol.Adam(kol.schedules.InverseSquareRoot(0.1, 5))),
            r"`learning_rate` of lookahead\(adam\) is given by Inverse.*space=.*schedule",
        ),
        (training, "adam is in training already. Give a new one"),
        (
            lambda: kol.groups({"dense_7": "adam"}, default="adam"),
            "'dense_7' chooses no weight. The weights to be trained are: .*dense_1/kernel",
        ),
        (
            lambda: kol.groups({chosen_here(): "adam"}, default="adam"),
            "cannot be stored with the study.*register_keras_serializable",
        ),
    ],
)
def test_what_cannot_be_tuned_is_refused_before_anything_is_stored(
    task, make, message, in_empty_folder
):
    with pytest.raises(ValueError, match=f"(?s){message}"):
        kol.tune(task, make(), trials=1, confirm=0)
    assert list(in_empty_folder.iterdir()) == []


@pytest.mark.once
@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"lookahead.shar": 0.5}, "no hyperparameter 'lookahead.shar'. Did you mean 'lookahead.sh"),
        ({"momentum.beta": 0.5}, "speaks of 'momentum', which is not searched"),
        ({"lookahead.warmup": 0.1}, "belongs to the study, not to an optimizer. Write 'warmup'"),
        ({"lookahead.share": -1.0}, "`share` must be"),
    ],
)
def test_a_mistake_in_the_space_is_told(space, message):
    with pytest.raises(ValueError, match=message):
        SearchSpace(kol.Lookahead("adam"), space)


@pytest.mark.once
def test_the_description_of_a_space_is_plain_and_has_no_names_that_count_up():
    described = [SearchSpace(kol.Lookahead(kol.Adam())).describe() for _ in range(2)]
    assert json.loads(json.dumps(described[0])) == described[1]
