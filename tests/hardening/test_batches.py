"""Batches: each image once per epoch, whatever came before; crops and flips against loops."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bandlimiter.data import ArrayImages
from bandlimiter.errors import ConfigurationError, InputError
from bandlimiter.hardening.batches import (
    HELD_OUT,
    Batches,
    crop,
    crop_and_flip,
    flip,
    resolve_augment,
    split,
)
from tests.hardening.problems import is_one_line, pictures

FUZZ = settings(max_examples=60, deadline=None)


def numbered(count):
    """Images [count, 1] that are their own number, over ``count``, as labels are too."""
    numbers = torch.arange(count)
    return ArrayImages("numbered", (numbers / count)[:, None], numbers)


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


# --- the held-out part --------------------------------------------------------------------


@FUZZ
@given(st.integers(3, 400), st.integers(-3, 2**40))
def test_trained_on_and_held_out_are_all_of_them_and_share_none(count, seed):
    shown, held_out = split(numbered(count), seed)
    assert sorted(shown.labels.tolist() + held_out.labels.tolist()) == list(range(count))
    assert len(held_out) == max(1, count // 10)
    for part in (shown, held_out):
        assert torch.equal(part.ids, part.labels)
        pixels = part.images(0, len(part))[:, 0] * count
        assert torch.equal(pixels.round().long(), part.labels)
    again, _ = split(numbered(count), seed)
    assert torch.equal(again.ids, shown.ids)


def test_of_many_images_a_thousand_are_held_out_by_chance():
    count = 20_000
    first, second = (split(numbered(count), seed)[1].ids for seed in (0, 1))
    assert len(first) == len(second) == HELD_OUT
    # Two draws of 1,000 from 20,000 share 50 on average, with a deviation below 7.
    shared = len(set(first.tolist()) & set(second.tolist()))
    assert abs(shared - 50) < 5 * 7


@pytest.mark.parametrize("count", [1, 2])
def test_so_few_images_cannot_be_split(count):
    with pytest.raises(ConfigurationError, match=f"three training images or more, got {count}"):
        split(numbered(count), 0)


# --- steps --------------------------------------------------------------------------------


def shown_in(batches, epoch):
    per_epoch = batches.per_epoch
    found = [labels for _, labels in batches.between(epoch * per_epoch, (epoch + 1) * per_epoch)]
    assert all(len(labels) == batches.size for labels in found)
    return torch.cat(found).tolist()


@FUZZ
@given(st.integers(2, 300), st.integers(2, 64), st.integers(0, 5))
def test_an_epoch_shows_each_image_once_and_leaves_out_hardly_more_than_it_has_steps(
    count, most, epoch
):
    batches = Batches(numbered(count), most, None, seed=epoch)
    found = shown_in(batches, epoch)
    assert len(set(found)) == len(found)
    # One of three images, where a step takes two: there is one step, and a third has no partner.
    assert 0 <= count - len(found) < max(2, batches.per_epoch)
    assert batches.size <= most


@FUZZ
@given(st.integers(4, 300), st.integers(2, 64))
def test_no_batch_is_of_a_single_image(count, most):
    # BatchNorm after the last pooling cannot train on one.
    assert Batches(numbered(count), most, None, seed=0).size >= 2


def test_epochs_and_seeds_have_orders_of_their_own():
    batches = Batches(numbered(60), 10, None, seed=0)
    orders = {tuple(shown_in(batches, epoch)) for epoch in range(3)}
    orders.add(tuple(shown_in(Batches(numbered(60), 10, None, seed=1), 0)))
    assert len(orders) == 4
    assert all(sorted(order) == list(range(60)) for order in orders)


def test_pixels_come_with_their_labels():
    batches = Batches(numbered(50), 7, None, seed=3)
    for pixels, labels in batches.between(0, 20):
        assert torch.equal((50 * pixels[:, 0]).round().long(), labels)


@FUZZ
@given(st.integers(0, 12), st.integers(1, 12), st.booleans())
def test_a_step_is_the_same_wherever_one_begins(start, length, augmented):
    data = ArrayImages("p", *pictures(23))
    batches = Batches(data, 8, crop_and_flip if augmented else None, seed=4)
    for step, (pixels, labels) in enumerate(batches.between(start, start + length), start):
        ((alone, its_labels),) = batches.between(step, step + 1)
        assert torch.equal(pixels, alone)
        assert torch.equal(labels, its_labels)


def test_no_steps_are_none():
    assert list(Batches(numbered(9), 4, None, 0).between(5, 5)) == []


# --- crops and flips ----------------------------------------------------------------------


def windows(image, down, right):
    """All shifts of an image [C, H, W] by up to ``down`` and ``right``, black around it."""
    channels, height, width = image.shape
    found = []
    for dy in range(-down, down + 1):
        for dx in range(-right, right + 1):
            shifted = torch.zeros_like(image)
            for c in range(channels):
                for i in range(height):
                    for j in range(width):
                        if 0 <= i + dy < height and 0 <= j + dx < width:
                            shifted[c, i, j] = image[c, i + dy, j + dx]
            found.append(shifted)
    return torch.stack(found)


def places(copies, candidates):
    """How often each candidate is among the copies, each of which has to be just one of them."""
    equal = (copies[:, None] == candidates[None]).flatten(2).all(dim=2)
    assert equal.sum(dim=1).eq(1).all()
    return equal.sum(dim=0)


def is_even(counts):
    """Whether counts are as of even chances: below chi squared's mean and 5 deviations."""
    expected = float(counts.sum()) / len(counts)
    chi = float(((counts - expected) ** 2 / expected).sum())
    free = len(counts) - 1
    return chi < free + 5 * math.sqrt(2 * free)


