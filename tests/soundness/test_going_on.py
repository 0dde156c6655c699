"""A run goes on with the models and images that it began with, and with nothing else.

Each member changes what a model computes in a way that no weight shows. The same member unchanged
must go on: a run that is refused for nothing is lost too.
"""

import functools
import os
import types
from collections import namedtuple

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from bandlimiter import PostAverage, evaluate
from bandlimiter.attacks.fgsm import FGSM
from bandlimiter.data import load_data
from bandlimiter.errors import ConfigurationError, InputError
from bandlimiter.evaluation.reproduction.study import Study, StudyAttack


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 4)).eval()


def images():
    x = torch.rand(3, 3, 2, 2, generator=torch.Generator().manual_seed(1))
    return x, net()(x).argmax(1)


class Ending(nn.Module):
    """A network and something of a user's own that its logits go through."""

    def __init__(self, end):
        super().__init__()
        self.net, self.end = net(), end

    def forward(self, x):
        return self.end(self.net(x))


class Slotted:
    __slots__ = ("factor",)

    def __init__(self, factor):
        self.factor = factor

    def __call__(self, z):
        return z * self.factor


class Scaler:
    def __init__(self, factor):
        self.factor = factor

    def apply(self, z):
        return z * self.factor


FACTOR = 1.0
Pair = namedtuple("Pair", "first second")


def by_default(k):
    def end(z, factor=k):
        return z * factor

    return Ending(end)


def by_global(k):
    global FACTOR
    FACTOR = k
    return Ending(lambda z: z * FACTOR)


def by_class_attribute(k):
    class Own(nn.Module):
        factor = k

        def __init__(self):
            super().__init__()
            self.net = net()

        def forward(self, x):
            return self.net(x) * self.factor

    return Own()


def by_forward_of_the_instance(k):
    model = net()
    model.forward = types.MethodType(lambda self, x: k * nn.Sequential.forward(self, x), model)
    return model


def by_attribute_inside(k):
    class Own(Ending):
        def __init__(self):
            super().__init__(lambda z: z * self.held["pair"].second[0][900])
            self.held = {"pair": Pair(1, [np.full(2000, k, dtype=np.float32)])}

        def forward(self, x):
            return self.end(self.net(x))

    return Own()


def by_environment(k):
    os.environ["BANDLIMITER_TEST_FACTOR"] = str(k)
    return Ending(lambda z: z * float(os.environ["BANDLIMITER_TEST_FACTOR"]))


def by_pre_hook_with_keywords(k):
    model = net()
    model[3].register_forward_pre_hook(
        lambda module, args, kwargs: ((k * args[0],), kwargs), with_kwargs=True
    )
    return model


def by_compiled_function(k):
    return Ending(torch.compile(lambda z: z * k, backend="eager"))


def by_exported_program(k):
    batch = torch.export.Dim("batch")
    example = torch.rand(2, 3, 2, 2)
    model = Ending(lambda z: z * k).eval()
    program = torch.export.export(model, (example,), dynamic_shapes=({0: batch},))
    return program.module()


def by_frozen_script(k):
    return torch.jit.freeze(torch.jit.trace(Ending(lambda z: z * k).eval(), images()[0]))


def by_graph(k):
    graph = torch.fx.symbolic_trace(net())
    last = list(graph.graph.nodes)[-1]
    with graph.graph.inserting_before(last):
        scaled = graph.graph.call_function(torch.mul, (last.args[0], k))
    last.args = (scaled,)
    graph.recompile()
    return graph


def by_parametrization(k):
    class Times(nn.Module):
        def forward(self, weight):
            return k * weight

    model = net()
    nn.utils.parametrize.register_parametrization(model[3], "weight", Times())
    return model


MEMBERS = {
    "a default argument": by_default,
    "a global": by_global,
    "a class attribute": by_class_attribute,
    "slots": lambda k: Ending(Slotted(k)),
    "a bound method": lambda k: Ending(Scaler(k).apply),
    "a nested partial": lambda k: Ending(
        functools.partial(functools.partial(torch.mul), other=torch.full((4,), float(k)))
    ),
    "a forward put on the instance": by_forward_of_the_instance,
    "an array inside a named tuple": by_attribute_inside,
    "the environment": by_environment,
    "a pre-hook with keywords": by_pre_hook_with_keywords,
    "a compiled function": by_compiled_function,
    "an exported program": by_exported_program,
    "frozen TorchScript": by_frozen_script,
    "a node in a graph": by_graph,
    "a parametrization": by_parametrization,
}


@pytest.fixture(autouse=True)
def restored(monkeypatch):
    """Puts back what the members change."""
    monkeypatch.setenv("BANDLIMITER_TEST_FACTOR", "1.0")
    monkeypatch.setitem(globals(), "FACTOR", 1.0)


def run(model, out, **changes):
    model = model if isinstance(model, torch.fx.GraphModule) else model.eval()
    defence = PostAverage(model, 0.5, directions=1, scale=1.0)
    return evaluate(
        model, defence, changes.pop("data", images()), ["fgsm"], quick=True, threat="transfer",
        protocol="fixed", out=out, **changes,
    )  # fmt: skip


