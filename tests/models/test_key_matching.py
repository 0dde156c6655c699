"""Any nesting, any prefix, anything beside: the right weights, or one line."""

import argparse
import collections
import datetime
import pathlib
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from bandlimiter.errors import LoadError
from bandlimiter.models import load_perceptron, load_weights, read_weights

FUZZ = settings(max_examples=20, deadline=None)
WORDS = ["module", "_orig_mod", "model", "net", "backbone", "0", "state_dict", "encoder", "x y"]


class Configuration:
    """An object of a training script's own, which only its code can make."""

    def __init__(self):
        self.rate = 0.1


BESIDE = [
    3,
    None,
    "resnet",
    2.5,
    [1, {"a": 2}],
    (),
    np.float64(91.2),
    np.arange(4),
    argparse.Namespace(lr=0.1, sizes=[1, 2]),
    pathlib.Path("runs"),
    datetime.timedelta(3),
    collections.defaultdict(list, {"loss": [1.0]}),
    collections.Counter("ab"),
    Configuration(),
    {"state": {0: {"exp_avg": torch.ones(2), "step": torch.tensor(1)}}, "param_groups": [{}]},
    torch.get_rng_state(),
    torch.float16,
]


def network():
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 2))


def own_state():
    torch.manual_seed(1)
    made = network()
    nn.init.normal_(made[1].running_mean)
    return made.state_dict()


STATE = own_state()


def requires_right(path, **given):
    loaded = network()
    where = load_weights(loaded, path, **given)
    for name, value in loaded.state_dict().items():
        if name in STATE and not name.endswith("num_batches_tracked"):
            assert torch.equal(value, STATE[name]), name
    return where


@st.composite
def checkpoints(draw):
    prefix = "".join(f"{word}." for word in draw(st.lists(st.sampled_from(WORDS), max_size=3)))
    counted = draw(st.booleans())
    content = {
        prefix + name: value
        for name, value in STATE.items()
        if counted or not name.endswith("num_batches_tracked")
    }
    keys = st.one_of(st.sampled_from(["state_dict", "model", "ema", "net"]), st.text(max_size=4))
    for wrapper in draw(st.lists(keys, max_size=4)):
        beside = draw(st.dictionaries(st.text(min_size=5, max_size=6), st.sampled_from(BESIDE)))
        content = {**beside, wrapper: content}
    return content


@FUZZ
@given(content=checkpoints(), legacy=st.booleans())
def test_weights_are_found_wherever_they_are(tmp_path_factory, content, legacy):
    path = tmp_path_factory.mktemp("fuzz") / "w.bin"
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    requires_right(path)


@FUZZ
@given(content=checkpoints(), data=st.data(), legacy=st.booleans())
def test_a_damaged_checkpoint_is_one_line_or_loads_what_has_the_right_form(
    tmp_path_factory, content, data, legacy
):
    """No format but zip has checksums, and PyTorch does not look at them: values may differ."""
    path = tmp_path_factory.mktemp("fuzz") / "w.pt"
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    whole = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(whole)
    refused_in_one_line(path)
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    refused_in_one_line(path)


@FUZZ
@given(content=st.binary(max_size=200), start=st.sampled_from([b"", b"PK\3\4", b"\x80\2", b"{"]))
def test_other_files_are_one_line(tmp_path_factory, content, start):
    path = tmp_path_factory.mktemp("fuzz") / "w.pt"
    path.write_bytes(start + content)
    with pytest.raises(LoadError):
        load_weights(network(), path)
    refused_in_one_line(path)


def refused_in_one_line(path):
    try:
        load_weights(network(), path)
    except LoadError as error:
        text = str(error)
        assert "\n" not in text
        assert "weights_only" not in text


@pytest.mark.parametrize("suffix", ["pt", "ckpt", "safetensors", "model"])
def test_formats_are_told_by_content(tmp_path, suffix):
    path = tmp_path / f"w.{suffix}"
    save_file({f"module.{name}": value for name, value in STATE.items()}, path)
    requires_right(path)
    torch.save(STATE, path)
    requires_right(path)


def prefixed(prefix, state=None):
    return {prefix + name: value for name, value in (state or STATE).items()}


