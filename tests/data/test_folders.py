"""Folders as people have them, against torchvision's ImageFolder."""

import os
import socket
import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch.utils.data import DataLoader

from bandlimiter import load_data
from bandlimiter.data import as_images
from bandlimiter.data.folders import EXTENSIONS
from bandlimiter.errors import InputError, LoadError

datasets = pytest.importorskip("torchvision.datasets", reason="needs torchvision")
transforms = pytest.importorskip("torchvision.transforms", reason="needs torchvision")
IMG_EXTENSIONS = datasets.folder.IMG_EXTENSIONS
listed = datasets.folder.make_dataset

PIXEL = b"P6 1 1 255\n"
"""A picture of one pixel, but for its three bytes."""


def test_the_extensions_are_torchvision_s():
    assert set(EXTENSIONS) == set(IMG_EXTENSIONS)


_LETTERS = st.sampled_from([*"ab.[]*?'\"#~ \\\n\t%", "\u00e9", "\U0001f600", "\udcff", "\udc80"])
_STEMS = st.text(_LETTERS, min_size=1, max_size=8)
_ENDS = st.sampled_from([*IMG_EXTENSIONS, ".PNG", ".JpEg", "", ".txt", ".png.gz", ".", ".svg"])
_FILES = st.builds(str.__add__, _STEMS, _ENDS)


def _sound(names):
    return [name for name in names if name not in (".", "..")]


TREES = st.dictionaries(
    _FILES,  # class folders, some of them called like images
    st.dictionaries(_FILES, st.none() | st.lists(_FILES, max_size=3), max_size=4),
    max_size=3,
)
"""Class -> entry -> None (a file) or what is in a folder."""


def plant(top: Path, tree) -> None:
    count = 0
    for name in _sound(tree):
        (top / name).mkdir()
        for entry, inside in tree[name].items():
            if not _sound([entry]):
                continue
            path = top / name / entry
            if inside is not None:
                path.mkdir()
            for file in [path] if inside is None else [path / each for each in _sound(inside)]:
                count += 1
                file.write_bytes(PIXEL + bytes([count, 0, 0]))


def visible(path: str, top: Path) -> bool:
    return not any(part.startswith(".") for part in Path(path).relative_to(top).parts)


@settings(max_examples=20, deadline=None)
@given(TREES)
def test_any_tree_is_listed_as_by_torchvision_but_for_hidden_entries(tree):
    with tempfile.TemporaryDirectory() as folder:
        top = Path(folder)
        plant(top, tree)
        classes = sorted(each.name for each in top.iterdir() if visible(str(each), top))
        labels = {name: label for label, name in enumerate(classes)}
        found = (
            datasets.folder.make_dataset(folder, labels, IMG_EXTENSIONS, allow_empty=True)
            if classes
            else []
        )
        expected = [(path, label) for path, label in found if visible(path, top)]
        if not expected or {label for _, label in expected} != set(labels.values()):
            with pytest.raises(LoadError, match="expected images"):
                load_data(f"imagefolder:{folder}")
            return
        images = load_data(f"imagefolder:{folder}")
        assert images.labels.tolist() == [label for _, label in expected]
        reds = [Path(path).read_bytes()[-3] for path, _ in expected]
        assert (255 * images.images(0, len(images))[:, 0, 0, 0]).round().tolist() == reds
        assert len(images.fingerprint()) == 16


@pytest.fixture
def folder(tmp_path):
    for label, name in enumerate(("cat", "dog")):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(2):
            file = tmp_path / "photos" / name / f"{i}.png"
            Image.new("RGB", (5, 4), (100 * label, 50 * i, 7)).save(file)
    return tmp_path / "photos"


def length(folder):
    return len(load_data(f"imagefolder:{folder}"))


def test_only_files_count(folder):
    os.mkfifo(folder / "cat" / "pipe.png")  # reading it would wait for ever
    (folder / "cat" / "folder.jpg").mkdir()
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(folder / "dog" / "s.bmp"))
    (folder / "cat" / "._0.png").write_bytes(b"\0\5\26\7")
    (folder / "dog" / ".cache" / "deep").mkdir(parents=True)
    (folder / "dog" / ".cache" / "deep" / "x.png").write_bytes(b"")
    (folder / "README.png").write_text("beside the classes")
    assert length(folder) == 4


