import json
from functools import partial

import pytest
import torch
from torch import nn

from bandlimiter import PostAverage, load_model
from bandlimiter import evaluate as evaluate_all
from bandlimiter.attacks import build_attack
from bandlimiter.attacks.pgd import PGD
from bandlimiter.data import ArrayImages
from bandlimiter.errors import ConfigurationError, InputError, LoadError
from bandlimiter.evaluation import read_adversarial, write_adversarial
from bandlimiter.results import Status, read_rows
from bandlimiter.results.runs import StoredRun

# Attacks on the plain model; adaptive ones have tests of their own.
evaluate = partial(evaluate_all, threat="transfer")


@pytest.fixture(scope="module")
def defended(sample):
    return PostAverage(sample.module, 6, directions=2)


@pytest.fixture(scope="module")
def evaluation(sample, defended, photos, tmp_path_factory):
    """A small real run, under both protocols, with the images saved."""
    out = tmp_path_factory.mktemp("evaluation") / "run"
    images = photos.limited(20, None, 0)
    attacks = ["fgsm", "deepfool"]
    result = evaluate(
        sample.module, defended, images, attacks, quick=True, out=out, save_adversarial=True
    )
    return result, out


def test_one_row_an_image_and_attack(evaluation):
    result, out = evaluation
    assert len(result.rows) == 20 * 4
    keys = {(row.image, row.attack, row.protocol) for row in result.rows}
    assert len(keys) == 80
    assert read_rows(out) == result.rows
    assert json.loads((out / "result.json").read_text()) == result.tables
    timings = StoredRun.open(out).timings()
    assert sum(timing.get("images", 0) for timing in timings) == 80


def test_rows_say_what_the_models_say(evaluation, sample, defended, photos):
    result, out = evaluation
    for name in ("fgsm", "deepfool"):
        attack = read_adversarial(out / f"adversarial-{name}-minimal.safetensors")
        rows = {r.image: r for r in result.rows if (r.attack, r.protocol) == (name, "minimal")}
        found = [image for image, row in rows.items() if row.found]
        assert sorted(attack._place) == found
        with torch.no_grad():
            for image, place in attack._place.items():
                x = attack._images[place][None]
                row = rows[image]
                difference = (x - photos.images(image, image + 1)).double()
                assert int(sample.module(x).argmax()) == row.plain_adversarial != row.label
                assert int(defended(x).argmax()) == row.defended_adversarial
                assert float(difference.abs().max()) == pytest.approx(row.linf, abs=1e-7)
                assert float(difference.norm()) == pytest.approx(row.l2, rel=1e-5)
                normalised = sample.module[0](x) - sample.module[0](photos.images(image, image + 1))
                # float32 normalisation of nearly equal images: a few 1e-7 a pixel of 3072.
                assert float(normalised.norm()) == pytest.approx(row.l2_normalised, rel=1e-3)


def test_the_tables_keys(evaluation):
    tables = evaluation[0].tables
    assert set(tables) == {
        *("settings", "clean", "results", "worst_case", "verdict"),
        *("side_by_side", "targeted", "smallest_budgets", "failed", "warnings"),
    }
    assert {"accuracy", "defended_accuracy"} <= set(tables["clean"])
    for result in tables["results"]:
        for key in ("attacked_accuracy", "defended_attacked_accuracy", "defence_rate"):
            assert {key, f"{key}_interval"} <= set(result)
        assert {"attack", "protocol", "threat", "adversarials"} <= set(result)
        # FGSM with the whole budget is one step, quick or not.
        assert result["quick"] is ((result["attack"], result["protocol"]) != ("fgsm", "fixed"))


def test_misclassified_images_are_not_attacked(sample, defended, photos):
    wrong = ArrayImages("wrong", photos.images(0, 8), (photos.labels[:8] + 1) % 10)
    result = evaluate(sample.module, defended, wrong, ["fgsm"], protocol="fixed")
    misclassified = [row for row in result.rows if row.status is Status.MISCLASSIFIED]
    assert len(misclassified) >= 7
    assert all(row.linf == 0 and not row.found for row in misclassified)


