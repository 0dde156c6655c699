"""How each command of the guide is made small enough to be run in a test; a rule for everything.

A command is run as it is written, with the files that it names, except for what is said here.
What no rule knows (a command, an option, a model, a source of images) is refused, so that nothing
can be documented that is not also tried.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from typer.main import get_command

from bandlimiter.cli.main import app

_TOP: Mapping[str, Any] = get_command(app).commands  # type: ignore[attr-defined]
_RUNS: Mapping[str, Any] = _TOP["runs"].commands
COMMANDS: Mapping[str, Any] = {
    **_TOP,
    "runs": _RUNS["list"],
    **{f"runs {name}": _RUNS[name] for name in ("recover", "export")},
}
"""By the words that name them; `runs` alone lists."""

TINY = "torchvision:squeezenet1_1"
"""The smallest network of torchvision; with the random weights of `files.write_imagenet`."""

FREE = {
    *("accelerate", "address", "adversarial", "alpha", "around", "as_json", "at"),
    *("curve", "data", "device", "draw", "epsilon"),
    *("csv", "parquet", "run"),
    *(
        "find_directions",
        "folder",
        "gradient_points",
        "image",
        "images",
        "linf",
        "most_loss",
        "norm",
    ),
    *("out", "plane", "precision", "protocol", "quick", "radius", "randomness"),
    *("read", "runs", "sampler", "save_adversarial", "scale", "seed", "sigma", "size", "split"),
    *("stage", "stop", "tables", "threads", "threat", "vote", "what"),
}
"""Options that cost nothing once the others are small."""

_ATTACKING = {
    "limit": "1",
    "subset": None,
    "quick": True,
    "directions": "1",
    "steps": "1",
    "queries": "2",
    "restarts": "1",
    "draws": "1",
    "samples": "200",
    "votes": "32",
    "redraws": "1",
}

SMALL: dict[str, dict[str, str | bool | None]] = {
    "demo": {"limit": "1"},
    "evaluate": _ATTACKING,
    "certify": {"limit": "1", "samples": "200", "selection": "5"},
    "harden": {"limit": "4", "minutes": None, "epochs": "1"},
    "recalibrate": {"limit": "4"},
    "predict": {"directions": "1"},
    "regions": {"widths": "4,4", "epochs": "5"},
    "spectrum": {"widths": "4", "epochs": "5", "highest": "20", "grid": "5"},
    # A line to an adversarial image has thousands of breakpoints, a short random one a few.
    "trace": {"quick": True, "attack": "fgsm", "extent": "1e-4", "random": True, "length": "0.01"},
    "tune": {"limit": "4", "directions": "1", "radii": "1,6", "refinements": "1"},
    "reproduce": {"limit": "1", "quick": True},
    "report": {},
    "runs": {},
    "runs recover": {},
    "runs export": {},
}
"""By command: the value that an option gets, True to switch it on, None to leave it out."""

ELSEWHERE = {
    "address": "needs a cluster; the executors' own tests start Ray on this machine",
}
"""Options with which a command is read by its parser and not run, and why."""


class NoRuleError(AssertionError):
    """A command is documented that no rule makes small."""


def make_small(words: Sequence[str]) -> list[str]:
    """Return the words of a documented command with small values, ready to run.

    Parameters
    ----------
    words
        As written, without the program's name.
    """
    name, rest = split(words)
    if name not in SMALL:
        raise NoRuleError(f"no rule makes `bandlimiter {name}` small: add one here")
    given = _read(name, rest)
    for option in given:
        if option not in FREE and option not in SMALL[name] and option not in _REPLACED:
            raise NoRuleError(
                f"no rule for {option} of `bandlimiter {name}`: say in tests/guide/small.py how it "
                "is made small, or that it costs nothing"
            )
    for option, value in SMALL[name].items():
        if value is None:
            given.pop(option, None)
        elif _fits(name, option, given):
            given[option] = [] if value is True else [value]
    for option, replace in _REPLACED.items():
        if option in given or option in _ALWAYS:
            replace(name, given)
    return [*name.split(), *_written(name, given)]


def split(words: Sequence[str]) -> tuple[str, list[str]]:
    """Return the name of a command, of one word or two, and what it is given."""
    count = 2 if " ".join(words[:2]) in COMMANDS else 1
    return " ".join(words[:count]), list(words[count:])


def unrunnable(words: Sequence[str]) -> str | None:
    """Return why a command is only read by its parser here, or None."""
    given = _read(*split(words))
    return next((why for option, why in ELSEWHERE.items() if option in given), None)


def options_of(name: str) -> set[str]:
    """Return all spellings of a command's options."""
    return {
        spelling
        for parameter in COMMANDS[name].params
        for spelling in (*parameter.opts, *parameter.secondary_opts)
    } | {"--help", "-h"}