def test_links_are_followed_once(folder, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    (folder / "dog").rename(elsewhere)
    (folder / "dog").symlink_to(elsewhere)
    (folder / "cat" / "more.png").symlink_to(elsewhere / "0.png")
    (folder / "cat" / "others").symlink_to(elsewhere)
    (folder / "cat" / "loop").symlink_to(folder / "cat")
    (folder / "cat" / "up").symlink_to(folder)
    assert length(folder) == 3 + 2 + 2


def test_a_link_to_nothing_is_refused_by_name(folder):
    (folder / "dog" / "lost.png").symlink_to(folder / "gone.png")
    (folder / "dog" / "notes.txt").symlink_to(folder / "gone.txt")  # no image
    with pytest.raises(LoadError, match=r"dog/lost.png is a link to a file that is not there"):
        length(folder)


def test_a_class_without_images_is_named(folder):
    (folder / "emu" / ".hidden").mkdir(parents=True)
    (folder / "emu" / "a.gif").write_bytes(b"")
    with pytest.raises(LoadError, match=r"none in emu; images end in .jpg"):
        length(folder)


def test_names_of_the_greatest_length(folder):
    Image.new("RGB", (5, 4)).save(folder / "cat" / ("n" * 251 + ".png"))
    assert length(folder) == 5


def test_several_sizes_need_one(folder):
    Image.new("L", (9, 4)).save(folder / "dog" / "wide.png")
    with pytest.raises(InputError, match=r"5 x 4 .*0.png\) and 9 x 4 .*wide.png\); --size N"):
        load_data(f"imagefolder:{folder}")
    assert length_of_first(folder, 4) == 4
    assert load_data(f"imagefolder:{folder}", size=8).images(0, 5).shape == (5, 3, 8, 8)


def length_of_first(folder, limit):
    """What is not taken does not matter."""
    return len(load_data(f"imagefolder:{folder}", limit))


def test_photos_that_a_camera_turned_are_of_the_size_they_show(folder):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (4, 5)).save(folder / "dog" / "turned.jpg", exif=exif)
    assert load_data(f"imagefolder:{folder}").images(0, 5).shape == (5, 3, 4, 5)


def test_a_damaged_file_stops_nothing_but_itself(folder):
    (folder / "dog" / "damaged.png").write_bytes(b"no image")
    images = load_data(f"imagefolder:{folder}")
    assert images.images(0, 4).shape == (4, 3, 4, 5)
    with pytest.raises(LoadError, match="damaged.png is not one"):
        images.images(4, 5)


def test_the_identity_is_the_bytes(folder):
    def fingerprint(where=folder, **options):
        return load_data(f"imagefolder:{where}", **options).fingerprint()

    first = fingerprint()
    assert fingerprint() == first
    renamed = folder.rename(folder.with_name("other"))
    assert fingerprint(renamed) == first
    seen = {first, fingerprint(renamed, size=4), fingerprint(renamed, channels=1)}
    assert len(seen) == 3
    path = renamed / "cat" / "1.png"
    status = path.stat()
    changed = bytearray(path.read_bytes())
    changed[-1] ^= 1
    path.write_bytes(changed)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))  # one name, one size, one time
    assert fingerprint(renamed) not in seen


def test_gray_and_colour_in_one_folder(folder):
    Image.new("L", (5, 4), 51).save(folder / "dog" / "gray.png")
    images = load_data(f"imagefolder:{folder}")
    assert images.images(0, 5).shape == (5, 3, 4, 5)
    luma = load_data(f"imagefolder:{folder}", channels=1)
    assert luma.images(0, 5).shape == (5, 1, 4, 5)
    assert luma.images(4, 5).unique().tolist() == pytest.approx([0.2])
    assert torch.equal(luma.ids, images.ids)


def test_the_whole_is_torchvision_s_image_folder(folder):
    theirs = datasets.ImageFolder(folder)
    ours = load_data(f"imagefolder:{folder}")
    assert ours.labels.tolist() == theirs.targets
    assert ours.class_count == len(theirs.classes)
    theirs.transform = transforms.ToTensor()
    assert (
        as_images(theirs).fingerprint() == as_images(DataLoader(theirs, batch_size=3)).fingerprint()
    )
    assert torch.equal(as_images(theirs).images(0, 4), ours.images(0, 4))


def test_a_class_that_is_a_link_to_nothing_is_named(tmp_path):
    """Left out, it would give all classes behind it other labels."""
    for name in ("a", "c"):
        (tmp_path / name).mkdir()
        Image.new("L", (2, 2)).save(tmp_path / name / "x.png")
    (tmp_path / "b").symlink_to(tmp_path / "gone")
    with pytest.raises(LoadError, match="b is a link to nothing"):
        load_data(f"imagefolder:{tmp_path}")
