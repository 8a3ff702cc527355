"""Rows of optimizers that are handed the loss itself: each is the training of a `kol.Model`."""

import keras
import pytest

import keras_optim_lab as kol
from keras_optim_lab.optimizers.catalogue import names
from tests.studies import small_task
from tests.tuning.populations import BACKEND, FORMS, assert_same_as_fit

layers = keras.layers
CURVED = names(needs_objective=True)
RATE = {"learning_rate": (0.01, 1.0)}
DAMPING = {"damping": (1e-2, 1.0)}
SPACES = {
    "newton": DAMPING,
    "gauss_newton": DAMPING,
    "levenberg_marquardt": DAMPING,
    "lbfgs": RATE,
    "newton_cg": DAMPING,
    "adahessian": {},
    "sophia_h": {},
}
# Compiling takes most of the time: all are tried where nothing is, and elsewhere one of each kind.
TRIED = [*SPACES] if BACKEND == "torch" else ["gauss_newton", "sophia_h"]


def model() -> keras.Model:
    return kol.Sequential(
        [
            keras.Input((3,)),
            layers.Dense(4, activation="tanh"),
            layers.BatchNormalization(momentum=0.5),
            layers.Dense(1, kernel_constraint=keras.constraints.MaxNorm(1.0)),
        ]
    )


def test_every_method_is_tried_somewhere():
    assert [*SPACES] == [*CURVED]


@pytest.mark.parametrize("name", TRIED)
def test_rows_of_curvature_methods_are_those_of_fit(name):
    task = small_task(model=model)
    summary = assert_same_as_fit(task, name, width=3, rtol=1e-3, space=SPACES[name])
    assert (summary["engine"], summary["form"]) == ("population", "looped")


def test_schedules_and_exclusions_of_curvature_methods_are_those_of_fit():
    optimizer = kol.SophiaH(weight_decay=0.1)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    space = {"schedule": "cosine", "warmup": (0.1, 0.5), "weight_decay": (0.01, 1.0)}
    space["learning_rate"] = 1e-3  # larger ones let roundings grow
    assert_same_as_fit(small_task(model=model), optimizer, width=3, rtol=1e-3, space=space)


@pytest.mark.parametrize("form", FORMS)
def test_rows_of_sharpness_aware_steps_are_those_of_fit(form):
    optimizer = kol.SAM(kol.Adam(global_clipnorm=0.5), adaptive=form == "looped")
    space = {"sam.radius": (0.01, 0.5), "schedule": "linear"}
    summary = assert_same_as_fit(
        small_task(model=model), optimizer, width=3, form=form, rtol=1e-3, space=space
    )
    assert (summary["engine"], summary["form"]) == ("population", form)


def test_a_model_that_hands_out_gradients_only_is_refused_before_anything_is_trained():
    with pytest.raises(TypeError, match=r"keras\.Sequential\(\[\.\.\.\]\) to kol\.Sequential"):
        kol.tune(small_task(), "levenberg_marquardt", trials=1)