def other():
    return {
        name: value + 1 if value.is_floating_point() else value for name, value in STATE.items()
    }


@pytest.mark.parametrize(
    ("content", "plain", "average"),
    [
        ({"state_dict": STATE, "state_dict_ema": other()}, "state_dict", "state_dict_ema"),
        ({"model_ema": {"module": other()}, "model": STATE}, "model", "model_ema"),
        ({"ema": prefixed("module.", other()), "net": STATE}, "net", "ema"),
        ({**prefixed("net."), **prefixed("net_ema.", other())}, "net", "net_ema"),
    ],
)
def test_the_plain_weights_are_preferred_to_an_average_and_it_is_said(
    tmp_path, caplog, content, plain, average
):
    path = tmp_path / "w.pt"
    torch.save(content, path)
    assert requires_right(path) == plain
    (line,) = caplog.messages
    assert plain in line
    assert average in line
    assert "--weights-key" in line
    averaged = network()
    assert load_weights(averaged, path, key=average).startswith(average)
    assert torch.equal(averaged[0].weight, STATE["0.weight"] + 1)
    assert load_weights(network(), path, key=f"{plain}.") == plain


def test_an_average_alone_is_loaded_and_said(tmp_path, caplog):
    torch.save({"ema": STATE, "epoch": 1}, tmp_path / "w.pt")
    assert requires_right(tmp_path / "w.pt") == "ema"
    assert "ema, an average" in caplog.text


def test_what_changes_no_answer_is_left_out_and_said(tmp_path, caplog):
    statistics = {"0.means": torch.zeros(3), "0.sds": torch.ones(3)}
    torch.save({"state_dict": {**statistics, **prefixed("1.module.")}}, tmp_path / "w.pt")
    assert requires_right(tmp_path / "w.pt") == "state_dict.1.module"
    assert "left out 0.means, 0.sds" in caplog.text
    torch.save({"n_averaged": torch.tensor(5), **prefixed("module.")}, tmp_path / "w.pt")
    assert requires_right(tmp_path / "w.pt") == "module"
    assert "n_averaged" in caplog.text


def test_other_weights_beside_are_not_left_out_unless_told(tmp_path):
    path = tmp_path / "w.pt"
    torch.save({**prefixed("backbone."), "head.weight": torch.ones(4, 2)}, path)
    with pytest.raises(LoadError, match=r"head\.weight.*--weights-key backbone"):
        load_weights(network(), path)
    requires_right(path, key="backbone")


@pytest.mark.parametrize("whole", ["", "_orig_mod.", "module."])
@pytest.mark.parametrize("part", ["_orig_mod", "_checkpoint_wrapped_module"])
def test_parts_that_were_wrapped_by_torch_keep_their_names(tmp_path, whole, part):
    state = {whole + name.replace(".", f".{part}.", 1): value for name, value in STATE.items()}
    torch.save(state, tmp_path / "w.pt")
    requires_right(tmp_path / "w.pt")


def test_a_network_with_compiled_parts_takes_weights_with_these_names(tmp_path):
    torch.manual_seed(0)
    first, second = (nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2)) for _ in range(2))
    for each in (first, second):
        each[1] = torch.compile(each[1], backend="eager")
    torch.save(first.state_dict(), tmp_path / "w.pt")
    assert any("._orig_mod." in name for name in first.state_dict())
    load_weights(second, tmp_path / "w.pt")
    assert all(map(torch.equal, first.state_dict().values(), second.state_dict().values()))


