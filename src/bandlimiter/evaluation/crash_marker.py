"""Which image models are tried on first, when that may be one that ends the process."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bandlimiter.results.files import write_whole


@contextmanager
def crash_marker(folder: Path | None, images: int) -> Iterator[int]:
    """Yield the position of the image to try models on, before a run is opened.

    The first, unless processes died while they tried: a mark beside the run's folder counts
    them, and each moves on by one image. The mark goes when the trial ends otherwise, also in
    an error. A mark that says nothing counts nothing.

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
    folder = folder.absolute()
    mark = folder.parent / f".{folder.name}.trial"
    deaths = _deaths(mark)
    _note(mark, deaths + 1)
    try:
        yield deaths % images
    except BaseException:
        _note(mark, 0)
        raise
    _note(mark, deaths)  # this one did no harm: the next command starts with it


def _deaths(mark: Path) -> int:
    try:
        return max(0, int(mark.read_bytes()))
    except (OSError, ValueError):  # none, or a full disk's
        return 0


def _note(mark: Path, deaths: int) -> None:
    with suppress(OSError):  # without a mark nothing is counted; the run itself says what is wrong
        mark.parent.mkdir(parents=True, exist_ok=True)
        if deaths:
            write_whole(mark, str(deaths))
        else:
            mark.unlink(missing_ok=True)
