"""Image files of every kind against Pillow and torchvision, in both numbers of channels."""

import numpy as np
import pytest
import torch
from PIL import Image

from bandlimiter.data.files import image_size, pixels_of, read_image
from bandlimiter.errors import ConfigurationError, LoadError

transforms = pytest.importorskip("torchvision.transforms", reason="needs torchvision")

COLOURED = Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8))
GRAY_16 = np.linspace(0, 65535, 600).astype(np.uint16).reshape(20, 30)
to_tensor = transforms.ToTensor()


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [
        *(("L", suffix) for suffix in (".png", ".pgm", ".tiff", ".bmp", ".webp", ".jpg")),
        *((mode, ".png") for mode in ("1", "LA", "P", "RGB", "RGBA")),
        *((mode, ".tiff") for mode in ("CMYK", "YCbCr", "RGBA", "LA", "1")),
        ("CMYK", ".jpg"),
    ],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_mode_is_read_as_torchvision_reads_it(tmp_path, mode, suffix, channels):
    path = tmp_path / f"i{suffix}"
    COLOURED.convert(mode).save(path)
    expected = Image.open(path).convert("RGB")  # as ImageFolder's loader
    if channels == 1:
        expected = transforms.Grayscale()(expected)
    assert torch.equal(read_image(path, None, channels), to_tensor(expected))
    assert image_size(path) == (20, 30)


@pytest.mark.parametrize("suffix", [".png", ".tiff", ".pgm"])
@pytest.mark.parametrize("channels", [1, 3])
def test_gray_of_16_bits_keeps_them(tmp_path, suffix, channels):
    path = tmp_path / f"deep{suffix}"
    Image.fromarray(GRAY_16).save(path)
    expected = torch.from_numpy(GRAY_16 / 65535).float().expand(channels, -1, -1)
    # One rounding of float32 more or less than float64's quotient.
    torch.testing.assert_close(read_image(path, None, channels), expected, atol=6e-8, rtol=0)
    scaled = read_image(path, 64, channels)
    eight = read_image_of(Image.fromarray((GRAY_16 / 257).round().astype(np.uint8)), tmp_path, 64)
    # Pillow resizes bytes in fixed point, and rounds to bytes twice: once each way.
    torch.testing.assert_close(scaled[:1], eight, atol=1.5 / 255, rtol=0)


def read_image_of(image, folder, size):
    image.save(folder / "shallow.png")
    return read_image(folder / "shallow.png", size, 1)


@pytest.mark.parametrize("kind", [np.int32, np.float32])
def test_32_bits_are_refused_by_name(tmp_path, kind):
    path = tmp_path / "deep.tiff"
    Image.fromarray(GRAY_16.astype(kind)).save(path)
    with pytest.raises(LoadError, match=r"16 of gray, .*deep.tiff has 32"):
        read_image(path)


def test_what_is_turned_has_the_size_that_it_is_read_in(tmp_path):
    exif = Image.Exif()
    for orientation in range(1, 9):
        exif[0x0112] = orientation
        for number, image in enumerate((COLOURED, Image.fromarray(GRAY_16))):
            path = tmp_path / f"{orientation}-{number}.png"
            image.save(path, exif=exif)
            height, width = image_size(path)
            assert read_image(path).shape == (3, height, width)
            assert (height == 30) == (orientation >= 5)


@pytest.mark.parametrize(("size", "channels"), [(0, 3), (-5, 3), (None, 2), (None, 4)])
def test_frames_that_make_no_sense(tmp_path, size, channels):
    with pytest.raises(ConfigurationError, match="expected"):
        read_image(tmp_path / "i.png", size, channels)


def test_pictures_are_gray_or_coloured_as_they_are():
    for mode, channels in (("1", 1), ("L", 1), ("LA", 1), ("P", 3), ("RGBA", 3), ("CMYK", 3)):
        assert pixels_of(COLOURED.convert(mode)).shape == (channels, 20, 30)


@pytest.mark.parametrize("cut", [3, 60, 200])
def test_damaged_files_are_refused_in_one_line(tmp_path, cut):
    for suffix in ("png", "jpg", "tiff", "webp", "pgm", "bmp"):
        path = tmp_path / f"line\nbreak.{suffix}"
        COLOURED.save(path)
        path.write_bytes(path.read_bytes()[:cut])
        with pytest.raises(LoadError) as caught:
            read_image(path)
        assert "\n" not in str(caught.value).partition(" is not one")[0]
