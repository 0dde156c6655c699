"""Real processes for tests of runs: one that holds a run, and one that does as told and ends."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[3]


def python(code: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run some code in a process of its own, to its end."""
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
        timeout=120,
    )


@contextmanager
def holding(folder: Path, then: str = "sys.stdin.read()") -> Iterator[subprocess.Popen[str]]:
    """Have another process open the run and put its first shard; yield when it has."""
    code = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from bandlimiter.results.runs import RunStore\n"
        "from tests.results.runs.material import IDENTITY, PLAN, SETTINGS, harvest_of\n"
        "store = RunStore(Path(sys.argv[1]), IDENTITY, PLAN, settings=SETTINGS)\n"
        "if store.missing() == PLAN:\n"
        "    store.put(PLAN[0], harvest_of(PLAN[0]))\n"
        f"print('open', flush=True)\n{then}\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "open\n"
            yield process
        finally:
            process.kill()
