"""A small finished run, made once."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from bandlimiter.cli.main import app
from tests.cli.small_commands import COMMANDS


@pytest.fixture(scope="session")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run that nobody changes."""
    folder = tmp_path_factory.mktemp("evaluated") / "run"
    command = [*COMMANDS["evaluate"][:-1], str(folder), "--save-adversarial"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.stderr
    return folder
