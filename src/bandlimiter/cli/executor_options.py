"""Options of who does the work, and what they make together."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from bandlimiter.evaluation.executors import Executor as Built

_PANEL = "Workers"

Executor = Annotated[
    str,
    typer.Option(
        help="local (this process, or as many as --workers says), processes, or ray (needs the "
        "extra ray and --address). Rows are the same with the same --threads.",
        rich_help_panel=_PANEL,
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        help="Processes or actors, each with models and images of its own. Default: one for "
        "local; else as many as there are cores for.",
        rich_help_panel=_PANEL,
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(
        help="Threads of each worker. Sums come in another order with another number, so a run "
        "goes on only with the same. Default: all cores, shared among workers.",
        rich_help_panel=_PANEL,
    ),
]
Address = Annotated[
    str | None,
    typer.Option(
        help="A Ray cluster's address, or auto; local starts Ray on this machine, where only "
        "whoever has its token is answered.",
        rich_help_panel=_PANEL,
    ),
]
GpusPerWorker = Annotated[
    float,
    typer.Option(
        "--gpus-per-worker",
        help="GPUs that each Ray worker asks for; may be a fraction.",
        rich_help_panel=_PANEL,
    ),
]
Devices = Annotated[
    str | None,
    typer.Option(
        help="GPUs of this machine, such as cuda:0,cuda:1: each worker sees one as its only GPU "
        "(with --device auto or cuda). "
        "Default: as --device says, which all share.",
        rich_help_panel=_PANEL,
    ),
]


def build(
    executor: str,
    workers: int | None = None,
    threads: int | None = None,
    address: str | None = None,
    gpus: float = 0.0,
    devices: str | None = None,
) -> "Built":
    """Return the executor that options ask for; see `build_executor`."""
    from bandlimiter.evaluation.executors import build_executor

    each = () if devices is None else tuple(devices.split(","))
    return build_executor(executor, workers, threads, address, gpus, each)
