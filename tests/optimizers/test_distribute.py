"""Training on two devices. TensorFlow divides its CPU in two before it starts, or never: so
`two_devices.py` holds the tests, and runs in a process of its own."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.only("tensorflow")  # which alone has a MirroredStrategy
def test_two_mirrored_devices_train_as_one():
    tests = Path(__file__).with_name("two_devices.py")
    result = subprocess.run(
        [sys.executable, "-m", "pytest", str(tests), "-q", "-p", "no:cacheprovider"],
        capture_output=True,
        text=True,
        cwd=tests.parents[2],
    )
    assert result.returncode == 0, result.stdout[-20_000:] + result.stderr[-2_000:]
    assert " passed" in result.stdout
