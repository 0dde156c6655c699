"""The Python in README and guide runs as it stands, page by page, and gives what the page says."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch

from bandlimiter import load_model
from bandlimiter.attacks import ATTACKS, build_attack
from tests.guide import files
from tests.guide.pages import PAGES, python_blocks

Found = Mapping[str, Any]


def readme(found: Found) -> None:
    assert found["evaluation"].tables["verdict"].startswith("The defence brings back")


def start(found: Found) -> None:
    answer = found["answer"]
    assert answer.probabilities.shape == (16, 10)
    assert answer.samples.tolist() == [91] * 16
    assert (found["plain"] == found["labels"]).double().mean() > 0.7  # 0.91 on all test images
    assert len(found["evaluation"].rows) == 8  # four images, smallest perturbation and budget


def concepts(found: Found) -> None:
    """The figures in the comments."""
    paper_radius = found["paper_radius"]
    assert paper_radius("cifar10", [0.229, 0.224, 0.225]) == 6
    assert round(paper_radius("imagenet", [0.502]), 1) == 13.5


def own_model(found: Found) -> None:
    # All three ways of saying the radius; 1.36 is rounded to three digits.
    lengths = [found[name].pixel_radius for name in ("defended", "same", "in_pixels")]
    assert lengths == pytest.approx([lengths[0]] * 3, rel=0.005)
    assert found["evaluation"].tables["clean"]["images"] == 4
    assert found["choice"].radius in (0, *(point.radius for point in found["choice"].curve))
    assert any("too few" in caveat for caveat in found["choice"].caveats)
    assert found["fast"].agreement == 1


def run_files(found: Found) -> None:
    run = found["run"]
    assert run.state == "done"
    assert run.finished == run.planned > 0
    assert len(run.rows()) == 8  # four images, smallest perturbation and budget


def tracing(found: Found) -> None:
    assert len(found["trace"]) > 10
    assert len(found["plane"]) > 10
    assert 0 < found["spectrum"].coherence() < 1


def speed(found: Found) -> None:
    assert found["fast"].agreement == 1
    assert found["answer"].samples.max() <= 91
    assert len(found["part"].labels) == 4


def adapters(found: Found) -> None:
    assert (found["broken"] - found["images"]).abs().max() < 0.032
    assert found["success"].shape == (4,)
    assert abs(found["stepped"] - found["images"].numpy()).max() < 0.032
    assert found["certificate"].labels.shape == (1,)


def certificates(found: Found) -> None:
    certificate = found["certificate"]
    assert certificate.labels.tolist() == found["images"].labels.tolist()
    assert (certificate.radius > 0).all()
    assert found["now"].certified.all()


def hardening(found: Found) -> None:
    again = load_model("hardened-in-python")
    assert again.card == found["hardened"].card
    assert again.card.sigma == found["defence"].sigma
    assert found["certificate"].samples.max() <= 300  # 200, and 100 that choose the label


def evaluate(found: Found) -> None:
    assert "are certified right" in found["both"].tables["verdict"]
    assert {row.budget for row in found["both"].rows} == {0, 0.25}


def attacks(found: Found) -> None:
    assert found["reached"].within.all()
    assert torch.equal(found["reached"].labels, (found["labels"] + 1) % 10)
    assert isinstance(build_attack("halfway", "fixed"), found["Halfway"])
    del ATTACKS["halfway"]  # other tests know it not


CHECKS: dict[str, Callable[[Found], None]] = {
    "README.md": readme,
    "docs/index.md": start,
    "docs/concepts.md": concepts,
    "docs/own_model.md": own_model,
    "docs/run_files.md": run_files,
    "docs/tracing.md": tracing,
    "docs/speed.md": speed,
    "docs/adapters.md": adapters,
    "docs/certificates.md": certificates,
    "docs/attacks.md": attacks,
    "docs/hardening.md": hardening,
    "docs/evaluate.md": evaluate,
}


@pytest.mark.slow
@pytest.mark.parametrize("page", CHECKS)
def test_the_python_of_a_page_runs(page, tmp_path, monkeypatch):
    if page == "docs/adapters.md":
        pytest.importorskip("pyautoattack", reason="needs pip install pyautoattack")
    files.write(tmp_path)
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {}
    for _, code in python_blocks(page):
        exec(code, namespace)  # noqa: S102  (our own pages)
    CHECKS[page](namespace)


def test_every_page_with_python_is_run():
    assert set(CHECKS) == {page for page in PAGES if python_blocks(page)}
