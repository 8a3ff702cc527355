"""Actors of Ray train what this process does, whoever of them dies."""

import sys

import psutil
import pytest

from keras_optim_lab.tuning import executors
from tests.studies import small_task
from tests.tuning.test_executors import TRIALS, curves, study

pytestmark = pytest.mark.once


@pytest.fixture(scope="module")
def ray():
    import ray

    executors.Ray(1).close()  # begins a cluster of its own
    yield ray
    ray.shutdown()


def test_a_study_is_the_same_with_any_number_of_actors(ray):
    alone = curves(study())
    for actors in (1, 2):
        with executors.Ray(actors) as executor:
            result = study(executor)
        assert curves(result) == alone
        assert result.study.user_attrs["engine"]["workers"] == actors


def test_what_a_killed_actor_was_training_is_trained_again_and_told_once(ray):
    told = []
    task = small_task(epochs=20)
    with executors.Ray(1) as executor:

        def kill(_, trial):
            if not told:
                ray.kill(executor._workers[0].link._actor)
            told.append(trial.number)

        result = study(executor, task=task, callbacks=[kill])
    assert sorted(told) == list(range(TRIALS))
    assert curves(result) == curves(study(task=task))


def test_wrong_addresses_are_said_at_once(ray, monkeypatch):
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    for address, error, words in (
        ("nowhere", ValueError, "address must be"),
        ("127.0.0.1:1", ConnectionError, "nobody answers"),
        ("ray://127.0.0.1:1", ConnectionError, "nobody answers"),
    ):
        with pytest.raises(error, match=words):
            executors.Ray(2, address=address)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ImportError, match=r"keras-optim-lab\[ray\]"):
        executors.Ray(2)


def test_the_cluster_of_its_own_listens_to_this_machine_alone(ray):
    (node,) = ray.nodes()
    assert node["NodeManagerAddress"] == "127.0.0.1"
    rays = [p for p in psutil.process_iter() if "ray" in p.name() or "gcs" in p.name()]
    listens = {
        connection.laddr.ip
        for process in rays
        for connection in process.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    }
    assert rays
    assert listens
    assert all(ip.endswith("127.0.0.1") for ip in listens)
