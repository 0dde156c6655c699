"""Attacks by name: what is registered, what is refused, and what is built."""

import pickle
import sys
import warnings

import pytest
import torch

import bandlimiter.attacks
from bandlimiter.attacks import (
    ATTACKS,
    PGD,
    AttackedModel,
    AttackInput,
    RegisteredAttack,
    Square,
    Stage,
    build_attack,
    default_names,
    register_attack,
    stage_names,
)
from bandlimiter.errors import ConfigurationError
from bandlimiter.evaluation import Adaptive, default_attacks

OWN = """
from bandlimiter.attacks import PGD, RegisteredAttack, Stage, register_attack

def build():
    return PGD(steps=2, rate=0.5)

def as_stage(settings):
    return PGD(steps=settings.steps, rate=0.5, quick=settings.quick)

register_attack(RegisteredAttack("own", "mine", {"fixed": (build, build)}, stage=Stage(as_stage)))
"""


@pytest.fixture
def restored():
    """Take back what a test registers."""
    before = dict(ATTACKS)
    yield
    ATTACKS.clear()
    ATTACKS.update(before)


def test_defaults_are_the_paper_s():
    assert default_names() == default_attacks(targeted=False) == ["fgsm", "pgd", "deepfool", "cw"]
    assert default_attacks(targeted=True) == ["fgsm", "pgd", "cw"]
    assert Adaptive().stages == ("transfer", "apgd", "apgd-dlr", "square")


def test_unknown_names_are_listed():
    with pytest.raises(ConfigurationError, match="of fgsm, pgd, deepfool, cw; got 'pgdd'"):
        build_attack("pgdd", "minimal")
    with pytest.raises(ConfigurationError, match="cw, apgd, apgd-dlr, square; got 'transfer'"):
        build_attack("transfer", "fixed")  # it runs on a plain model for the sake of another
    with pytest.raises(ConfigurationError, match="of minimal, fixed for pgd; got 'maximal'"):
        build_attack("pgd", "maximal")
    with pytest.raises(ConfigurationError, match="of fixed for apgd; got 'minimal'"):
        build_attack("apgd", "minimal")


@pytest.mark.usefixtures("restored")
def test_a_registered_attack_is_built_by_its_name():
    ours = {"fixed": (lambda: PGD(steps=3), lambda: PGD(steps=1, quick=True))}
    register_attack(RegisteredAttack("own", "mine", ours, stage=Stage(lambda given: PGD(7))))
    assert build_attack("own", "fixed") == PGD(steps=3)
    assert build_attack("own", "fixed", quick=True) == PGD(steps=1, quick=True)
    assert stage_names()[-1] == "own"
    assert Adaptive(("own",)).attacks(quick=False) == [PGD(7)]


@pytest.mark.parametrize(
    ("attack", "message"),
    [
        (RegisteredAttack("pgd", "", {"fixed": (PGD, PGD)}), "that no attack has, got 'pgd'"),
        (RegisteredAttack("own", ""), "minimal or fixed, or a stage, of the attack own; got neith"),
        (RegisteredAttack("own", "", {"maximal": (PGD, PGD)}), "got maximal"),
    ],
)
def test_what_cannot_be_told_or_built_is_not_registered(attack, message):
    before = dict(ATTACKS)
    with pytest.raises(ConfigurationError, match=message):
        register_attack(attack)
    assert before == ATTACKS


@pytest.mark.usefixtures("restored")
def test_a_stage_that_ignores_the_norm_is_refused():
    register_attack(RegisteredAttack("own", "mine", stage=Stage(lambda given: Square(5))))
    with pytest.raises(ConfigurationError, match="norm linf for the stage own, got l2"):
        Adaptive(("apgd", "own"), norm="l2")


@pytest.mark.usefixtures("restored")
def test_other_processes_learn_of_a_stage_with_the_settings(tmp_path, monkeypatch):
    """As these are unpickled there, where nothing has imported the module that registers it."""
    (tmp_path / "own_attack.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    __import__("own_attack")
    sent = pickle.dumps(Adaptive(("own",), steps=4))
    del ATTACKS["own"], sys.modules["own_attack"]
    read = pickle.loads(sent)
    assert read == Adaptive(("own",), steps=4)
    assert read.attacks(quick=False) == [PGD(steps=4, rate=0.5)]
    del sys.modules["own_attack"]


@pytest.mark.parametrize(
    ("old", "new"),
    [("Problem", "AttackInput"), ("Target", "AttackedModel"), ("Transferred", "TransferAttack")],
)
def test_former_names_warn(old, new):
    with pytest.warns(DeprecationWarning, match=f"{old} is called {new} now"):
        found = getattr(bandlimiter.attacks, old)
    assert found is getattr(bandlimiter.attacks, new)


def test_what_was_the_target_of_a_problem_is_the_model_of_an_input():
    model = AttackedModel(torch.nn.Linear(2, 2))
    x, y = torch.zeros(1, 2), torch.zeros(1, dtype=torch.int64)
    given = AttackInput(model, x, y, 0.1, [0], 0)
    with pytest.warns(DeprecationWarning, match="called model now"):
        assert given.target is model


def test_everything_offered_is_there_and_warns_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in bandlimiter.attacks.__all__:
            assert getattr(bandlimiter.attacks, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = bandlimiter.attacks.Nothing
