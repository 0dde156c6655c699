"""Digests of images: the same image in any precision, and no other."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import TensorDataset

from bandlimiter.data import ArrayImages, as_images, image_digests, load_data

FUZZ = settings(max_examples=60, deadline=None)


def some_bytes(count=7, shape=(3, 4, 5), seed=0):
    stream = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, *shape), generator=stream).byte()


def digests(pixels):
    return image_digests(ArrayImages("given", pixels, torch.zeros(len(pixels))))


class Entries:
    """A data set that is read into a file, in the precision in which its images come."""

    def __init__(self, pixels):
        self.pixels = pixels

    def __len__(self):
        return len(self.pixels)

    def __getitem__(self, i):
        return self.pixels[i], i % 2


BYTES = some_bytes()
EXACT = BYTES.double() / 255
FORMS = {
    "bytes": lambda: ArrayImages("x", BYTES, torch.zeros(7)),
    "float32": lambda: ArrayImages("x", EXACT.float(), torch.zeros(7)),
    "float64": lambda: ArrayImages("x", EXACT, torch.zeros(7)),
    # Its steps below 1 are 2^-11, an eighth of 1 / 255.
    "float16": lambda: ArrayImages("x", EXACT.half(), torch.zeros(7)),
    "memory-mapped bytes": lambda: as_images(TensorDataset(BYTES, torch.zeros(7).long())),
    "memory-mapped doubles": lambda: as_images(Entries(EXACT)),
    "rounded outside": lambda: ArrayImages("x", EXACT.float() * (1 + 2**-23), torch.zeros(7)),
    "channels last in memory": lambda: ArrayImages(
        "x", BYTES.contiguous(memory_format=torch.channels_last), torch.zeros(7)
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_an_image_is_known_in_any_precision(form):
    found = image_digests(FORMS[form]())
    assert found.dtype == np.int64
    assert found.tolist() == digests(BYTES).tolist()
    assert len(set(found.tolist())) == 7


@FUZZ
@given(st.integers(0, 6), st.integers(0, 59), st.integers(1, 255))
def test_one_changed_pixel_changes_its_image_s_digest_alone(image, pixel, by):
    changed = BYTES.clone()
    changed[image].view(-1)[pixel] += by  # modulo 256
    differ = digests(changed) != digests(BYTES)
    assert differ.tolist() == [each == image for each in range(7)]


def test_a_step_of_one_byte_counts_and_half_of_it_does_not():
    x = torch.full((1, 3, 4, 4), 100 / 255)
    near, far = x.clone(), x.clone()
    near[0, 1, 2, 3] += 0.49 / 255
    far[0, 1, 2, 3] += 1 / 255
    assert digests(near) == digests(x)
    assert digests(far) != digests(x)


def test_shapes_count():
    flat = some_bytes(2, (48,))
    shapes = [(48,), (3, 4, 4), (3, 2, 8), (1, 6, 8), (12, 4)]
    found = [tuple(digests(flat.reshape(2, *shape)).tolist()) for shape in shapes]
    assert len(set(found)) == len(shapes)


def test_places_count():
    x = torch.zeros(12, 1, 3, 4).byte()
    for place in range(12):
        x[place].view(-1)[place] = 1
    assert len(set(digests(x).tolist())) == 12


def test_labels_names_and_ids_do_not_count():
    other = ArrayImages("other", BYTES, torch.arange(7), torch.arange(7) + 100)
    assert image_digests(other).tolist() == digests(BYTES).tolist()


@FUZZ
@given(st.lists(st.integers(0, 599), min_size=1, max_size=600, unique=True))
def test_a_digest_does_not_depend_on_the_images_beside_it(chosen):
    # More than are read at once.
    x = some_bytes(600, (1, 2, 3), seed=1)
    assert digests(x[chosen]).tolist() == digests(x)[chosen].tolist()


def test_nor_on_whether_these_are_pixels():
    x = BYTES.float() / 255
    beside = x.clone()
    beside[3] *= 10
    assert (digests(beside) == digests(x)).tolist() == [each != 3 for each in range(7)]


def test_inputs_that_are_no_images_are_told_apart_however_close_they_are():
    # Else points in the plane would be taken for others that a network was trained on.
    x = torch.full((1, 2), 0.5)
    near = x.clone()
    near[0, 1] += 1e-4
    assert digests(near) != digests(x)


def test_the_packaged_images_are_all_different(photos):
    assert len(set(image_digests(photos).tolist())) == len(photos) == 500
    assert (
        image_digests(load_data("sample", limit=9)).tolist() == image_digests(photos)[:9].tolist()
    )
