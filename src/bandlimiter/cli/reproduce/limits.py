"""How many images each attack gets: ``--limit 300 --limit pgd=100 --limit cw=40``."""

from collections.abc import Sequence

from bandlimiter.errors import ConfigurationError


def read_limits(given: Sequence[str]) -> tuple[int | None, dict[str, int]]:
    """Read limits for all attacks and for single ones.

    Returns
    -------
    tuple
        The number of images in all, None for no limit, and those of single attacks.

    Raises
    ------
    ConfigurationError
        For what is no such limit, one given twice, or one above that for all.

    Examples
    --------
    >>> read_limits(["300", "pgd=100"])
    (300, {'pgd': 100})
    """
    everyone: int | None = None
    single: dict[str, int] = {}
    for text in given:
        name, equals, number = text.rpartition("=")
        count = _count(number, text)
        if (name in single) if equals else (everyone is not None):
            raise ConfigurationError(f"expected each --limit once, got {text!r} beside another")
        if equals:
            single[name] = count
        else:
            everyone = count
    over = [name for name, count in single.items() if everyone is not None and count > everyone]
    if over:
        raise ConfigurationError(
            f"expected limits of single attacks up to {everyone}, the one for all; got "
            f"{over[0]}={single[over[0]]}"
        )
    return everyone, single


def _count(number: str, text: str) -> int:
    if not number.isdecimal() or int(number) < 1:
        raise ConfigurationError(f"expected --limit like 300 or pgd=100, got {text!r}")
    return int(number)
