"""SIGKILL at every point at which a run's files change; see `killed`."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.results.runs.processes import ROOT


@pytest.mark.endurance
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_run_killed_anywhere_goes_on_as_if_nothing_had_been() -> None:
    # In memory where there is such a folder: what SIGKILL does is the same, and fsync is free.
    memory = Path("/dev/shm")  # noqa: S108 - a folder of its own is made in it
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as base:
        done = subprocess.run(
            [sys.executable, "-m", "tests.results.runs.killed", base],
            capture_output=True,
            text=True,
            cwd=ROOT,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    tried = json.loads(done.stdout.splitlines()[-1])
    assert tried["wrong"] == 0, done.stdout
    # A shard is four files and lines written; each is created, half written, written, named.
    assert tried["tried"] > 90
