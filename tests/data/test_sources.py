import json
import pickle
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from bandlimiter import load_data
from bandlimiter.data.files import read_image
from bandlimiter.errors import ConfigurationError, InputError, LoadError, MissingExtraError


def some_images(count=20, size=32):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (count, size, size, 3), dtype=np.uint8)
    return x, rng.integers(0, 10, count)


def channels_first(x):
    return torch.from_numpy(x).permute(0, 3, 1, 2).float() / 255


def test_the_packaged_sample():
    images = load_data("sample")
    assert len(images) == 500
    assert images.images(0, 2).shape == (2, 3, 32, 32)
    # The first labels of CIFAR-10's test set: cat, ship, ship, airplane, frog.
    assert images.labels[:5].tolist() == [3, 8, 8, 0, 6]


@pytest.mark.parametrize("layout", ["last", "first", "float", "big-endian", "long"])
def test_npz(tmp_path, layout):
    x, y = some_images()
    stored = {
        "last": x,
        "first": x.transpose(0, 3, 1, 2),
        "float": (x / 255).astype(np.float32),
        "big-endian": (x / 255).astype(">f8"),
        "long": (x / 255).astype(np.longdouble),
    }
    np.savez(tmp_path / "d.npz", x=stored[layout], y=y.astype(">i4"))
    images = load_data(f"npz:{tmp_path / 'd.npz'}")
    torch.testing.assert_close(images.images(3, 7), channels_first(x[3:7]))
    assert images.labels.tolist() == y.tolist()


def test_grey_images(tmp_path):
    np.savez(tmp_path / "d.npz", x=np.zeros((2, 28, 28, 1), np.uint8), y=[0, 1])
    assert load_data(f"npz:{tmp_path / 'd.npz'}").images(0, 2).shape == (2, 1, 28, 28)


SPLITS = {"test": ["test_batch"], "train": [f"data_batch_{number}" for number in range(1, 6)]}
FORMS = ["python", "torchvision", "png"]


def write_cifar10(folder, form, split, x, y):
    """Write images of a split in equal batches, as the packages do."""
    names = SPLITS[split]
    folder = folder / ("cifar-10-batches-py" if form == "torchvision" else ".")
    folder.mkdir(exist_ok=True)
    for name, pixels, labels in zip(
        names, np.split(x, len(names)), np.split(y, len(names)), strict=True
    ):
        if form == "png":
            sheet = Image.fromarray(pixels.reshape(len(pixels), 1024, 3))
            sheet.save(folder / f"{name}.png")
        else:
            rows = pixels.transpose(0, 3, 1, 2).reshape(len(pixels), -1)
            content = {b"data": rows, b"labels": labels.tolist()}
            (folder / name).write_bytes(pickle.dumps(content))
    if form == "png":
        (folder / f"{split}_lables.json").write_text(json.dumps(y.tolist()))


@pytest.mark.parametrize("form", [*FORMS, "file"])
def test_cifar10(tmp_path, form):
    x, y = some_images()
    write_cifar10(tmp_path, "python" if form == "file" else form, "test", x, y)
    path = tmp_path / "test_batch" if form == "file" else tmp_path
    images = load_data(f"cifar10:{path}")
    torch.testing.assert_close(images.images(0, 20), channels_first(x))
    assert images.labels.tolist() == y.tolist()


@pytest.mark.parametrize("form", FORMS)
def test_cifar10_has_a_side_for_tests_and_one_to_train_on(tmp_path, form):
    x, y = some_images(60)
    sides = {"test": (x[:10], y[:10]), "train": (x[10:], y[10:])}
    for split, given in sides.items():
        write_cifar10(tmp_path, form, split, *given)
    for split, (pixels, labels) in sides.items():
        images = load_data(f"cifar10:{tmp_path}", split=split)
        assert torch.equal(images.images(0, len(labels)), channels_first(pixels))
        assert images.labels.tolist() == labels.tolist()
        assert images.ids.tolist() == list(range(len(labels)))
        part = load_data(f"cifar10:{tmp_path}", subset=5, seed=1, split=split)
        assert torch.equal(part.images(0, 5), images.images(0, 60)[part.ids])
    usual = load_data(f"cifar10:{tmp_path}")
    assert usual.fingerprint() == load_data(f"cifar10:{tmp_path}", split="test").fingerprint()


@pytest.mark.parametrize("name", ["test_batch", "data_batch_2", "cifar-10-batches-py/data_batch_5"])
@pytest.mark.parametrize("split", SPLITS)
def test_a_file_of_cifar10_stands_for_its_folder(tmp_path, name, split):
    x, y = some_images(60)
    form = "torchvision" if "/" in name else "python"
    write_cifar10(tmp_path, form, "test", x[:10], y[:10])
    write_cifar10(tmp_path, form, "train", x[10:], y[10:])
    whole = load_data(f"cifar10:{tmp_path}", split=split)
    assert load_data(f"cifar10:{tmp_path / name}", split=split).fingerprint() == whole.fingerprint()


