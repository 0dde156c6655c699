"""Executors by name, and the command's options."""

import sys

import pytest
import torch

from bandlimiter.cli import executor_options
from bandlimiter.errors import ConfigurationError, MissingExtraError
from bandlimiter.evaluation.executors import (
    InProcess,
    Processes,
    RayCluster,
    build_executor,
)


@pytest.fixture
def six_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bandlimiter.evaluation.executors.build._cores", lambda: 6)


@pytest.mark.usefixtures("six_cores")
@pytest.mark.parametrize(
    ("options", "executor"),
    [
        (("local", None, 3), InProcess(3)),
        (("local", 1, 3), InProcess(3)),
        (("local", 2), Processes(2, 3)),
        (("processes",), Processes(6, 1)),
        (("processes", 1), Processes(1, 6)),
        (("processes", 4), Processes(4, 1)),
        (("processes", None, 2), Processes(3, 2)),
        (("processes", 9), Processes(9, 1)),
        (("processes", 5, 5), Processes(5, 5)),
        (("local", None, 1, None, 0.0, ["cuda:0"]), Processes(1, 1, ("cuda:0",))),
        (("local", 4, 1, None, 0.0, ["cuda:0", "cuda:1"]), Processes(4, 1, ("cuda:0", "cuda:1"))),
    ],
)
def test_cores_are_shared_among_workers(options: tuple, executor: object) -> None:
    assert build_executor(*options) == executor
    *others, devices = (*options, *(None,) * (6 - len(options)))
    if len(options) < 6:
        assert executor_options.build(*options) == executor
    else:
        assert executor_options.build(*others, ",".join(devices)) == executor


def test_this_process_keeps_its_threads() -> None:
    assert build_executor() == InProcess() == InProcess(torch.get_num_threads())


@pytest.mark.usefixtures("six_cores")
def test_ray_by_name() -> None:
    pytest.importorskip("ray")
    assert build_executor("ray", 2, address="local") == RayCluster(2, 3)
    assert build_executor("ray", 2, None, "auto", 0.5) == RayCluster(2, 1, "auto", 0.5)
    with pytest.raises(ConfigurationError, match="number of workers"):
        build_executor("ray", address="auto")
    with pytest.raises(ConfigurationError, match="an address with ray, of a cluster, auto or loc"):
        build_executor("ray", 2)
    with pytest.raises(ConfigurationError, match="GPUs a worker"):
        build_executor("ray", address="local", num_gpus=-1.0)


def test_ray_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"bandlimiter\[ray\]"):
        build_executor("ray", address="local")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("threads",), "local, processes, ray, got 'threads'"),
        (("local", 0), "at least one of workers, got 0"),
        (("processes", 2, 0), "at least one of threads, got 0"),
        (("processes", 2, 1, "auto"), "with ray alone, got them with processes"),
        (("processes", 2, 1, None, 0.0, ["cuda"]), "devices like cuda:0,cuda:1, got 'cuda'"),
        (("local", None, None, None, 1.0), "with ray alone, got them with local"),
    ],
)
def test_refusals(options: tuple, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        build_executor(*options)
