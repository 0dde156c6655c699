"""Which image models are tried on first, when that may be one that ends the process."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def probing(folder: Path | None, images: int) -> Iterator[int]:
    """Yield the position of the image to try models on, before a run is opened.

    The first, unless processes died while they tried: a mark beside the run's folder counts
    them, and each moves on by one image. The mark goes when the trial ends otherwise, also in
    an error.

    Parameters
    ----------
    folder
        The run's; None where nothing is kept, and so nothing is known of earlier trials.
    images
        How many there are.
    """
    if folder is None:
        yield 0
        return
    mark = folder.with_name(f".{folder.name}.trial")
    deaths = int(mark.read_text()) if mark.is_file() else 0
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.write_text(str(deaths + 1))
    try:
        yield deaths % images
    except BaseException:
        mark.unlink(missing_ok=True)
        raise
    if deaths:  # this one did no harm: the next command starts with it
        mark.write_text(str(deaths))
    else:
        mark.unlink(missing_ok=True)
