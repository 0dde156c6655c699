"""An evaluation of a loader is that of the tensors which it reads."""

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, Subset, TensorDataset

from bandlimiter import Normalise, PostAverage, evaluate
from bandlimiter.data import as_images
from bandlimiter.defence import tune_radius
from bandlimiter.errors import ConfigurationError, InputError
from bandlimiter.evaluation import Adaptive
from bandlimiter.evaluation.executors import Processes

X = torch.rand(5, 1, 6, 6, generator=torch.Generator().manual_seed(3))


class Stream(IterableDataset):
    def __iter__(self):
        return iter(TensorDataset(X, Y))


def network():
    torch.manual_seed(0)
    layers = nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)
    return nn.Sequential(Normalise([0.5], [0.25]), *layers).eval()


MODEL = network()
Y = MODEL(X).argmax(dim=1)
DATA = TensorDataset(X, Y)


def judged(data, **options):
    """Return rows of attacks with and without knowledge, random draws in both."""
    defence = PostAverage(MODEL, 1.0, directions=2, randomness="fresh").eval()
    options = {"adaptive": Adaptive(stages=("apgd", "square")), "quick": True, **options}
    return evaluate(MODEL, defence, data, ["pgd"], **{"epsilon": 0.1, **options})


@pytest.fixture(scope="module")
def rows():
    return judged((X, Y)).rows


@pytest.mark.parametrize(
    "data",
    [
        DataLoader(DATA, batch_size=2),
        DataLoader(DATA, batch_size=5, num_workers=1),
        DataLoader(Stream(), batch_size=3),
        DATA,
        Stream(),
    ],
)
def test_the_rows_are_those_of_the_tensors(data, rows):
    assert judged(data).rows == rows


def test_a_subset_has_the_rows_of_the_whole(rows):
    part = judged(DataLoader(Subset(DATA, [3, 1]), batch_size=2)).rows
    assert {row.image for row in part} == {1, 3}
    for row in part:
        assert row in rows


@pytest.mark.slow
def test_workers_get_what_cannot_be_pickled(tmp_path, rows):
    class Local(TensorDataset):
        """A class of which other processes know nothing."""

    data = DataLoader(
        Local(X, Y), batch_size=2, collate_fn=lambda batch: tuple(zip(*batch, strict=True))
    )
    found = judged(data, out=tmp_path / "run", executor=Processes(1, torch.get_num_threads()))
    assert found.rows == rows
    again = judged((X, Y), out=tmp_path / "run", executor=Processes(1, torch.get_num_threads()))
    assert again.rows == rows  # it is the same run


def test_other_pixels_under_the_same_names_are_another_run(tmp_path):
    options = {"threat": "transfer", "out": tmp_path / "run"}
    judged(DATA, **options)
    other = X.clone()
    other[4, 0, 5, 5] = 1 - other[4, 0, 5, 5]
    with pytest.raises(ConfigurationError, match="run"):
        judged(TensorDataset(other, Y), **options)


def test_a_loader_that_shuffles_is_refused():
    with pytest.raises(InputError, match="shuffle=False"):
        judged(DataLoader(DATA, shuffle=True))


@pytest.mark.parametrize("epsilon", [[0.01, 0.03], (0.1,), torch.tensor([0.1, 0.2]), None, "8/255"])
def test_several_budgets_are_several_evaluations(epsilon):
    with pytest.raises(ConfigurationError, match="one epsilon") as caught:
        judged(DATA, epsilon=epsilon)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("labels", [Y + 0.5, nn.functional.one_hot(Y), Y.bool(), Y / 0])
def test_labels_that_are_none(labels):
    with pytest.raises(InputError, match="expected labels"):
        judged((X, labels))


@pytest.mark.parametrize("data", [(X + 2**-24 + 2**-25, Y), (X.bfloat16() * 1.0, Y.float())])
def test_what_rounding_put_outside_is_taken(data):
    x, y = data
    x = torch.where(x == x.amax(), 1 + torch.finfo(x.dtype).eps, x)
    before = x.clone()
    assert all(row.error is None for row in judged((x, y), threat="transfer").rows)
    assert torch.equal(x, before)


def test_a_radius_is_tuned_on_a_loader_as_a_set():
    defence = PostAverage(MODEL, 1.0, directions=2).eval()
    images = as_images(DataLoader(DATA, batch_size=2))
    options = {"radii": [1, 2], "refinements": 1}
    found = tune_radius(defence, images.images, images.labels, **options)
    assert found == tune_radius(defence, X, Y, **options)
