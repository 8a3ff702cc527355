"""Rows whose step is no update by gradients alone: each is the training of its model by `fit`."""

import keras
import pytest

import keras_optim_lab as kol
from keras_optim_lab.optimizers.catalogue import names
from keras_optim_lab.tuning.engines.population_engine import PopulationEngine
from tests.studies import small_task
from tests.tuning.populations import BACKEND, FORMS, assert_same_as_fit, search

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
    space = {"sam.radius": (0.2, 0.5), "learning_rate": 0.05, "schedule": "linear"}
    summary = assert_same_as_fit(
        small_task(model=model), optimizer, width=3, form=form, rtol=1e-4, space=space
    )
    assert (summary["engine"], summary["form"]) == ("population", form)


# A training step of one's own, which Keras on JAX asks to be pure.


class OwnStep(keras.Model):
    """Halves the loss, and keeps the largest prediction."""

    def __init__(self, told: str = "largest"):
        super().__init__()
        self.told = told
        self.dense = layers.Dense(1)
        self.dropout = layers.Dropout(0.2)
        self.largest = keras.metrics.Mean("largest")

    def call(self, x, training=False):
        return self.dropout(self.dense(x), training=training)

    def train_step(self, state, data):
        import jax

        weights, others, slots, metrics = state
        x, y = data

        def half(weights, others):
            predicted, others = self.stateless_call(weights, others, x, training=True)
            return keras.ops.mean((predicted - y) ** 2) / 2, (predicted, others)

        differentiated = jax.value_and_grad(half, has_aux=True)
        (loss, (predicted, others)), gradients = differentiated(weights, others)
        weights, slots = self.optimizer.stateless_apply(slots, gradients, weights)
        pairs = [*zip(self.metrics_variables, metrics, strict=True)]
        with keras.StatelessScope(state_mapping=pairs) as scope:
            self.metrics[0].update_state(loss)
            self.largest.update_state(keras.ops.max(predicted))
            logs = {"loss": self.metrics[0].result(), self.told: self.largest.result()}
        metrics = [scope.get_current_value(variable) for variable in self.metrics_variables]
        return logs, (weights, others, slots, metrics)


@pytest.mark.only("jax")
@pytest.mark.parametrize("optimizer", ["adam", "adagrad"])
def test_rows_of_a_training_step_of_ones_own_are_those_of_fit(optimizer):
    task = small_task(model=OwnStep, metrics=[])
    space = {"schedule": "cosine", "batch_size": [5, 8]} if optimizer == "adam" else {}
    summary = assert_same_as_fit(task, optimizer, width=4, space=space)
    assert (summary["engine"], summary["form"]) == ("population", "looped")


@pytest.mark.only("jax")
def test_a_training_step_whose_logs_are_not_its_metrics_is_left_to_fit(caplog):
    odd = small_task(model=lambda: OwnStep("most"), metrics=[])
    for task, space in ((odd, {}), (small_task(model=OwnStep), {"clipnorm": (0.1, 1.0)})):
        engine = PopulationEngine(2)
        search(engine, task, trials=2, space=space)
        assert engine.summary["engine"] == "sequential"
    assert "its train_step returns loss, most, and its metrics hold" in caplog.text
    assert "its train_step leaves to Keras what is around a step" in caplog.text


def test_a_model_that_hands_out_gradients_only_is_refused_before_anything_is_trained():
    with pytest.raises(TypeError, match=r"keras\.Sequential\(\[\.\.\.\]\) to kol\.Sequential"):
        kol.tune(small_task(), "levenberg_marquardt", trials=1)
