"""What scripts/simulate_scale.py says of devices that share something, where it can be known."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
from simulate_scale import Shared, share

pytestmark = pytest.mark.once


def test_devices_that_wait_for_nobody_always_train():
    assert share(Shared("free", 1e-9), 100, 10.0, faults=False) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("devices", [1000, 4000])
def test_what_serves_one_after_another_gives_each_its_turn(devices):
    served = share(Shared("one", 0.01), devices, 1.0, faults=False)
    assert served == pytest.approx(1 / (0.01 * devices), rel=0.1)


def test_what_a_device_does_by_itself_grows_with_what_others_write():
    alone = Shared("own", 1e-9, own=0.25)
    assert share(alone, 50, 1.0, faults=False) == pytest.approx(0.8, abs=0.02)
    reading = Shared("reads", 1e-9, own_each=0.01)
    assert share(reading, 101, 1.0, faults=False) == pytest.approx(0.5, abs=0.02)


def test_the_dead_lose_what_they_were_training_and_the_slow_are_busy_as_others():
    faulty = share(Shared("free", 1e-9), 2000, 60.0)
    assert 0.9 < faulty < share(Shared("free", 1e-9), 2000, 60.0, faults=False)