@pytest.mark.parametrize(
    ("shape", "down", "right"), [((3, 8, 16), 1, 2), ((1, 5, 4), 1, 1), ((3, 17, 8), 2, 1)]
)
def test_crops_are_all_shifts_by_an_eighth_alike_often(shape, down, right):
    image = torch.rand(shape, generator=stream()) + 0.1
    copies = crop(image.expand(3000, *shape), stream(1))
    candidates = windows(image, down, right)
    assert len(candidates) == (2 * down + 1) * (2 * right + 1)
    assert is_even(places(copies, candidates))


def test_half_of_the_images_are_mirrored_left_to_right():
    image = torch.rand(1, 4, 5, generator=stream()) + 0.1
    copies = crop_and_flip(image.expand(3000, 1, 4, 5), stream(1))
    straight = windows(image, 1, 1)
    mirrored = torch.stack([each[:, :, torch.arange(4, -1, -1)] for each in straight])
    counts = places(copies, torch.cat([straight, mirrored]))
    assert is_even(counts)
    assert is_even(counts.view(2, -1).sum(dim=1))


def test_each_image_is_shifted_on_its_own():
    x, _ = pictures(200, size=4, channels=1)
    cropped, shifts = crop(x, stream()), []
    for image, found in zip(x, cropped, strict=True):
        shifts.append(int(places(found[None], windows(image, 1, 1)).argmax()))
    assert set(shifts) == set(range(9))  # of which one is missing once in e^21 times


def test_flips_mirror_half_of_the_images_and_move_nothing():
    x = torch.rand(200, 1, 3, 4, generator=stream())
    found = flip(x, stream())
    mirrored = [torch.equal(a, b.flip(2)) for a, b in zip(found, x, strict=True)]
    kept = [torch.equal(a, b) for a, b in zip(found, x, strict=True)]
    assert all(one != other for one, other in zip(mirrored, kept, strict=True))
    assert 60 < sum(mirrored) < 140  # of 200 fair coins, beyond this once in 10^8 times


def test_images_are_cropped_by_default_and_vectors_left_alone():
    assert resolve_augment("auto", (3, 32, 32)) is crop_and_flip
    assert resolve_augment("auto", (1, 28, 28)) is crop_and_flip
    for shape in ((6,), (4, 9, 9), (3, 8), (3, 2, 4, 4)):
        assert resolve_augment("auto", shape) is None
    assert resolve_augment("none", (6,)) is None
    assert resolve_augment("crop", (1, 8, 8)) is crop
    assert resolve_augment("flip", (3, 8, 8)) is flip
    own = torch.nn.Identity()
    assert resolve_augment(own, (6,)) is own


@pytest.mark.parametrize(
    ("name", "shape"), [("mixup", (3, 8, 8)), ("crop", (6,)), ("crop-flip", ())]
)
def test_augmentations_that_do_not_fit(name, shape):
    with pytest.raises(ConfigurationError, match=name) as caught:
        resolve_augment(name, shape)
    assert is_one_line(caught.value)


def test_an_augmentation_sees_pixels_and_draws_from_its_stream():
    def brighter(x, rng):
        return (x + 0.5 * torch.rand(len(x), 1, 1, 1, generator=rng)).clamp(max=1)

    data = ArrayImages("p", *pictures(16))
    plain, bright, again = (
        next(Batches(data, 8, augment, seed=0).between(1, 2))
        for augment in (None, brighter, brighter)
    )
    assert torch.equal(bright[0], again[0])
    assert torch.equal(bright[1], plain[1])
    added = (bright[0] - plain[0]).flatten(1).amax(dim=1)
    assert (added > 0).all()
    assert len(added.unique()) == len(added)  # one number for each image


def test_each_step_draws_its_own_augmentation():
    def marked(x, rng):
        return torch.rand(1, generator=rng).expand(x.shape)

    data = ArrayImages("p", *pictures(16))
    first = list(Batches(data, 4, marked, seed=0).between(0, 8))
    other = list(Batches(data, 4, marked, seed=1).between(0, 8))
    drawn = {float(pixels.flatten()[0]) for pixels, _ in (*first, *other)}
    assert len(drawn) == 16  # two epochs of four steps under each seed


@pytest.mark.parametrize(
    "augment", [lambda x, rng: x[:-1], lambda x, rng: x[..., 1:], lambda x, rng: x.numpy()]
)
def test_an_augmentation_that_gives_something_else(augment):
    data = ArrayImages("p", *pictures(16))
    with pytest.raises(InputError, match="expected an augmentation that returns pixels") as caught:
        next(Batches(data, 8, augment, seed=0).between(0, 1))
    assert is_one_line(caught.value)


def test_images_that_are_no_pixels_are_refused_when_they_are_read():
    data = ArrayImages("p", 255 * pictures(16)[0], pictures(16)[1])
    with pytest.raises(InputError, match=r"pixels in \[0, 1\]"):
        next(Batches(data, 8, None, seed=0).between(0, 1))
