"""Rows are spread over several devices, and each is trained as on one."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from keras_optim_lab.tuning.engines.devices import devices
from keras_optim_lab.tuning.engines.memory import Need
from keras_optim_lab.tuning.engines.width import chosen_width
from tests.tuning.on_devices import studies


@pytest.mark.only("jax", "tensorflow")  # whose host can be made of several
def test_rows_on_three_devices_are_those_of_one(tmp_path):
    file = tmp_path / "three.json"
    command = [sys.executable, "-m", "tests.tuning.on_devices", "3", str(file)]
    subprocess.run(command, check=True, cwd=Path(__file__).parents[2])
    one = studies()
    for name, found in json.loads(file.read_text()).items():
        assert (len(found["devices"]), len(one[name]["devices"])) == (3, 1)
        pairs = [*zip(found["values"], one[name]["values"], strict=True)]
        assert len(pairs) == 9
        for curve, expected in pairs:
            trained = min(len(curve), len(expected))  # which are parked depends on who is beside
            assert trained == len(expected) or name == "parked"
            np.testing.assert_allclose(curve[:trained], expected[:trained], rtol=1e-5)


def test_one_device_is_left_to_keras():
    assert devices() == [None]


@pytest.mark.once
@pytest.mark.parametrize("vectorized", [True, False])
def test_every_device_has_memory_for_its_share_of_the_rows(monkeypatch, vectorized):
    candidates = SimpleNamespace(runs=1, left=1000, at_once=None)
    need = Need(data=100, row=10, step=1)
    fits = 100 + 8 * 10 + (8 if vectorized else 1)
    for module in ("memory", "width"):
        path = f"keras_optim_lab.tuning.engines.{module}.free_memory"
        monkeypatch.setattr(path, lambda: fits)

    def width(wanted):
        return chosen_width(wanted, candidates, need, 10, 3, vectorized, devices=3)

    assert width(24) == 24
    assert width("auto") == 24
    with pytest.raises(MemoryError, match="widest that fits is population=24"):
        width(25)