def test_draws_belong_to_images_not_to_batches(sample, photos, tmp_path):
    """Starts of PGD and fresh directions are the same whichever images come along."""
    attack = PGD(steps=1, rate=0.01)  # hardly more than its random start
    part = photos.take(torch.tensor([3, 5, 11]))

    def run(images, name, seed=0):
        # At this radius and K a label is mostly the draw's doing.
        defended = PostAverage(
            sample.module, 40, directions=1, randomness="fresh", seed=seed, sampler="sphere"
        )
        out = tmp_path / name
        result = evaluate(
            sample.module, defended, images, [attack], out=out, epsilon=1, seed=seed,
            save_adversarial=True,
        )  # fmt: skip
        saved = read_adversarial(out / "adversarial-pgd-fixed.safetensors")
        labels = {row.image: (row.defended_clean, row.defended_adversarial) for row in result.rows}
        return {key: saved._images[place] for key, place in saved._place.items()}, labels

    whole, whole_labels = run(photos.limited(12, None, 0), "whole")
    few, few_labels = run(part, "few")
    other, other_labels = run(photos.limited(12, None, 0), "other", seed=1)
    assert {3, 5, 11} >= set(few) != set()
    for key, image in few.items():
        # The one step's sign may fall either way where a gradient is zero up to rounding.
        assert float(((image - whole[key]).abs() > 1e-6).float().mean()) < 0.01
        if key in other:
            assert float(((image - other[key]).abs() > 1e-6).float().mean()) > 0.9
    assert all(whole_labels[key] == labels for key, labels in few_labels.items())
    assert whole_labels != other_labels


def test_saved_images_are_judged_again_and_by_another_defence(evaluation, sample, photos):
    result, out = evaluation
    saved = read_adversarial(out / "adversarial-fgsm-minimal.safetensors")
    images = photos.limited(20, None, 0)
    stronger = PostAverage(sample.module, 12, directions=2)
    again = evaluate(sample.module, stronger, images, [saved])
    before = {r.image: r for r in result.rows if (r.attack, r.protocol) == ("fgsm", "minimal")}
    for row in again.rows:
        assert (row.protocol, row.attack) == ("saved", "fgsm-minimal")
        assert (row.quick, row.threat) == (True, "unknown")
        assert row.linf == before[row.image].linf
        assert row.plain_adversarial == before[row.image].plain_adversarial


def test_sets_saved_under_both_protocols_are_told_apart(evaluation, sample, defended, photos):
    result, out = evaluation
    names = ("fgsm-minimal", "fgsm-fixed")
    saved = [read_adversarial(out / f"adversarial-{name}.safetensors") for name in names]
    again = evaluate(sample.module, defended, photos.limited(20, None, 0), saved)
    rates = {r["attack"]: r["defence_rate"] for r in again.tables["results"]}
    for before in result.tables["results"]:
        if before["attack"] == "fgsm":
            assert rates[f"fgsm-{before['protocol']}"] == before["defence_rate"]
    assert set(rates) == set(names)


def test_the_document_says_what_defended(evaluation):
    settings = evaluation[0].tables["settings"]
    assert (settings["radius"], settings["evaluations"], settings["vote"]) == (6, 13, "softmax")


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_models_of_other_precisions(photos, dtype):
    module = load_model("sample").module.to(dtype)
    images = photos.limited(12, None, 0)
    defended = PostAverage(module, 6, directions=1)
    result = evaluate(module, defended, images, ["fgsm", "pgd"], quick=True)
    for table in result.tables["results"]:
        # bf16 pixels come in steps of up to 1/256: budgets must not be counted in them.
        assert table["adversarials"] >= 9
        if table["protocol"] == "fixed":
            assert table["beyond_budget"] == 0
            assert table["mean_linf"] == pytest.approx(8 / 255, rel=1e-5)


