"""The guide is true: its commands run, its options exist, it builds and fetches nothing."""

import re
import shlex
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from bandlimiter.cli.main import app
from tests.guide import files, small
from tests.guide.pages import PAGES, ROOT, Typed, inline, typed
from tests.guide.site import Site

COMMANDS = [each for page in PAGES for each in typed(page, "bandlimiter")]

RUN: set[tuple[str, ...]] = set()
"""What ran well already: pages repeat each other, and small commands are often the same."""


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """A folder with the files that the guide's commands name, as the working folder."""
    files.write(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "my_module", None)  # forget an earlier test's
    monkeypatch.delitem(sys.modules, "my_module")
    # Compiling takes half a minute and has tests of its own (tests/acceleration); switched off,
    # the copy runs eagerly and all else is as it is.
    with torch._dynamo.config.patch(disable=True):
        yield tmp_path


def run(words):
    return CliRunner().invoke(app, words, catch_exceptions=False, env={"COLUMNS": "200"})


def test_there_are_commands_to_run():
    """Should the reader of pages ever go blind, all of what follows would pass."""
    pages = {command.page for command in COMMANDS}
    assert len(COMMANDS) > 40
    assert pages > {"README.md", "docs/index.md", "docs/own_model.md", "docs/reproduce.md"}
    assert {small.split(command.words[1:])[0] for command in COMMANDS} == set(small.COMMANDS)


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_a_command_runs(command: Typed, workplace):
    why = small.unrunnable(command.words[1:])
    words = small.make_small(command.words[1:])
    if why:
        pytest.skip(f"read by the parser only: {why}")
    if small.TINY in words:
        pytest.importorskip("torchvision")
        files.write_imagenet(workplace)
    if command.words[1] in ("report", "runs"):
        for folder in command.words[2:]:
            if folder.startswith("runs/") or folder == "runs":
                files.write_run(workplace / (folder if "/" in folder else "runs/one"))
    if "--read" in words:
        files.write_logs(workplace)
    if "hardened" in words and command.words[1] != "harden":  # which makes it
        files.write_hardened(workplace / "hardened")
    if tuple(words) in RUN:
        return
    result = run(words)
    assert result.exit_code == 0, f"{command}\nran as {' '.join(words)}\n{result.output}"
    for option, after in pairwise(words):
        if option == "--out":
            assert Path(after).exists(), f"{command} wrote nothing to {after}"
    RUN.add(tuple(words))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["attack"], "no rule makes `bandlimiter attack` small"),
        (["evaluate", "--model", "timm:huge"], "no rule for --model timm:huge"),
        (["trace", "--third", "photo.png", "--plane"], "no rule for third"),
    ],
)
def test_what_no_rule_makes_small_is_refused(words, said):
    with pytest.raises(small.NoRuleError, match=re.escape(said)):
        small.make_small(words)


def test_an_option_that_was_renamed_is_found():
    with pytest.raises(Exception, match="No such option"):
        small.make_small(["evaluate", "--adress", "HOST"])


def test_what_is_run_is_small_and_otherwise_as_written():
    words = ["evaluate", "--subset", "5000", "--attack", "pgd", "--attack", "cw", "--radius", "3"]
    ran = small.make_small(words)
    assert ran[ran.index("--limit") + 1] == "1"
    assert ran[ran.index("--radius") + 1] == "3.0"
    assert ran[ran.index("--attack") + 1] == "pgd"
    assert ran.count("--attack") == 1
    assert "--subset" not in ran


def test_rules_are_about_options_that_exist():
    known = {parameter.name for command in small.COMMANDS.values() for parameter in command.params}
    assert known >= small.FREE
    for name, rules in small.SMALL.items():
        assert set(rules) <= {parameter.name for parameter in small.COMMANDS[name].params}, name


@pytest.mark.parametrize("page", PAGES)
def test_options_in_running_text_exist(page):
    everywhere = set().union(*map(small.options_of, small.COMMANDS))
    folders = (ROOT / "tools", ROOT / "benchmarks")
    tools = " ".join(path.read_text() for folder in folders for path in folder.rglob("*.py"))
    for code in inline(page):
        options = re.findall(r"(?<!\S)--[a-z][a-z0-9-]*", code)
        if code.startswith("bandlimiter "):
            name, _ = small.split(code.split()[1:])
            assert name in small.COMMANDS, f"{page}: {code}"
            missing = set(options) - small.options_of(name)
            assert not missing, f"{page}: {code}"
        elif not code.startswith(("mkdocs ", "pytest ")):
            for option in options:
                assert option in everywhere or f'"{option}"' in tools, f"{page}: {code}"


@pytest.mark.parametrize("page", PAGES)
def test_make_targets_exist(page):
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    asked = [each.words for each in typed(page, "make")]
    asked += [shlex.split(code) for code in inline(page) if code.startswith("make ")]
    for _, *words in asked:
        names = {word for word in words if re.fullmatch(r"[a-z][a-z0-9-]*", word)}
        assert names, f"{page}: {words}"
        assert names <= targets, f"{page}: {words}"


@pytest.mark.parametrize("page", PAGES)
def test_files_in_running_text_exist(page):
    """Paths of tools, tests and designs, which the guide's own builder cannot check."""
    for code in inline(page):
        for path in re.findall(r"(?<!\S)((?:tools|tests|design|src|docs)/[\w./-]*\w)", code):
            assert (ROOT / path).exists(), f"{page}: {code}"


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    pytest.importorskip("mkdocs", reason="needs the extra docs")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return Site(folder)


@pytest.mark.slow
def test_the_guide_fetches_nothing(site):
    assert len(site.pages) > 25
    assert site.fetched_from_elsewhere() == []


@pytest.mark.slow
def test_the_guides_links_lead_somewhere(site):
    assert site.broken_links() == []


@pytest.mark.slow
def test_the_reference_has_every_public_name(site):
    assert site.unnamed() == []