@pytest.mark.parametrize("form", FORMS)
def test_a_side_of_cifar10_that_is_not_there_in_full(tmp_path, form):
    x, y = some_images(50)
    write_cifar10(tmp_path, form, "train", x, y)
    with pytest.raises(LoadError, match="expected test_batch"):
        load_data(f"cifar10:{tmp_path}")
    for path in sorted(tmp_path.rglob("data_batch_*"), reverse=True):
        path.unlink()  # the fifth first, and then those before it
        with pytest.raises(LoadError, match="data_batch_") as caught:
            load_data(f"cifar10:{tmp_path}", split="train")
        assert "\n" not in str(caught.value)


def test_cifar10_s_labels_have_to_be_as_many_as_its_images(tmp_path):
    x, y = some_images(50)
    write_cifar10(tmp_path, "png", "train", x, y)
    (tmp_path / "train_lables.json").write_text(json.dumps(y[:49].tolist()))
    with pytest.raises(InputError, match="49 labels and 50 images"):
        load_data(f"cifar10:{tmp_path}", split="train")
    (tmp_path / "train_lables.json").unlink()
    with pytest.raises(LoadError, match="train_lables.json beside"):
        load_data(f"cifar10:{tmp_path}", split="train")


def test_other_splits_are_refused(tmp_path):
    write_cifar10(tmp_path, "python", "test", *some_images())
    with pytest.raises(ConfigurationError, match="test or train of CIFAR-10, got 'validation'"):
        load_data(f"cifar10:{tmp_path}", split="validation")


@pytest.mark.parametrize("name", ["sample", "npz:d.npz", "imagefolder:photos", "foolbox:mnist"])
@pytest.mark.parametrize("split", SPLITS)
def test_sources_without_sides_take_no_split(name, split):
    with pytest.raises(ConfigurationError, match=f"cifar10:PATH alone, got '{split}' with {name}"):
        load_data(name, split=split)


def test_a_python_batch_with_code_is_refused(tmp_path):
    class Malicious:
        def __reduce__(self):
            return (tmp_path / "ran").mkdir, ()

    (tmp_path / "test_batch").write_bytes(pickle.dumps({b"data": Malicious(), b"labels": []}))
    with pytest.raises(LoadError, match="would run"):
        load_data(f"cifar10:{tmp_path}")
    assert not (tmp_path / "ran").exists()


def test_imagefolder(tmp_path):
    for name, colour in [("n02", (255, 0, 0)), ("n01", (0, 255, 0))]:
        (tmp_path / name).mkdir()
        for i in range(2):
            Image.new("RGB", (300, 500), colour).save(tmp_path / name / f"{i}.png")
    (tmp_path / "n01" / "notes.txt").write_text("no image")
    images = load_data(f"imagefolder:{tmp_path}")
    assert images.labels.tolist() == [0, 0, 1, 1]
    assert images.images(0, 4).shape == (4, 3, 500, 300)  # as they are
    assert images.images(0, 4)[:, :, 0, 0].tolist() == [[0, 1, 0]] * 2 + [[1, 0, 0]] * 2
    subset = images.limited(None, 2, seed=1)
    assert torch.equal(subset.labels, images.labels[subset.ids])
    assert (images.class_count, subset.class_count) == (2, 2)
    (tmp_path / ".cache").mkdir()
    smaller = load_data(f"imagefolder:{tmp_path}", size=64)
    assert smaller.images(0, 1).shape == (1, 3, 64, 64)
    assert smaller.labels.tolist() == [0, 0, 1, 1]
    (tmp_path / "n00").mkdir()
    with pytest.raises(LoadError, match="none in n00"):
        load_data(f"imagefolder:{tmp_path}")


def test_imagenet_preprocessing_agrees_with_torchvision_s(tmp_path):
    transforms = pytest.importorskip("torchvision.transforms", reason="needs torchvision")
    x, _ = some_images(1, 300)
    image = Image.fromarray(x[0]).crop((0, 0, 300, 280))
    image.save(tmp_path / "i.png")
    bicubic = transforms.InterpolationMode.BICUBIC
    resize = transforms.Resize(256, interpolation=bicubic)
    expected = transforms.ToTensor()(transforms.CenterCrop(224)(resize(image)))
    ours = read_image(tmp_path / "i.png", 224)
    torch.testing.assert_close(ours, expected)
    square = Image.fromarray(x[0])
    square.save(tmp_path / "s.png")
    expected = transforms.ToTensor()(transforms.CenterCrop(224)(resize(square)))
    torch.testing.assert_close(read_image(tmp_path / "s.png", 224), expected)


