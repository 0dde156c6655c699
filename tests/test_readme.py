"""The Python in README and docs runs as it stands."""

import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent


def run_blocks(page: str) -> dict[str, Any]:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), flags=re.DOTALL)
    assert blocks
    namespace: dict[str, Any] = {}
    for block in blocks:
        exec(block, namespace)  # noqa: S102  (our own pages)
    return namespace


def test_the_readme():
    found = run_blocks("README.md")
    assert found["evaluation"].tables["verdict"].startswith("The defence brings back")


def test_tracing():
    found = run_blocks("docs/tracing.md")
    assert len(found["trace"]) > 10
    assert len(found["plane"]) > 10
    assert 0 < found["spectrum"].coherence() < 1


def test_speed():
    found = run_blocks("docs/speed.md")
    assert found["fast"].agreement == 1
    assert found["answer"].samples.max() <= 91
    assert len(found["part"].labels) == 4


def test_adapters():
    pytest.importorskip("pyautoattack", reason="needs pip install pyautoattack")
    found = run_blocks("docs/adapters.md")
    assert (found["broken"] - found["images"]).abs().max() < 0.032
    assert found["success"].shape == (4,)
    assert abs(found["stepped"] - found["images"].numpy()).max() < 0.032
    assert found["certificate"].labels.shape == (1,)


def test_certificates():
    certificate = run_blocks("docs/certificates.md")["certificate"]
    assert certificate.radius.shape == certificate.labels.shape
