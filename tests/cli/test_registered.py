"""Parts by name on the command line: those at hand, and those of a user's module."""

import json
import sys

import pytest
from typer.testing import CliRunner

from bandlimiter.attacks import ATTACKS
from bandlimiter.cli.main import app
from bandlimiter.defence import VOTES
from bandlimiter.evaluation.sanity_checks import CHECKS
from bandlimiter.sampling import INPUT_SAMPLERS, SAMPLERS

SMALL = ("--directions", "1", "--limit", "3", "--quick", "--json")

OWN = """
from bandlimiter import load_model
from bandlimiter.defence import Vote, register_vote
from bandlimiter.evaluation import Finding, register_check
from bandlimiter.attacks import PGD, RegisteredAttack, Stage, register_attack
from bandlimiter.sampling import Gaussian, register_sampler

class TwoSteps(PGD):
    name = "two-steps"

def full():
    return TwoSteps(steps=2, rate=0.5)

def quick():
    return TwoSteps(steps=2, rate=0.5, quick=True)

def stage(settings):
    return TwoSteps(steps=settings.steps, rate=0.5, quick=settings.quick)

class Nearer(Gaussian):
    name, steps = "nearer", (0.5,)

register_attack(
    RegisteredAttack("two-steps", "two large steps", {"fixed": (full, quick)}, stage=Stage(stage))
)
register_sampler("nearer", Nearer)

def largest(logits):
    return logits.amax(dim=1)

def probabilities(scores):
    return scores.softmax(dim=1)

def sharper(logits):
    return (4 * logits).softmax(dim=-1)

def mean_of_sharper(logits):
    return sharper(logits).mean(dim=1).log()

register_vote("largest", Vote(largest, probabilities))
register_vote("sharper", Vote(mean_of_sharper, probabilities, sharper))

def suspicious(of):
    return [Finding("suspicious", of.about, f"{len(of.x)} images were looked at")]

register_check("suspicious", suspicious)

def build():
    return load_model("sample").module
"""


def evaluate(*arguments):
    result = CliRunner().invoke(app, ["evaluate", *map(str, arguments), *SMALL])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture
def own(tmp_path):
    """A user's module with a model, an attack, a sampler and a vote; taken back afterwards."""
    tables = [(table, dict(table)) for table in (ATTACKS, SAMPLERS, INPUT_SAMPLERS, VOTES, CHECKS)]
    path, modules, places = tmp_path / "own_parts.py", set(sys.modules), list(sys.path)
    path.write_text(OWN)
    yield path
    for table, before in tables:
        table.clear()
        table.update(before)
    for name in set(sys.modules) - modules:
        if name == "own_parts":
            del sys.modules[name]
    sys.path[:] = places


def test_attacks_that_know_one_protocol_only_run_under_that():
    document = evaluate("--threat", "transfer", "--attack", "apgd", "--attack", "square")
    found = [(each["attack"], each["protocol"]) for each in document["results"]]
    assert found == [("apgd", "fixed"), ("square", "fixed")]
    assert all(each["quick"] for each in document["results"])
    assert document["settings"]["attacks"] == ["apgd/fixed", "square/fixed"]


def test_an_attack_is_refused_under_a_protocol_that_it_does_not_know():
    arguments = ["evaluate", "--attack", "apgd", "--protocol", "minimal", *SMALL]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert "expected a protocol of fixed for apgd; got 'minimal'" in result.stderr


@pytest.mark.parametrize(
    "executor",
    [(), pytest.param(("--executor", "processes", "--workers", 1), marks=pytest.mark.slow)],
    ids=["here", "elsewhere"],
)
def test_a_module_s_own_parts_go_by_their_names(own, executor):
    document = evaluate(
        *("--model", f"{own}:build", "--data", "sample", "--radius", "6"),
        *("--attack", "two-steps", "--stage", "two-steps", "--sampler", "nearer"),
        *("--vote", "largest", *executor),
    )
    assert document["settings"]["vote"] == "largest"
    assert document["settings"]["sampler"] == "nearer"
    assert document["settings"]["adaptive"]["stages"] == ["two-steps"]
    found = [(each["attack"], each["protocol"], each["threat"]) for each in document["results"]]
    assert ("two-steps", "fixed", "transfer") in found
    (cascade,) = (each for each in document["results"] if each["threat"] == "adaptive")
    assert set(cascade["stages"]) == {"two-steps"}
    said = [each["about"] for each in document["warnings"] if each["kind"] == "suspicious"]
    assert said == ["plain", "post-averaging"]


def test_a_module_s_own_vote_is_certified_by_its_name(own):
    arguments = ["certify", "--model", f"{own}:build", "--data", "sample", "--vote", "sharper"]
    noise = ["--sigma", "0.02", "--at", "0.005", "--samples", "200", "--limit", "3", "--json"]
    result = CliRunner().invoke(app, [*arguments, *noise])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["settings"]["vote"] == "sharper"
    refused = CliRunner().invoke(app, [*arguments[:-1], "largest", *noise])
    assert refused.exit_code == 2
    assert "expected the vote softmax, majority or sharper to certify" in refused.stderr


def test_help_lists_every_vote():
    for command, summaries in (
        ("evaluate", [vote.summary for vote in VOTES.values()]),
        ("certify", [vote.summary for vote in VOTES.values() if vote.share]),
    ):
        result = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "1000"})
        assert all(f"({summary})" in result.stdout for summary in summaries)


def test_the_former_name_of_baselines_works_and_says_the_present_one():
    arguments = ["evaluate", "--threat", "transfer", "--attack", "fgsm", "--protocol", "fixed"]
    result = CliRunner().invoke(app, [*arguments, "--rival", "one-neighbour", *SMALL])
    assert json.loads(result.stdout)["settings"]["baselines"] == ["one-neighbour"]
    assert "note: --rival is called --baseline now" in result.stderr


def test_without_the_module_the_names_are_unknown():
    for arguments, known in (
        (["--attack", "two-steps"], "expected an attack of fgsm"),
        (["--stage", "two-steps"], "expected stages of transfer"),
        (["--sampler", "nearer"], "expected a sampler of directions"),
        (["--vote", "largest"], "expected a vote of softmax"),
    ):
        result = CliRunner().invoke(app, ["evaluate", *arguments, *SMALL])
        assert result.exit_code == 2
        assert known in result.stderr
