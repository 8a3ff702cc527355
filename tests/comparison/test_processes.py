"""The processes of the backends end when they should, and say why they failed."""

import os
import sys

import keras
import numpy as np
import pytest

import keras_optim_lab as kol
from keras_optim_lab import optimizers
from keras_optim_lab.backend import installed
from keras_optim_lab.comparison import gradients, measuring, plan, recording
from keras_optim_lab.comparison.gradients import Question, Witness, answer, nudged
from keras_optim_lab.comparison.job import read_job, write_job
from keras_optim_lab.comparison.processes import run_on
from keras_optim_lab.comparison.recording import batches, flat_weights, fresh_model, record
from tests.comparison.examples import small_plan
from tests.studies import small_task

ACTIVE = keras.backend.backend()
OTHER = next(name for name in ("jax", "tensorflow") if name != ACTIVE)


@pytest.fixture
def python(monkeypatch, tmp_path):
    """Puts a shell script in the place of Python."""

    def stand_in(script):
        path = tmp_path / "python"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(path))

    return stand_in


def test_a_process_that_fails_is_told_with_its_backend_and_the_end_of_its_error(python, tmp_path):
    python("echo adam; echo first >&2; seq 20 >&2; echo 'ValueError: no such thing' >&2; exit 3")
    lines = []
    with pytest.raises(RuntimeError, match="PyTorch failed with exit code 3") as failed:
        run_on("torch", "recording", tmp_path, tmp_path, lines.append)
    assert str(failed.value).endswith("19\n20\nValueError: no such thing")
    assert "first" not in str(failed.value)
    assert lines == ["adam"]


def test_the_process_has_its_backend(python, tmp_path):
    python('echo "$KERAS_BACKEND" "$2"')
    lines = []
    run_on("torch", "recording", tmp_path, tmp_path, lines.append)
    assert lines == ["torch keras_optim_lab.comparison.recording"]


def test_ctrl_c_ends_the_process(python, tmp_path):
    python("echo $$; exec sleep 600")
    lines = []

    def interrupt(line):
        lines.append(line)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_on("jax", "recording", tmp_path, tmp_path, interrupt)
    with pytest.raises(ProcessLookupError):
        os.kill(int(lines[0]), 0)


# What happens in such a process.


@pytest.fixture
def job(tmp_path):
    write_job(small_plan(("gradient_descent",), learning_rate=0.01), tmp_path)
    return read_job(tmp_path)


def mean_squared_error(weights, x, y):
    """Of the small model."""
    w, b, v, c = (
        part.reshape(shape)
        for part, shape in zip(
            np.split(weights, [12, 16, 20]), [(3, 4), (4,), (4, 1), (1,)], strict=True
        )
    )
    return np.mean(np.square(np.tanh(x @ w + b) @ v + c - y))


def test_a_run_begins_at_the_initial_weights_and_has_the_loss_of_each_batch(job):
    received, task, initial = job
    (_, config), *_ = received.methods
    told, weights = record(received, task, config, initial)
    assert weights.shape == (4, 21)
    assert told["batch_sizes"] == [8, 8, 8, 8]
    start = np.concatenate([np.ravel(weight) for weight in initial])
    model = fresh_model(received, task, Witness(), initial)
    np.testing.assert_array_equal(flat_weights(model), start)
    before = np.stack([start, *weights[:-1]])
    data, moved = batches(task, received.seed), set()
    for at, after, loss in zip(before, weights, told["losses"], strict=True):
        batch = next(data)
        index = int(np.abs(after - at).argmax())
        tensor = int(np.searchsorted([12, 16, 20], index, side="right"))
        offset = [0, 12, 16, 20][tensor]
        found, whole = answer(model, Question(1, tensor, index - offset), at, batch)
        assert found["gradient"] == pytest.approx((at - after)[index] / 0.01, rel=1e-3)
        assert found["gradient"] == found["again"] == whole[index - offset]
        moved |= {nudge != found["gradient"] for nudge in found["nudged"]}
        assert found["nudged"] == pytest.approx([found["gradient"]] * 16, rel=1e-5)
        assert loss == pytest.approx(mean_squared_error(at, *batch), rel=1e-5)
    assert True in moved


def test_the_batches_are_those_of_the_task_epoch_after_epoch():
    task = small_task(batch_size=10)
    data = batches(task, seed=5)
    for epoch in range(2):
        parts = [next(data) for _ in range(task.steps)]
        assert [len(x) for x, _ in parts] == [10, 10, 4]
        x, _ = task.training_data(5, epoch)
        np.testing.assert_array_equal(np.concatenate([part[0] for part in parts]), x)


def test_a_nudge_moves_every_weight_by_one_unit_in_the_last_place():
    weights = np.array([1.5, -0.1, 0.0, 3e5], "float32")
    moved = nudged(weights, np.random.default_rng(0))
    assert moved.dtype == np.float32
    np.testing.assert_array_equal(np.abs(moved - weights) > 0, True)
    np.testing.assert_array_max_ulp(moved, weights, 1)


def test_the_witness_is_in_no_catalogue():
    assert "witness" not in optimizers.names()


# All of it.


def test_a_backend_whose_second_step_differs_is_found_and_examined(monkeypatch):
    """Both backends are this process, but the record of one has a number changed."""

    def run_here(backend, module, folder, output, on_line):
        {"recording": recording, "gradients": gradients}[module].main(folder, output)
        if (backend, module) == (OTHER, "recording"):
            weights = np.load(output / "0.npy")
            weights[1:, 13] += 0.01
            np.save(output / "0.npy", weights)

    monkeypatch.setattr(measuring, "run_on", run_here)
    monkeypatch.setattr(plan, "installed", lambda: [ACTIVE, OTHER])
    found = kol.compare_backends(
        small_task(), ["gradient_descent"], backends=[ACTIVE, OTHER], steps=[3]
    )
    run = found.runs["gradient_descent"]
    first = run.first_beyond
    assert (first.step, first.tensor, first.index) == (2, found.plan.tensors[1].name, (1,))
    assert first.backends == (ACTIVE, OTHER)
    assert (run.diagnosis.step, run.diagnosis.cause) == (2, "unknown")
    mine, others = run.diagnosis.gradients.values()
    assert mine == others
    assert found.runs["keras SGD"].agrees


@pytest.mark.once
def test_two_backends_agree_on_a_small_task(tmp_path):
    if OTHER not in installed():
        pytest.fail(f"This test needs a second backend: {OTHER} is not installed.")
    said = []
    found = kol.compare_backends(
        small_task(),
        ["gradient_descent"],
        backends=[ACTIVE, OTHER],
        steps=(1, 3),
        on_progress=said.append,
    )
    assert [*found.runs] == ["gradient_descent", "keras SGD"]
    for label, run in found.runs.items():
        assert [difference.step for difference in run.by_step] == [1, 2, 3]
        assert found.differences[label][3].relative < 1e-5
        assert set(run.times) == {ACTIVE, OTHER}
        assert run.losses[ACTIVE] == pytest.approx(run.losses[OTHER], rel=1e-5)
    assert found.versions[OTHER].keys() >= {"keras", OTHER}
    assert any("keras SGD" in line for line in said)
    assert found.report(tmp_path / "page.html").is_file()
