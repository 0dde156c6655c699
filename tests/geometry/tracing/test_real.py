"""The packaged ResNet-20, held against itself by the tool that also does the large ones."""

import subprocess
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[3] / "tools" / "check_trace.py"


@pytest.mark.slow
def test_packaged_network():
    settings = "--model sample --data sample --image 3 --length 0.1 --checked 100"
    done = subprocess.run(
        [sys.executable, str(TOOL), *settings.split()], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "100 breakpoints checked: 0 where other units change" in done.stdout