def test_a_first_batch_that_fails_leaves_the_folder_free(sample, defended, photos, tmp_path):
    bad = (photos.images(0, 2) * 255, photos.labels[:2])
    with pytest.raises(InputError, match="pixels in"):
        evaluate(sample.module, defended, bad, ["fgsm"], out=tmp_path)
    images = photos.limited(2, None, 0)
    evaluate(sample.module, defended, images, ["fgsm"], protocol="fixed", out=tmp_path)
    assert len(read_rows(tmp_path)) == 2


def test_labels_are_checked_before_the_first_row(sample, defended, photos, tmp_path):
    labels = photos.labels[:60].clone()
    labels[59] = 10
    with pytest.raises(InputError, match="labels from 0 to 9"):
        evaluate(sample.module, defended, (photos.images(0, 60), labels), ["fgsm"], out=tmp_path)
    assert not any(tmp_path.iterdir())


def test_an_attack_object_of_one_s_own(sample, defended, photos):
    attack = build_attack("fgsm", "fixed")
    result = evaluate(sample.module, defended, photos.limited(4, None, 0), [attack])
    assert [row.protocol for row in result.rows] == ["fixed"] * 4


def test_tensors_serve_as_data(sample, defended, photos):
    x, y = photos.images(0, 3), photos.labels[:3]
    given = evaluate(sample.module, defended, (x, y), ["fgsm"], protocol="fixed")
    named = evaluate(
        sample.module, defended, photos.limited(3, None, 0), ["fgsm"], protocol="fixed"
    )
    assert given.rows == named.rows


def test_any_module_can_be_the_defence(sample, photos):
    result = evaluate(
        sample.module, sample.module, photos.limited(4, None, 0), ["fgsm"], protocol="fixed"
    )
    assert all(row.defended_clean == row.plain_clean for row in result.rows)
    assert result.tables["results"][0]["defence_rate"] == 0


def test_progress_ends_at_the_total(sample, defended, photos):
    calls = []
    images = photos.limited(3, None, 0)
    evaluate(
        sample.module,
        defended,
        images,
        ["fgsm"],
        protocol="fixed",
        progress=lambda *call: calls.append(call),
    )
    assert (0, 3, "fgsm fixed") in calls
    assert any("gradients" in what for _, _, what in calls)  # signs of life within an attack
    assert calls[-1] == (3, 3, "done")


class Broken(nn.Module):
    def forward(self, x):
        return torch.full((len(x), 10), torch.nan)


class Picky(nn.Module):
    """Asserts its input's size, as vision transformers do."""

    def forward(self, x):
        assert x.shape[-1] == 224, "Wrong image height"


class Unheard(PGD):
    threat = "telepathic"


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"epsilon": 0}, ConfigurationError, "epsilon"),
        ({"epsilon": 8}, ConfigurationError, "epsilon"),
        ({"protocol": "maximal"}, ConfigurationError, "minimal, fixed or both"),
        ({"attacks": []}, ConfigurationError, "at least one attack"),
        ({"attacks": ["fgsm", "fgsm"]}, ConfigurationError, "each attack once"),
        ({"model": Broken()}, ConfigurationError, "model.eval()"),
        ({"model": "resnet"}, ConfigurationError, r"torch\.nn\.Module"),
        ({"attacks": [PGD]}, ConfigurationError, "names or Attack objects"),
        ({"attacks": [Unheard()]}, ConfigurationError, "a threat of transfer, unknown"),
        ({"defence": Broken()}, ConfigurationError, "model.eval()"),
        ({"model": Picky().eval()}, InputError, "Wrong image height"),
        ({"attacks": ["pgdd"]}, ConfigurationError, "fgsm, pgd, deepfool, cw"),
        ({"save_adversarial": True}, ConfigurationError, "folder"),
        ({"model": Broken().eval()}, InputError, "logits without NaN"),
        ({"scale": 255}, InputError, r"pixels in \[0, 1\]"),
        ({"scale": torch.nan}, InputError, "images without NaN"),
        ({"shift": 100}, InputError, "labels from 0 to 9"),
        ({"channels": 1}, InputError, "3 channels"),
    ],
)
def test_bad_input(sample, defended, photos, change, error, message):
    pixels = photos.images(0, 2) * change.pop("scale", 1)
    pixels = pixels[:, : change.pop("channels", 3)]
    data = ArrayImages("bad", pixels, photos.labels[:2] + change.pop("shift", 0))
    arguments = {"model": sample.module, "attacks": ["fgsm"], "protocol": "fixed", **change}
    model, attacks = arguments.pop("model"), arguments.pop("attacks")
    defence = arguments.pop("defence", defended)
    with pytest.raises(error, match=message):
        evaluate(model, defence, data, attacks, **arguments)


