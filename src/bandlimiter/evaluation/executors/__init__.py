"""Who does a run's work: this process, several, or Ray; the rows are the same."""

from bandlimiter.evaluation.executors.build import EXECUTORS, build_executor
from bandlimiter.evaluation.executors.in_process import InProcess
from bandlimiter.evaluation.executors.pool import Executor
from bandlimiter.evaluation.executors.processes import Processes
from bandlimiter.evaluation.executors.ray_cluster import RayCluster
from bandlimiter.evaluation.executors.supervisor import run_shards
from bandlimiter.evaluation.executors.worker import Reporter, Worker

__all__ = [
    "EXECUTORS",
    "Executor",
    "InProcess",
    "Processes",
    "RayCluster",
    "Reporter",
    "Worker",
    "build_executor",
    "run_shards",
]
