"""What is compared is settled, and what cannot be is refused, before any process is started."""

import json
import subprocess
from dataclasses import replace

import keras
import numpy as np
import pytest

import keras_optim_lab as kol
from keras_optim_lab import optimizers
from keras_optim_lab.comparison import plan as plans
from keras_optim_lab.comparison.built_in import built_in
from tests.comparison.examples import small_plan
from tests.optimizers.table import CASES
from tests.studies import small_model, small_task

pytestmark = pytest.mark.once


@pytest.fixture
def no_process(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("a process was started")

    monkeypatch.setattr(subprocess, "Popen", refuse)


class Pipeline(keras.utils.PyDataset):
    def __len__(self):
        return 1

    def __getitem__(self, index):
        return np.zeros((2, 3), "float32"), np.zeros((2, 1), "float32")


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"task": "digits-mpl"}, ValueError, "Did you mean 'digits-mlp'"),
        ({"task": 3}, TypeError, "Received: task=3"),
        ({"optimizers": ["adm"]}, ValueError, "Did you mean 'adam'"),
        ({"optimizers": []}, ValueError, r"optimizers=\[\] names none"),
        ({"optimizers": [kol.optimizers.Adam()]}, TypeError, "must be a name"),
        ({"backends": ["torhc"]}, ValueError, "Did you mean 'torch'"),
        ({"backends": []}, ValueError, r"backends=\[\] names none"),
        ({"steps": (0, 10)}, ValueError, "`steps` must be a whole number ≥ 1.*steps=0"),
        ({"steps": 10**12}, ValueError, "whole number ≤ 100,000.*steps=1000000000000"),
        ({"steps": (1.5,)}, TypeError, r"`steps` must be a whole number.*steps=1\.5"),
        ({"steps": ()}, TypeError, r"steps=\(\) must be whole numbers"),
        ({"steps": "10"}, TypeError, "steps='10' must be whole numbers"),
        ({"seed": -1}, ValueError, "`seed` must be a whole number ≥ 0.*seed=-1"),
        ({"seed": 0.5}, TypeError, "`seed` must be a whole number"),
        ({"learning_rate": -1.0}, ValueError, "learning_rate"),
        ({"task": small_task(model=lambda: small_model())}, TypeError, "imported"),
        ({"task": small_task(train=Pipeline())}, ValueError, "Pass its data as arrays"),
        ({"task": small_task(model=lambda trial: small_model())}, ValueError, "from a trial"),
    ],
)
def test_bad_input_is_refused_before_any_process_is_started(no_process, changes, error, message):
    arguments = {"task": small_task(), "optimizers": ["adam"], **changes}
    with pytest.raises(error, match=message):
        kol.compare_backends(**arguments)


def test_a_function_of_the_program_itself_cannot_be_handed_over(monkeypatch):
    monkeypatch.setattr(small_model, "__module__", "__main__")
    with pytest.raises(TypeError, match=r"small_model is defined in the program itself"):
        small_plan()


def test_all_optimizers_of_the_catalogue_are_compared_unless_some_are_named():
    ours = [method.label for method in small_plan(None).methods if method.ours]
    assert ours == optimizers.names()
    assert [m.label for m in small_plan("Adam").methods] == ["adam", "keras Adam"]


def test_labels_are_all_different():
    labels = [method.label for method in small_plan(None).methods]
    assert len(labels) == len(set(labels))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_the_built_in_is_the_one_that_the_table_of_optimizers_relates_it_to(case):
    theirs = built_in(case.make())
    related = {reference.name for reference in case.references if reference.package == "keras"}
    assert ({type(theirs).__name__} if theirs is not None else set()) == (
        related - {"Adam"} if case.name == "adamw" else related
    )


def test_ours_stay_ours_and_a_built_in_names_no_backend_on_the_way_to_another_process():
    for method in small_plan(None).methods:
        loaded = keras.saving.deserialize_keras_object(json.loads(json.dumps(method.config)))
        assert isinstance(loaded, kol.Optimizer) == method.ours
        assert "backend" not in method.config["module"]
        config = loaded.get_config()
        assert config["learning_rate"] == pytest.approx(method.config["config"]["learning_rate"])


def test_the_built_in_has_the_same_hyperparameters():
    adam = built_in(kol.optimizers.Adam(0.01, beta_1=0.8, beta_2=0.99, epsilon=1e-5, amsgrad=True))
    config = adam.get_config()
    assert config["learning_rate"] == pytest.approx(0.01)
    shown = [config[name] for name in ("beta_1", "beta_2", "epsilon", "amsgrad")]
    assert shown == [0.8, 0.99, 1e-5, True]
    momentum = built_in(kol.optimizers.Momentum(0.1, beta=0.75, nesterov=True)).get_config()
    assert momentum["learning_rate"] == pytest.approx(0.025)
    assert (momentum["momentum"], momentum["nesterov"]) == (0.75, True)


def test_a_learning_rate_holds_for_all():
    for method in small_plan(("adam", "nadam"), learning_rate=0.25).methods:
        assert method.config["config"]["learning_rate"] == 0.25


def test_a_backend_that_is_not_installed_is_named_and_left_out(monkeypatch):
    monkeypatch.setattr(plans, "installed", lambda: ["jax"])
    plan = small_plan()
    assert plan.backends == ("jax",)
    assert plan.missing == ("tensorflow", "torch")


def test_every_step_is_recorded_if_the_weights_are_small():
    assert plans.recorded_steps((1, 100), size=100_000) == tuple(range(1, 101))


def test_of_large_weights_as_many_steps_are_recorded_as_there_is_room_for():
    steps = plans.recorded_steps((1, 10, 100), size=2**27 // 20)
    assert {1, 10, 100} <= set(steps)
    assert steps[:5] == (1, 2, 3, 4, 5)
    assert len(steps) <= 23


def test_the_command_says_all_that_is_needed_to_run_the_same_again():
    plan = small_plan(seed=3, learning_rate=0.5)
    assert plan.command == (
        "kol.compare_backends(task, ['adam', 'radam'], "
        "backends=['jax', 'tensorflow', 'torch'], steps=[1, 4], seed=3, learning_rate=0.5)"
    )
    assert replace(plan, pickled=None).command == (
        "keras-optim-lab compare-backends --task small --optimizers adam,radam "
        "--backends jax,tensorflow,torch --steps 1,4 --seed 3 --learning-rate=0.5"
    )