@pytest.mark.parametrize(
    ("name", "shape"),
    [("imagenet", (3, 224, 224)), ("cifar10", (3, 32, 32)), ("mnist", (1, 28, 28))],
)
def test_foolbox_samples(name, shape):
    pytest.importorskip("foolbox", reason="needs the extra foolbox, and git")
    images = load_data(f"foolbox:{name}")
    assert len(images) == 20
    assert images.images(0, 20).shape == (20, *shape)
    assert 0.5 < float(images.images(0, 20).max()) <= 1


def test_foolbox_is_an_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "foolbox", None)
    with pytest.raises(MissingExtraError, match=r"foolbox:mnist.*bandlimiter\[foolbox\]"):
        load_data("foolbox:mnist")


def test_foolbox_that_does_not_import_is_said_to_want_git(monkeypatch, tmp_path):
    (tmp_path / "foolbox.py").write_text("raise ImportError('Bad git executable.\\nSet PATH.')")
    monkeypatch.delitem(sys.modules, "foolbox", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MissingExtraError, match=r"Bad git executable. Set PATH.; it needs a git"):
        load_data("foolbox:mnist")


def test_limit_takes_the_first_and_subset_a_seeded_choice(photos):
    assert photos.limited(7, None, 0).ids.tolist() == list(range(7))
    first = photos.limited(None, 50, 3).ids
    assert torch.equal(first, photos.limited(None, 50, 3).ids)
    assert not torch.equal(first, photos.limited(None, 50, 4).ids)
    assert len(set(first.tolist())) == 50
    assert int(first.max()) > 250
    both = photos.limited(100, 50, 3)
    assert int(both.ids.max()) < 100
    torch.testing.assert_close(
        both.images(0, 1)[0], photos.images(int(both.ids[0]), int(both.ids[0]) + 1)[0]
    )


@pytest.mark.parametrize(("limit", "subset"), [(0, None), (-1, None), (None, 0), (None, 501)])
def test_limits_out_of_range(photos, limit, subset):
    with pytest.raises(ConfigurationError):
        photos.limited(limit, subset, 0)


@pytest.mark.parametrize(
    "name", ["cifar11:x", "", "sample:1", "npz", "foolbox:imagenette", "cifar10"]
)
def test_unknown_names(name):
    with pytest.raises(ConfigurationError, match="expected"):
        load_data(name)


def test_damaged_and_missing_files(tmp_path):
    for name in ("npz:none.npz", f"cifar10:{tmp_path}", f"imagefolder:{tmp_path}", "imagefolder:x"):
        with pytest.raises(LoadError):
            load_data(name)
    (tmp_path / "d.npz").write_bytes(b"PK\x03\x04 not really")
    with pytest.raises(LoadError, match="whole npz"):
        load_data(f"npz:{tmp_path / 'd.npz'}")
    np.savez(tmp_path / "k.npz", images=np.zeros(3))
    with pytest.raises(LoadError, match="keys x and y"):
        load_data(f"npz:{tmp_path / 'k.npz'}")
    whole = tmp_path / "w.npz"
    np.savez_compressed(whole, x=some_images()[0], y=some_images()[1])
    whole.write_bytes(whole.read_bytes()[:5000])
    with pytest.raises(LoadError, match="whole npz"):
        load_data(f"npz:{whole}")


@pytest.mark.parametrize(
    ("x", "y"),
    [
        (np.zeros((2, 4), np.uint8), [0, 1]),
        (np.zeros((2, 4, 4, 3), np.int64), [0, 1]),
        (np.zeros((2, 4, 4, 3), np.uint8), [0.5, 1.0]),
        (np.zeros((2, 4, 4, 3), np.uint8), [0, 1, 2]),
        (np.zeros((0, 4, 4, 3), np.uint8), np.zeros(0, np.int64)),
    ],
)
def test_arrays_of_the_wrong_kind(tmp_path, x, y):
    np.savez(tmp_path / "d.npz", x=x, y=y)
    with pytest.raises(InputError, match="expected"):
        load_data(f"npz:{tmp_path / 'd.npz'}")


def test_image_files(tmp_path):
    with pytest.raises(LoadError, match="found none"):
        read_image(tmp_path / "none.png", 32)
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(LoadError, match="not one"):
        read_image(tmp_path / "text.png", 32)
    x, _ = some_images(1)
    Image.fromarray(x[0]).save(tmp_path / "i.png")
    torch.testing.assert_close(read_image(tmp_path / "i.png", 32), channels_first(x)[0])
    assert read_image(tmp_path / "i.png", None).shape == (3, 32, 32)
    whole = (tmp_path / "i.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(LoadError, match="not one"):
        read_image(tmp_path / "cut.png", 32)


def test_photos_are_turned_as_their_camera_was(tmp_path):
    image = Image.new("RGB", (60, 40), (0, 0, 0))
    image.paste((255, 255, 255), (0, 0, 60, 10))  # bright along the top
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter, clockwise
    image.save(tmp_path / "p.png", exif=exif)
    turned = read_image(tmp_path / "p.png", None)
    assert turned.shape == (3, 60, 40)
    assert float(turned[0, 30, -1]) == 1
