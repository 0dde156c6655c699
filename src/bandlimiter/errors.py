"""One family of exceptions; each message says what was expected, what came, what to do."""


class BandlimiterError(Exception):
    """Anything that this package raises on purpose; the command prints it in one line."""


class ConfigurationError(BandlimiterError, ValueError):
    """A setting out of its range, an unknown name, or settings that do not fit together."""


class InputError(BandlimiterError, ValueError):
    """Images, labels or scores that are not what the function states."""


class LoadError(BandlimiterError):
    """A file that is missing, damaged, unsafe, or not what its name promises."""


class MissingExtraError(BandlimiterError, ImportError):
    """An optional package that is not installed; the message names the extra."""


class NoGradientError(InputError):
    """A model without a gradient, where an attack needs one."""
