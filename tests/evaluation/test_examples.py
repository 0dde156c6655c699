"""What a run shows of some images is what its defence answers on them."""

from pathlib import Path

import pytest
import torch
from torch import nn

from bandlimiter import PostAverage, evaluate
from bandlimiter.results.runs import StoredRun


@pytest.mark.parametrize("vote", ["softmax", "logits", "majority", "weighted"])
@pytest.mark.parametrize("randomness", ["fixed", "fresh"])
def test_scores_and_votes_are_the_defence_s(tmp_path: Path, vote: str, randomness: str) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(48, 3)).eval()
    sampler = {"fresh": {"sampler": "gaussian"}}.get(randomness, {})
    defence = PostAverage(
        network, 0.5, directions=2, scale=1.0, vote=vote, randomness=randomness, **sampler
    ).eval()
    images = torch.rand(6, 3, 4, 4)
    data = (images, network(images).argmax(dim=1))
    evaluate(
        network, defence, data, ["fgsm"], protocol="fixed", threat="transfer", epsilon=0.3,
        out=tmp_path / "run",
    )  # fmt: skip
    shown = 0
    for result in StoredRun.open(tmp_path / "run").results():
        for number, facts in enumerate(result.facts.get("exhibits", ())):
            arrays = {
                name: torch.from_numpy(result.arrays[f"exhibit.{number}.{name}"])
                for name in ("clean", "adversarial", "plain", "defended", "votes")
            }
            pair = torch.stack([arrays["clean"], arrays["adversarial"]])
            keys = [f"{facts['image']}/exhibit{i}" for i in range(2)]
            found = defence.predict(pair, keys=keys).probabilities
            # Sums in another order: a few units in the last place of float32.
            torch.testing.assert_close(arrays["defended"], found, atol=1e-6, rtol=0)
            torch.testing.assert_close(arrays["plain"], network(pair).softmax(dim=1))
            assert arrays["votes"].sum(dim=1).tolist() == [defence.evaluations] * 2
            for i in range(2):
                votes = network(defence.neighbours(pair[i], keys[i])).argmax(dim=1)
                assert arrays["votes"][i].tolist() == votes.bincount(minlength=3).tolist()
            shown += 1
    assert shown
