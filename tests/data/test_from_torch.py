"""Loaders and data sets in all their forms, against the tensors that they are made of."""

import gc
import pickle

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import (
    BatchSampler,
    ConcatDataset,
    DataLoader,
    Dataset,
    DistributedSampler,
    IterableDataset,
    RandomSampler,
    Sampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
    random_split,
)

from bandlimiter.data import ImageSet, ImagesLike, as_images
from bandlimiter.errors import InputError, LoadError

N = 7
BYTES = torch.randint(0, 256, (N, 3, 4, 5), generator=torch.Generator().manual_seed(0)).byte()
X = BYTES.float() / 255
Y = torch.tensor([3, 1, 4, 1, 5, 9, 2])
PAIRS = TensorDataset(X, Y)


class Mapped(Dataset):
    """Entries as ``form`` makes them of an image and a label; counts what is read."""

    def __init__(self, form=lambda x, y: (x, y)):
        self.form, self.read = form, []

    def __len__(self):
        return N

    def __getitem__(self, i):
        self.read.append(i)
        return self.form(X[i], Y[i])


class Stream(IterableDataset):
    def __init__(self, form=lambda x, y: (x, y)):
        self.form, self.passes = form, 0

    def __iter__(self):
        self.passes += 1
        return (self.form(x, y) for x, y in zip(X, Y, strict=True))


class Sized(Stream):
    def __len__(self):
        return N


def picture(x, y):
    return {"image": Image.fromarray((255 * x).round().byte().permute(1, 2, 0).numpy()), "label": y}


def lists(entries):
    return [list(column) for column in zip(*entries, strict=True)]


GIVEN = {
    "tensors": lambda: (X, Y),
    "a list of two tensors": lambda: [X, Y],
    "bytes": lambda: (BYTES, Y),
    "a mapping of tensors": lambda: {"pixel_values": X, "labels": Y},
    "loader": lambda: DataLoader(PAIRS, batch_size=3),
    "loader without batches": lambda: DataLoader(PAIRS, batch_size=None),
    "loader of processes": lambda: DataLoader(PAIRS, batch_size=2, num_workers=1),
    "loader with own lists": lambda: DataLoader(PAIRS, batch_size=2, collate_fn=lists),
    "loader by own batches": lambda: DataLoader(
        PAIRS, batch_sampler=BatchSampler(range(N), 4, drop_last=False)
    ),
    "loader of a stream": lambda: DataLoader(Stream(), batch_size=3),
    "loader of mappings": lambda: DataLoader(
        Mapped(lambda x, y: {"pixel_values": x, "labels": y}), batch_size=4
    ),
    "data set": lambda: PAIRS,
    "concatenated": lambda: ConcatDataset([Subset(PAIRS, range(3)), Subset(PAIRS, range(3, N))]),
    "stream": Stream,
    "stream with a length": Sized,
    "mappings": lambda: Mapped(lambda x, y: {"img": x, "label": int(y), "id": 7}),
    "pictures": lambda: Mapped(picture),
    "arrays": lambda: Mapped(lambda x, y: [x.numpy(), np.array([y])]),
    "doubles and whole floats": lambda: Mapped(lambda x, y: (x.double(), float(y))),
    "a list of entries": lambda: list(PAIRS),
    "a generator of batches": lambda: iter(DataLoader(PAIRS, batch_size=2)),
}


@pytest.mark.parametrize("form", GIVEN)
def test_every_form_is_the_same_images(form):
    images = as_images(GIVEN[form]())
    assert isinstance(images, ImageSet)
    # Bytes and doubles come to the same float32: each is the float32 nearest to k / 255.
    assert torch.equal(images.images(0, N), X)
    assert torch.equal(images.images(2, 5), X[2:5])
    assert images.images(0, 1).dtype == torch.float32
    assert torch.equal(images.labels, Y)
    assert images.ids.tolist() == list(range(N))
    assert images.fingerprint() == as_images((X, Y)).fingerprint()
    part = images.take(torch.tensor([4, 1]))
    assert torch.equal(part.images(0, 2), X[[4, 1]])
    assert (part.ids.tolist(), part.labels.tolist()) == ([4, 1], [5, 1])


