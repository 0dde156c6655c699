"""A connection to Ray: the caller's own, a cluster's, or one of this machine, closed to others."""

import importlib
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from threading import current_thread, main_thread
from typing import Any

from bandlimiter.errors import ConfigurationError, MissingExtraError

_LOOPBACK = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"


def import_ray() -> Any:
    """Return the module.

    Raises
    ------
    MissingExtraError
        Where it is not installed.
    """
    try:
        return importlib.import_module("ray")
    except ImportError as error:
        raise MissingExtraError(
            "expected ray; install it with pip install 'bandlimiter[ray]'"
        ) from error


@contextmanager
def ray_session(address: str | None, cpus: int) -> Iterator[Any]:
    """Yield Ray, connected; disconnect, and end what was started here.

    Meanwhile what is printed goes to stderr: Ray reports deaths of workers on stdout.

    Parameters
    ----------
    address
        A cluster's, or ``auto``. None: the connection that this process has already; else Ray is
        started on this machine, listening on 127.0.0.1 alone, without reports of usage.
    cpus
        How many it may give away, where it is started here.

    Raises
    ------
    ConfigurationError
        If there is no cluster, or if an address is given beside a connection.
    MissingExtraError
        If Ray is not installed.
    """
    ray = import_ray()
    with redirect_stdout(sys.stderr):
        if not ray.is_initialized():
            with _connected(ray, address, cpus):
                yield ray
        elif address is None:
            yield ray
        else:
            raise ConfigurationError(
                f"expected no address where Ray is connected already, got {address!r}"
            )


@contextmanager
def _connected(ray: Any, address: str | None, cpus: int) -> Iterator[None]:
    handler = signal.getsignal(signal.SIGTERM)
    try:
        _connect(ray, address, cpus)
        yield
    finally:
        ray.shutdown()
        if current_thread() is main_thread():
            signal.signal(signal.SIGTERM, handler)  # Ray has put its own there


def _connect(ray: Any, address: str | None, cpus: int) -> None:
    options = {"log_to_driver": False, "logging_level": "ERROR"}
    if address is not None:
        try:
            ray.init(address=address, **options)
        except ConnectionError as error:
            raise ConfigurationError(
                f"expected a Ray cluster at {address}, got none: {' '.join(str(error).split())}"
            ) from error
        return
    with _closed_to_others():
        ray.init(address="local", num_cpus=cpus, include_dashboard=False, **options)
    found = ray.util.get_node_ip_address()
    if found not in ("127.0.0.1", "::1"):
        raise ConfigurationError(
            f"expected Ray to listen on 127.0.0.1, got {found}; "
            "start it yourself, and give its address"
        )


@contextmanager
def _closed_to_others() -> Iterator[None]:
    """Make Ray listen on loopback, as it does on Windows and macOS.

    Its ``_node_ip_address="127.0.0.1"`` is replaced by an outward address, and every server then
    listens to all. The environment reaches Ray's processes, the constant this one.
    """
    constants: Any = importlib.import_module("ray._private.ray_constants")
    ours = {_LOOPBACK: "0", "RAY_USAGE_STATS_ENABLED": "0"}
    before = {name: os.environ.get(name) for name in ours}
    os.environ.update(ours)
    cluster, constants.ENABLE_RAY_CLUSTER = constants.ENABLE_RAY_CLUSTER, False
    try:
        yield
    finally:
        constants.ENABLE_RAY_CLUSTER = cluster
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