def test_a_pickle_is_refused_for_what_it_is(tmp_path):
    for protocol in (2, 4, 5):
        (tmp_path / "w.pkl").write_bytes(pickle.dumps(STATE, protocol))
        with pytest.raises(LoadError, match=r"written by pickle\.dump"):
            load_weights(network(), tmp_path / "w.pkl")
    torch.save(STATE, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    requires_right(tmp_path / "old.pt")


def test_two_sets_that_fit_are_refused(tmp_path):
    path = tmp_path / "w.pt"
    torch.save({"student": STATE, "teacher": other()}, path)
    with pytest.raises(LoadError, match=r"several \(student, teacher\).*--weights-key"):
        load_weights(network(), path)
    requires_right(path, key="student")
    with pytest.raises(LoadError, match="student, teacher.*got 'nobody'"):
        load_weights(network(), path, key="nobody")


@pytest.mark.parametrize(
    ("change", "counts"),
    [
        (lambda s: s.pop("2.bias"), "1 missing"),
        (lambda s: s.update({"3.weight": torch.ones(1)}), "1 unexpected"),
        (lambda s: s.update({"2.weight": torch.ones(9, 3)}), "1 of another shape"),
        (lambda s: s.update({"2.weight": s["2.weight"].char()}), "1 of another shape or type"),
    ],
)
@pytest.mark.parametrize("prefix", ["", "module.", "model.module."])
def test_a_head_that_does_not_fit_is_never_loaded(tmp_path, prefix, change, counts):
    state = dict(STATE)
    change(state)
    torch.save({"state_dict": prefixed(prefix, state)}, tmp_path / "w.pt")
    before = network()
    kept = {name: value.clone() for name, value in before.state_dict().items()}
    with pytest.raises(LoadError, match=counts):
        load_weights(before, tmp_path / "w.pt")
    assert all(torch.equal(value, kept[name]) for name, value in before.state_dict().items())


def test_a_numpy_array_among_the_weights_is_named(tmp_path):
    torch.save({"model": {**STATE, "2.bias": STATE["2.bias"].numpy()}}, tmp_path / "w.pt")
    with pytest.raises(LoadError, match=r"'2\.bias' is a Python object \(numpy.*_reconstruct\)"):
        load_weights(network(), tmp_path / "w.pt")


def test_a_whole_model_beside_other_things_is_named(tmp_path):
    path, content = tmp_path / "w.pt", {"epoch": 3, "model": network()}
    torch.save(content, path)
    with pytest.raises(LoadError, match=r"'model' is a Python object \(torch.*Sequential\)"):
        load_weights(network(), path)
    torch.save(content, path, _use_new_zipfile_serialization=False)
    with pytest.raises(LoadError, match="would run the file's code"):
        load_weights(network(), path)


@pytest.mark.parametrize("wrap", [torch.compile, nn.DataParallel, lambda n: nn.Sequential(n)])
@pytest.mark.parametrize("prefix", ["", "module.", "model._orig_mod."])
def test_a_wrapped_network_loads_what_was_saved_unwrapped(tmp_path, wrap, prefix):
    torch.save(prefixed(prefix), tmp_path / "w.pt")
    inner = network()
    load_weights(wrap(inner), tmp_path / "w.pt")
    assert torch.equal(inner[2].weight, STATE["2.weight"])


def test_a_network_on_the_meta_device_gets_its_weights(tmp_path):
    torch.save(STATE, tmp_path / "w.pt")
    with torch.device("meta"):
        bare = network()
    load_weights(bare, tmp_path / "w.pt")
    assert torch.equal(bare[0].weight, STATE["0.weight"])


def test_an_index_of_shards_and_a_program_are_told_what_they_are(tmp_path):
    (tmp_path / "model.safetensors.index.json").write_text('{"weight_map": {}}')
    with pytest.raises(LoadError, match="sharded"):
        read_weights(tmp_path / "model.safetensors.index.json")
    torch.jit.script(network().eval()).save(tmp_path / "net.pt")
    with pytest.raises(LoadError, match="--model FILE"):
        read_weights(tmp_path / "net.pt")


@pytest.mark.parametrize("prefix", ["", "module.", "net._orig_mod."])
def test_perceptrons_are_found_in_checkpoints_as_well(tmp_path, prefix):
    perceptron = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    state = prefixed(prefix, perceptron.state_dict())
    content = {"model": {"n_averaged": torch.tensor(1), **state}, "acc": np.float64(0.9)}
    torch.save({**content, "model_ema": state, "rng": torch.get_rng_state()}, tmp_path / "w.pt")
    x = torch.rand(5, 2)
    torch.testing.assert_close(load_perceptron(tmp_path / "w.pt")(x), perceptron(x))
    save_file(state, tmp_path / "st.pt", metadata={"activation": "hardtanh"})
    assert isinstance(load_perceptron(tmp_path / "st.pt")[1], nn.Hardtanh)