def _read(name: str, words: Sequence[str]) -> dict[str, list[str]]:
    """Let the command's own parser read what was given; options by name, in order."""
    context = COMMANDS[name].make_context(name, list(words))
    given = {}
    for parameter in COMMANDS[name].params:
        if context.get_parameter_source(parameter.name).name == "COMMANDLINE":
            value = context.params[parameter.name]
            values = value if isinstance(value, list) else [value]
            given[parameter.name] = [str(one) for one in values]
    return given


def _written(name: str, given: Mapping[str, list[str]]) -> list[str]:
    words: list[str] = []
    for parameter in COMMANDS[name].params:
        if parameter.name not in given:
            continue
        values = given[parameter.name]
        if parameter.param_type_name == "argument":
            words += values
        elif getattr(parameter, "is_flag", False):
            words.append(parameter.opts[0])
        else:
            words += [word for value in values for word in (parameter.opts[0], value)]
    return words


def _fits(name: str, option: str, given: Mapping[str, list[str]]) -> bool:
    """Whether an option makes sense beside the others."""
    if name == "trace" and option == "extent":
        return "plane" in given
    if name == "trace" and option in ("random", "length"):
        return "plane" not in given
    if name == "evaluate" and option in ("directions", "redraws", "samples", "votes"):
        return _both_sides(given) == (option in ("samples", "votes"))
    # Figure 1 draws a network of its own, in seconds.
    return name != "reproduce" or given["what"] != ["figure1"]


def _both_sides(given: Mapping[str, list[str]]) -> bool:
    """Whether an evaluation is one that certifies and attacks."""
    noisy = "sigma" in given or given.get("model", [""])[0] in ("sample-hardened", "hardened")
    return noisy and not {"threat", "attack", "adversarial", "targets"} & given.keys()


def _beside(name: str, given: dict[str, list[str]]) -> None:
    """Every model beside is the packaged one, once."""
    given["beside"] = ["sample"]


def _model(name: str, given: dict[str, list[str]]) -> None:
    """Every model becomes the smallest of its kind."""
    (model,) = given["model"]
    if model in ("my_module:build", "sample", "sample-hardened", "hardened"):
        return
    if model.startswith("cifar-resnet"):
        given["model"] = ["cifar-resnet20"]
    elif (model.startswith("torchvision:") or model == "efficientnet-lite0") and name == "evaluate":
        given["model"], given["weights"] = [TINY], ["tiny.pth"]
        given["threat"] = ["transfer"]  # a step on the defence takes seconds at this size
    elif model == "efficientnet-lite0" and name == "reproduce":
        # 91 evaluations, which nothing makes fewer there, take half a minute at this size.
        given["model"], given["data"] = ["sample"], ["sample"]
    else:
        raise NoRuleError(f"no rule for --model {model}: add one to tests/guide/small.py")


def _weights(name: str, given: dict[str, list[str]]) -> None:
    """Every file of weights is one with the packaged network's."""
    if given["weights"] != ["tiny.pth"]:
        given["weights"] = ["weights.pt"]


def _attack(name: str, given: dict[str, list[str]]) -> None:
    """Where all four attacks run unless told otherwise, the cheapest does."""
    if name == "evaluate" and _both_sides(given):
        return
    if name in ("evaluate", "reproduce") and given.get("what") != ["figure1"]:
        given["attack"] = given.get("attack", ["fgsm"])[:1]


def _baseline(name: str, given: dict[str, list[str]]) -> None:
    """Each baseline's smallest budgets are searched for: the cheapest will do."""
    if "curve" in given and not _both_sides(given):
        given["baseline"] = ["one-neighbour"]


def _values(name: str, given: dict[str, list[str]]) -> None:
    """One point of a sweep; of K a small one."""
    point = {"table2": "1", "figure2": "6", "figure3": "8/255"}.get(given.get("what", [""])[0])
    if point is not None:
        given["values"] = [point]
    if point == "1":
        given["limit"] = ["2"]  # answers are timed on no fewer


def _workers(name: str, given: dict[str, list[str]]) -> None:
    """One worker, which takes seconds to start; the executors' own tests have more."""
    given["workers"] = ["1"]


def _executor(name: str, given: dict[str, list[str]]) -> None:
    """Workers take seconds to start: once in an evaluation of plain attacks, not for a figure."""
    if name == "reproduce" and given["executor"] == ["processes"]:
        given["executor"] = ["local"]
    elif name == "evaluate":
        given["threat"], given["protocol"] = ["transfer"], ["minimal"]


_ALWAYS = {"attack", "values"}
"""Options whose default is not small."""

_REPLACED: dict[str, Callable[[str, dict[str, list[str]]], None]] = {
    "model": _model,
    "weights": _weights,
    "attack": _attack,
    "baseline": _baseline,
    "beside": _beside,
    "values": _values,
    "workers": _workers,
    "executor": _executor,
}