def test_saved_files_that_do_not_fit(tmp_path, sample, defended, photos):
    path = tmp_path / "a.safetensors"
    with pytest.raises(LoadError, match="found no file"):
        read_adversarial(path)
    path.write_bytes(b"\0" * 100)
    with pytest.raises(LoadError, match="safetensors"):
        read_adversarial(path)
    write_adversarial(path, torch.zeros(1, 3, 8, 8), torch.tensor([0]), attack="mine")
    images = photos.limited(1, None, 0)
    with pytest.raises(InputError, match="of shape"):
        evaluate(sample.module, defended, images, [read_adversarial(path)])
    write_adversarial(path, torch.zeros(1, 3, 32, 32), torch.tensor([400]), attack="mine")
    with pytest.raises(InputError, match="none of their 1 ids"):
        evaluate(sample.module, defended, images, [read_adversarial(path)])
    write_adversarial(path, torch.zeros(2, 3, 32, 32), torch.tensor([0, 0]), attack="mine")
    with pytest.raises(InputError, match="once"):
        read_adversarial(path)
    for bad in (255.0, torch.nan):
        write_adversarial(path, torch.full((1, 3, 32, 32), bad), torch.tensor([0]), attack="mine")
        with pytest.raises(InputError, match=r"in .*a.safetensors: expected"):
            read_adversarial(path)


@pytest.mark.parametrize("vote", ["softmax", "majority"])
def test_rows_are_the_same_where_answers_come_as_early_as_changes_no_label(sample, photos, vote):
    def run(stop):
        defence = PostAverage(sample.module, 6, directions=4, vote=vote)
        images = photos.limited(12, None, 0)
        return evaluate(
            sample.module, defence, images, ["fgsm"], protocol="minimal", quick=True, stop=stop
        )

    early, full = run("auto"), run("never")
    assert early.rows == full.rows
    assert early.tables["settings"]["stop"] == "exact"
    assert full.tables["settings"]["stop"] == "never"


def test_a_level_that_can_change_rows_is_kept_with_them(sample, defended, photos):
    images = photos.limited(2, None, 0)
    found = evaluate(
        sample.module,
        defended,
        images,
        ["fgsm"],
        protocol="fixed",
        quick=True,
        stop="anytime",
        alpha=0.05,
    )
    settings = found.tables["settings"]
    assert (settings["stop"], settings["alpha"]) == ("anytime", 0.05)


def test_a_defence_that_cannot_stop_early_evaluates_everything(sample, photos):
    images = photos.limited(2, None, 0)
    unbounded = PostAverage(sample.module, 6, directions=1, vote="logits")
    for defence in (unbounded, sample.module):
        found = evaluate(
            sample.module, defence, images, ["fgsm"], protocol="fixed", quick=True, stop="auto"
        )
        assert found.tables["settings"]["stop"] == "never"
        with pytest.raises(ConfigurationError, match="cannot stop early"):
            evaluate(sample.module, defence, images, ["fgsm"], stop="exact")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"stop": "soon"}, "auto, never"),
        ({"stop": "anytime", "alpha": 0}, "alpha in"),
        ({"alpha": 5}, "alpha in"),
    ],
)
def test_stops_out_of_range_are_refused(sample, defended, photos, arguments, message):
    with pytest.raises(ConfigurationError, match=message):
        evaluate(sample.module, defended, photos.limited(2, None, 0), ["fgsm"], **arguments)
