import importlib
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[3] / "tools" / "certificates"


@pytest.fixture
def tool(monkeypatch):
    """Import one of the scripts that check certificates, by name."""
    monkeypatch.syspath_prepend(str(TOOLS))
    return importlib.import_module
