"""Studies on a host that is made of so many devices, which is said before it is first used."""

import json
import os
import sys


def make_devices(count: int) -> None:
    os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={count}"
    if os.environ["KERAS_BACKEND"] == "tensorflow":
        import tensorflow as tf

        (host,) = tf.config.list_physical_devices("CPU")
        parts = [tf.config.LogicalDeviceConfiguration() for _ in range(count)]
        tf.config.set_logical_device_configuration(host, parts)


def studies() -> dict:
    """What trials of several studies reach, and the devices that their rows were on."""
    from unittest import mock

    import keras
    import numpy as np

    from keras_optim_lab.tuning.engines import population_engine
    from tests.studies import small_task
    from tests.tuning.populations import search

    class Watched(population_engine.Population):
        def finish(self, *report):
            leaves = keras.tree.flatten(self._state)
            devices = {str(leaf.device) for leaf in leaves}
            assert len(devices) == 1
            used.update(devices)
            return super().finish(*report)

    class Changing(keras.utils.PyDataset):
        epoch = 0

        def __len__(self):
            return 3

        def __getitem__(self, index):
            x, y = small_task().train
            taken = np.arange(8) + index + self.epoch
            return x[taken], y[taken]

        def on_epoch_end(self):
            self.epoch += 1

    found = {}
    for name, form, changes, options in (
        ("folds", None, {}, {"folds": 2}),
        ("pipeline", "vectorized", {"train": Changing(workers=0)}, {}),
        ("parked", None, {"epochs": 4}, {"pruner": "freeze-thaw"}),
    ):
        used: set[str] = set()
        engine = population_engine.PopulationEngine(12, form)
        with mock.patch.object(population_engine, "Population", Watched):
            result = search(engine, small_task(**changes), trials=9, **options)
        values = [list(trial.intermediate_values.values()) for trial in result.study.trials]
        found[name] = {"values": values, "devices": sorted(used), "summary": engine.summary}
    return found


if __name__ == "__main__":
    make_devices(int(sys.argv[1]))
    found = studies()
    with open(sys.argv[2], "w") as file:
        json.dump(found, file)