@pytest.mark.parametrize("wrap", [lambda d: d, lambda d: DataLoader(d, batch_size=3)])
def test_what_is_read_is_read_once_in_order(wrap):
    dataset = Mapped()
    images = as_images(wrap(dataset))
    images.fingerprint()
    images.images(0, N)
    assert dataset.read == list(range(N))
    stream = Stream()
    as_images(wrap(stream)).images(0, N)
    assert stream.passes == 1


class Backwards(Sampler):
    def __iter__(self):
        return iter(range(N - 1, -1, -1))


class Shuffling(Sampler):
    def __iter__(self):
        return iter(torch.randperm(N).tolist())


IDS = {
    "subset": (lambda: Subset(PAIRS, [5, 2, 6]), [5, 2, 6]),
    "subset of a subset": (lambda: Subset(Subset(PAIRS, [5, 2, 6]), torch.tensor([2, 0])), [6, 5]),
    "loader of a subset": (lambda: DataLoader(Subset(PAIRS, [5, 2, 6]), batch_size=2), [5, 2, 6]),
    "own order": (lambda: DataLoader(PAIRS, sampler=Backwards()), [6, 5, 4, 3, 2, 1, 0]),
    "own indices": (lambda: DataLoader(PAIRS, sampler=[6, 0]), [6, 0]),
    "last batch dropped": (lambda: DataLoader(PAIRS, batch_size=3, drop_last=True), [*range(6)]),
}


@pytest.mark.parametrize("form", IDS)
def test_ids_are_positions_in_the_dataset_at_the_bottom(form):
    make, ids = IDS[form]
    images = as_images(make())
    assert images.ids.tolist() == ids
    assert torch.equal(images.images(0, len(ids)), X[ids])
    assert torch.equal(images.labels, Y[ids])


def test_a_split_keeps_its_ids():
    part, _ = random_split(PAIRS, [4, 3], torch.Generator().manual_seed(1))
    images = as_images(part)
    assert images.ids.tolist() == list(part.indices)
    assert torch.equal(images.images(0, 4), X[part.indices])


SHUFFLED = {
    "shuffle": lambda: DataLoader(PAIRS, batch_size=2, shuffle=True),
    "one image": lambda: DataLoader(Subset(PAIRS, [0]), shuffle=True),
    "seeded": lambda: DataLoader(PAIRS, shuffle=True, generator=torch.Generator().manual_seed(0)),
    "subset": lambda: DataLoader(PAIRS, sampler=SubsetRandomSampler(range(5))),
    "weighted": lambda: DataLoader(PAIRS, sampler=WeightedRandomSampler([1.0] * N, N)),
    "distributed": lambda: DataLoader(PAIRS, sampler=DistributedSampler(PAIRS, 1, 0)),
    "own": lambda: DataLoader(PAIRS, sampler=Shuffling()),
    "in batches": lambda: DataLoader(
        PAIRS, batch_sampler=BatchSampler(RandomSampler(PAIRS), 2, drop_last=False)
    ),
    "without batches": lambda: DataLoader(PAIRS, batch_size=None, shuffle=True),
}


@pytest.mark.parametrize("form", SHUFFLED)
def test_what_shuffles_is_refused(form):
    with pytest.raises(InputError, match="shuffle=False") as caught:
        as_images(SHUFFLED[form]())
    assert "\n" not in str(caught.value)


def fails(x, y):
    raise KeyError("a line\nand another")