@pytest.mark.parametrize("name", MEMBERS)
def test_a_model_that_computes_something_else_is_refused(name, tmp_path):
    first = run(MEMBERS[name](1.0), tmp_path / "run")
    with pytest.raises(ConfigurationError, match="expected the (settings|models)") as refusal:
        run(MEMBERS[name](-1.0), tmp_path / "run")
    assert "\n" not in str(refusal.value)
    again = run(MEMBERS[name](1.0), tmp_path / "run")
    assert again.rows == first.rows


def study(model, out):
    model = model.eval()
    defence = PostAverage(model, 0.5, directions=1, scale=1.0)
    x, y = images()
    from bandlimiter.data import ArrayImages

    done = Study(model, defence, ArrayImages("given", x, y), out, quick=True)
    return done.judged([StudyAttack("fgsm", "fixed", 8 / 255)])[0]


@pytest.mark.parametrize("name", ["the environment", "a global", "slots"])
def test_a_study_begins_new_runs_and_finds_the_old_ones_again(name, tmp_path):
    first = study(MEMBERS[name](1.0), tmp_path)
    folders = {path.name for path in tmp_path.iterdir()}
    other = study(MEMBERS[name](-1.0), tmp_path)
    assert other.tables["clean"] != first.tables["clean"]
    assert folders < {path.name for path in tmp_path.iterdir()}
    everything = {path.name for path in tmp_path.iterdir()}
    assert study(MEMBERS[name](1.0), tmp_path).rows == first.rows
    assert study(MEMBERS[name](-1.0), tmp_path).rows == other.rows
    assert {path.name for path in tmp_path.iterdir()} == everything


class Noisy(nn.Module):
    def __init__(self, spread):
        super().__init__()
        self.net, self.noise = net(), lambda z: z + spread() * torch.randn_like(z)

    def forward(self, x):
        return self.noise(self.net(x))


def test_models_that_answer_at_random_go_by_their_code(tmp_path):
    def small(k):
        return lambda: k

    run(Noisy(small(0.5)), tmp_path / "run")
    run(Noisy(small(0.5)), tmp_path / "run")
    with pytest.raises(ConfigurationError, match="module"):
        run(Noisy(small(0.25)), tmp_path / "run")


class Patched(nn.Module):
    """Calls an installed function, whose code no hash looks into."""

    def __init__(self):
        super().__init__()
        self.net = net()

    def forward(self, x):
        return F.softsign(self.net(x))


def test_the_answers_tell_what_no_hash_can(tmp_path, monkeypatch):
    run(Patched(), tmp_path / "run")
    monkeypatch.setattr(F, "softsign", torch.neg)
    with pytest.raises(ConfigurationError, match="the plain model for image 0 changed"):
        run(Patched(), tmp_path / "run")
    monkeypatch.undo()
    # What another processor may round otherwise is the same model.
    tiny = F.softsign
    monkeypatch.setattr(F, "softsign", lambda z: tiny(z) * (1 + 1e-5))
    run(Patched(), tmp_path / "run")


@pytest.mark.parametrize(
    ("end", "error", "said"),
    [
        (lambda z: 1 / 0, InputError, "the model says: division by zero"),
        (torch.rand_like, ConfigurationError, "the plain model now fails, or answers at random"),
    ],
    ids=["raises", "random"],
)
def test_models_that_no_longer_answer_are_refused(end, error, said, tmp_path, monkeypatch):
    run(Patched(), tmp_path / "run")
    monkeypatch.setattr(F, "softsign", end)
    with pytest.raises(error, match=said):
        run(Patched(), tmp_path / "run")


def test_images_with_other_bytes_under_the_same_names_are_refused(tmp_path):
    from PIL import Image

    for label in range(2):
        (tmp_path / "photos" / f"c{label}").mkdir(parents=True)
        Image.new("RGB", (2, 2), (200, 100 * label, 0)).save(
            tmp_path / "photos" / f"c{label}" / "a.bmp"
        )
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 2)).eval()

    def once():
        photos = load_data(f"imagefolder:{tmp_path / 'photos'}", size=2)
        return run(model, tmp_path / "run", data=photos)

    first = once()
    assert once().rows == first.rows
    path = tmp_path / "photos" / "c1" / "a.bmp"
    before = path.stat()
    Image.new("RGB", (2, 2), (201, 100, 0)).save(path)
    assert path.stat().st_size == before.st_size
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(ConfigurationError, match=r"images\.content"):
        once()


def test_an_attack_of_one_s_own_counts_by_what_it_does(tmp_path):
    def attack(k):
        class Own(FGSM):
            name = "own"

            def run(self, inputs):
                return inputs.images + k * inputs.epsilon

        return Own()

    def go(k):
        model = net()
        defence = PostAverage(model, 0.5, directions=1, scale=1.0)
        return evaluate(
            model, defence, images(), [attack(k)], threat="transfer", out=tmp_path / "run"
        )

    assert go(1.0).rows == go(1.0).rows
    with pytest.raises(ConfigurationError, match="attacks"):
        go(-1.0)


@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_logits_that_nearly_agree_go_on_with_other_rounding(offset, tmp_path, monkeypatch):
    """Their range is below the rounding of what they are sums of, which kernels choose."""
    monkeypatch.setattr(F, "softsign", lambda z: offset + 1e-6 * z)
    run(Patched(), tmp_path / "run")
    # Two roundings of float32 numbers of this size.
    monkeypatch.setattr(F, "softsign", lambda z: (offset + 1e-6 * z) * (1 + 2.4e-7))
    run(Patched(), tmp_path / "run")