REFUSED = {
    "a name": ("imagefolder:photos", "load_data"),
    "nothing": (None, "DataLoader"),
    "a number": (3, "DataLoader"),
    "images alone": (X, r"pairs \(image, label\).*got Tensor"),
    "three tensors": ((X, Y, Y), "got tuple of 3"),
    "a split": ({"train": PAIRS}, "got train"),
    "no entry": (TensorDataset(X[:0], Y[:0]), "at least one image"),
    "an empty generator": (iter([]), "at least one image"),
    "one-hot labels": (TensorDataset(X, torch.eye(N)), "argmax"),
    "one-hot tensors": ((X, torch.eye(N)), "argmax"),
    "labels between": (Mapped(lambda x, y: (x, y + 0.5)), "whole numbers, got 3.5"),
    "truth values": ((X, Y > 2), r"torch.bool; take .long"),
    "labels that are NaN": ((X, torch.full((N,), torch.nan)), "got nan"),
    "words": (Mapped(lambda x, y: (x, "cat")), "expected numbers, got str"),
    "whole numbers as images": (TensorDataset(X.long(), Y), "floating point, got torch.int64"),
    "normalised": (TensorDataset(4 * X - 2, Y), r"got values from -[12].*leave normalisation"),
    "255": (DataLoader(TensorDataset(255 * X, Y)), "divide 8-bit"),
    "several shapes": (Mapped(lambda x, y: (x[:, : 1 + y % 2], y)), "one kind.*from image 2 on"),
    "several shapes in a batch": (
        DataLoader(Mapped(lambda x, y: (x[:, : 1 + y % 2], y)), batch_size=4),
        "batch 0 of the DataLoader, it raised RuntimeError",
    ),
    "a failing entry": (Mapped(fails), "entry or batch 0 of the Mapped, it raised KeyError"),
    "an image twice": (Subset(PAIRS, [1, 1]), "each of 1 images of the Subset once, got 2"),
    "mappings with two images": (
        Mapped(lambda x, y: {"image": x, "img": x, "label": y}),
        "one key of image",
    ),
}


@pytest.mark.parametrize("form", REFUSED)
def test_what_is_refused_in_one_line(form):
    data, words = REFUSED[form]
    with pytest.raises(InputError, match=words) as caught:
        as_images(data)
    assert "\n" not in str(caught.value)


def test_random_transforms_are_drawn_once():
    images = as_images(Mapped(lambda x, y: (torch.rand_like(x), y)))
    assert torch.equal(images.images(0, N), images.images(0, N))


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_one_rounding_of_the_dtype_they_came_in_is_clipped(kind):
    step = torch.finfo(kind).eps
    x = X.to(kind)
    x[:, 0, 0, 0], x[:, 0, 0, 1] = 1 + step, -step
    for data in (TensorDataset(x, Y), (x, Y)):
        images = as_images(data).images(0, N)
        assert (float(images.min()), float(images.max())) == (0, 1)
    assert float(x.max()) == 1 + step  # the caller's stay as they are


def test_other_processes_map_the_same_file_which_goes_in_the_end(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    images = as_images(PAIRS)
    (file,) = tmp_path.iterdir()
    sent = pickle.dumps(images.take(torch.tensor([5, 0])))
    assert len(sent) < 3000  # labels and a path
    received = pickle.loads(sent)
    assert torch.equal(received.images(0, 2), X[[5, 0]])
    del images
    gc.collect()
    assert not file.exists()
    assert torch.equal(received.images(0, 1), X[[5]])
    with pytest.raises(LoadError, match="on the machine that read them"):
        pickle.loads(sent)


@pytest.mark.parametrize("data", [TensorDataset(X.long(), Y), Mapped(fails)])
def test_nothing_is_left_of_a_reading_that_fails(data, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(InputError):
        as_images(data)
    assert not list(tmp_path.iterdir())


def test_a_set_of_the_user_s_own_is_known_by_its_pixels():
    class Own(ImageSet):
        def __init__(self, x):
            super().__init__("one name", Y)
            self.x = x

        def images(self, start, stop):
            return self.x[start:stop]

        def take(self, index):
            return Own(self.x[index])

    other = X.clone()
    other[6, 2, 3, 4] += 1e-6
    assert Own(X).fingerprint() == as_images((X, Y)).fingerprint()
    assert Own(other).fingerprint() != Own(X).fingerprint()


def test_the_earlier_name_of_what_images_may_be_still_works():
    with pytest.deprecated_call(match="ImagesLike"):
        from bandlimiter.data import Given
    assert Given == ImagesLike
