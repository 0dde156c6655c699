"""Adaptive attacks, in small real runs: what rows say, and who is attacked how."""

from collections import Counter
from statistics import median

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from bandlimiter import PostAverage, accelerate, evaluate
from bandlimiter.attacks import Randomness
from bandlimiter.data import ArrayImages
from bandlimiter.errors import ConfigurationError, InputError
from bandlimiter.evaluation import STAGES, Adaptive, read_adversarial
from bandlimiter.evaluation.defence_under_test import DefenceUnderTest
from bandlimiter.results import NONE, OURS, Status
from tests.evaluation.test_checks import WithoutGradient

SMALL = 1 / 255
"""So small that a few steps leave some images."""


def by_image(found, defence=OURS, attack="cascade"):
    return {r.image: r for r in found.rows if (r.defence, r.attack) == (defence, attack)}


# --- rows -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def defended(sample):
    return PostAverage(sample.module, 6, directions=1, seed=5).eval()


@pytest.fixture(scope="module")
def images(photos):
    """Eight images, two with wrong labels; two that only the defence, one that only plain has."""
    chosen = photos.take(torch.tensor([*range(8), 37, 59, 147]))
    labels = chosen.labels.clone()
    labels[[2, 7]] = (labels[[2, 7]] + 1) % 10
    labels[10] = 5  # as the plain model says
    return ArrayImages("some", chosen.images(0, 11), labels)


@pytest.fixture(scope="module")
def cascade(sample, defended, images, tmp_path_factory):
    out = tmp_path_factory.mktemp("adaptive") / "run"
    found = evaluate(
        sample.module,
        defended,
        images,
        threat="adaptive",
        adaptive=Adaptive(steps=6, queries=30, redraws=2),
        epsilon=SMALL,
        out=out,
        save_adversarial=True,
    )
    return found, out


def test_the_defence_and_the_plain_model_face_the_same_suite(cascade, images):
    found, _ = cascade
    assert Counter(row.defence for row in found.rows) == {OURS: 11, NONE: 11}
    for row in found.rows:
        assert (row.attack, row.protocol, row.threat) == ("cascade", "fixed", "adaptive")
        assert (row.epsilon, row.norm, row.quick) == (SMALL, "linf", False)
        if row.defence == NONE:
            assert row.plain_clean == row.defended_clean
            assert row.plain_adversarial == row.defended_adversarial
    statuses = {row.status for row in found.rows}
    # The run says nothing of all these unless they all happen.
    assert statuses == {Status.MISCLASSIFIED, Status.NOT_FOUND, Status.BROKEN}


def test_only_images_that_the_attacked_model_has_right_are_attacked(cascade):
    found, _ = cascade
    for row in found.rows:
        attacked = row.defended_clean == row.label
        assert (row.status is Status.MISCLASSIFIED) is not attacked
        assert (row.queries is not None) is (row.gradients is not None) is attacked
        assert attacked or not row.found
    wrong = [row.image for row in found.rows if row.status is Status.MISCLASSIFIED]
    assert {2, 7} <= set(wrong)
    ours = by_image(found).values()
    alone = {
        (row.plain_clean == row.label, row.defended_clean == row.label, row.image) for row in ours
    }
    assert {(False, True, 8), (False, True, 9), (True, False, 10)} <= alone


def test_rows_say_what_the_models_say_about_the_saved_images(cascade, sample, defended, images):
    found, out = cascade
    for name, model in ((OURS, defended), (NONE, sample.module)):
        saved = read_adversarial(out / f"adversarial-cascade-fixed-on-{name}.safetensors")
        rows = by_image(found, name)
        assert sorted(saved._place) == [image for image, row in rows.items() if row.found] != []
        for image, place in saved._place.items():
            row, x = rows[image], saved._images[place][None]
            difference = (x - images.images(image, image + 1)).double()
            with torch.no_grad():
                assert int(sample.module(x).argmax()) == row.plain_adversarial
                assert int(model(x).argmax()) == row.defended_adversarial != row.label
            assert 0 <= float(x.min()) <= float(x.max()) <= 1
            # One unit in the last place of float32 pixels, as a difference reads them.
            assert float(difference.abs().max()) <= SMALL + 2**-23
            assert float(difference.abs().max()) == pytest.approx(row.linf, abs=1e-12)
            assert float(difference.norm()) == pytest.approx(row.l2, rel=1e-9)
            std = sample.module[0].std
            assert float((difference / std).norm()) == pytest.approx(row.l2_normalised, rel=1e-6)


def test_a_stage_stands_where_an_image_was_broken(cascade):
    for row in cascade[0].rows:
        assert (row.stage in STAGES) is (row.status is Status.BROKEN) is row.found
    (result,) = cascade[0].tables["results"]
    assert result["stages"] == Counter(r.stage for r in by_image(cascade[0]).values() if r.stage)


def test_each_stage_gets_what_the_earlier_ones_left(cascade, sample, defended, images):
    """The first stages alone break the same images as they do with more behind them."""
    stages = Adaptive().stages[:2]
    alone = evaluate(
        sample.module,
        defended,
        images,
        threat="adaptive",
        adaptive=Adaptive(stages=stages, steps=6, redraws=0),
        epsilon=SMALL,
    )
    for name in (OURS, NONE):
        before, after = by_image(cascade[0], name), by_image(alone, name)
        for image, row in before.items():
            assert after[image].stage == (row.stage if row.stage in stages else None)


def test_other_seeds_are_those_of_averages_with_these_seeds(cascade, sample, defended, images):
    found, out = cascade
    saved = read_adversarial(out / f"adversarial-cascade-fixed-on-{OURS}.safetensors")
    others = [
        PostAverage(sample.module, 6, directions=1, seed=defended.seed + 1 + i) for i in range(2)
    ]
    for image, row in by_image(found).items():
        x = images.images(image, image + 1)
        clean = tuple(int(other.predict(x).labels) for other in others)
        assert row.other_seeds_clean == clean
        if row.found:
            x = saved._images[saved._place[image]][None]
            adversarial = tuple(int(other.predict(x).labels) for other in others)
            assert row.other_seeds_adversarial == adversarial
        else:
            assert row.other_seeds_adversarial == ()
    (result,) = found.tables["results"]
    assert len(result["other_seeds"]["accuracies"]) == 2
    assert by_image(found, NONE)[0].other_seeds_clean == ()


@pytest.mark.parametrize(
    ("quick", "redraws", "seeds"), [(True, None, 0), (True, 1, 1), (False, None, 3), (False, 0, 0)]
)
def test_other_seeds_are_asked_about_adaptive_rows_alone(sample, photos, quick, redraws, seeds):
    found = evaluate(
        sample.module,
        PostAverage(sample.module, 6, directions=1),
        photos.limited(2, None, 0),
        ["fgsm"],
        protocol="fixed",
        adaptive=Adaptive(stages=("apgd",), steps=1, redraws=redraws),
        quick=quick,
    )
    assert found.tables["settings"]["adaptive"]["other_seeds"] == seeds
    for row in found.rows:
        asked = seeds if row.adaptive and row.defence == OURS else 0
        assert len(row.other_seeds_clean) == asked
        assert len(row.other_seeds_adversarial) == (asked if row.found else 0)


@pytest.mark.parametrize(("redraws", "repeats"), [(None, 3), (0, 1), (5, 5)])
def test_random_answers_are_judged_more_than_once_in_quick_runs_too(redraws, repeats):
    assert Adaptive(redraws=redraws).quickened().randomness.redraws == repeats


def test_other_seeds_are_the_next_ones(sample, photos):
    """At a radius at which labels are mostly the draw's doing, and differ from seed to seed."""

    def around(seed):
        return PostAverage(sample.module, 40, directions=1, sampler="sphere", seed=seed).eval()

    x = photos.images(0, 20)
    defence = DefenceUnderTest(
        OURS, around(5), sample.module, x[:1], random=False, randomness=Randomness(), seeds=3
    )
    columns = list(zip(*defence.other_seeds(x), strict=True))
    expected = [tuple(around(seed).predict(x).labels.tolist()) for seed in (5, 6, 7, 8)]
    assert len(set(expected)) == 4
    assert columns == expected[1:]


def test_the_plain_model_falls_and_the_tables_say_so(sample, defended, photos):
    """At the paper's budget: nine steps are plenty against a network that was never hardened."""
    found = evaluate(
        sample.module,
        defended,
        photos.limited(8, None, 0),
        ["fgsm"],
        protocol="fixed",
        adaptive=Adaptive(stages=("apgd",), steps=9, redraws=0),
    )
    ours, plain = found.tables["side_by_side"]
    assert (ours["defence"], plain["defence"]) == (OURS, NONE)
    assert plain["adaptive"] == 0 < plain["clean"]
    assert ours["adaptive"] <= ours["clean"]
    rows = by_image(found).values()
    assert ours["adaptive"] == sum(row.defended_right for row in rows) / 8
    assert {"fixed", "adaptive", "clean"} <= set(ours)
    assert found.tables["settings"]["adaptive"]["stages"] == ("apgd",)


# --- random answers ----------------------------------------------------------------------


def fresh_run(sample, images, **settings):
    defence = PostAverage(sample.module, 6, directions=1, randomness="fresh", seed=3).eval()
    chosen = {"stages": ("apgd",), "steps": 3, "draws": 2, "redraws": 4, **settings}
    return evaluate(
        sample.module,
        defence,
        images,
        threat="adaptive",
        adaptive=Adaptive(**chosen),
        epsilon=1 / 255,
    )


@pytest.fixture(scope="module")
def fresh(sample, photos):
    stages = ("transfer", "apgd")
    few = photos.limited(8, None, 0)
    return {
        share: fresh_run(sample, few, broken_share=share, stages=stages) for share in (0.1, 1.0)
    }


@pytest.mark.slow
def test_an_image_is_broken_from_the_stated_share_of_wrong_answers_on(fresh):
    broken = {}
    for share, found in fresh.items():
        rows = by_image(found)
        broken[share] = {i for i, row in rows.items() if row.status is Status.BROKEN}
        for row in rows.values():
            if row.status is Status.MISCLASSIFIED:
                continue
            assert row.found is (row.status is Status.BROKEN)
            if row.found:
                assert row.broken_share == share <= row.wrong <= 1
                assert (4 * row.wrong).is_integer()  # of four predictions
                if row.wrong > 0.5:
                    assert row.defended_adversarial != row.label
            else:
                assert row.wrong is None
        for row in by_image(found, NONE).values():  # which is not random
            assert (row.wrong, row.broken_share) == (None, None)
    # Up to the stage that breaks it, an image sees the same draws under both.
    assert broken[1.0] <= broken[0.1] != set()


@pytest.mark.slow
def test_what_an_image_gets_does_not_depend_on_the_others(sample, photos, fresh):
    part = photos.take(torch.tensor([1, 6]))
    few = fresh_run(sample, part, broken_share=0.1, stages=("transfer", "apgd"))
    whole = by_image(fresh[0.1])
    assert set(by_image(few)) == {1, 6}
    for image, row in by_image(few).items():
        # A gradient that is zero up to rounding may turn a pixel, which lengths in L2 show.
        same = {"l2": whole[image].l2, "l2_normalised": whole[image].l2_normalised}
        assert row.l2 == pytest.approx(same["l2"], rel=1e-2)
        assert row.model_copy(update=same) == whole[image]


def test_shares_under_transfer_are_a_count_over_named_draws(sample, photos, tmp_path):
    """By predictions of the saved images, each with a draw that the image's id names."""
    defence = PostAverage(
        sample.module, 40, directions=1, randomness="fresh", sampler="sphere"
    ).eval()  # at this radius labels are mostly the draw's doing
    found = evaluate(
        sample.module,
        defence,
        photos.limited(6, None, 0),
        ["fgsm"],
        protocol="fixed",
        threat="transfer",
        adaptive=Adaptive(redraws=4, broken_share=0.75),
        out=tmp_path / "run",
        save_adversarial=True,
    )
    saved = read_adversarial(tmp_path / "run" / "adversarial-fgsm-fixed.safetensors")
    rows = by_image(found, attack="fgsm")
    shares = set()
    for image, place in saved._place.items():
        row, x = rows[image], saved._images[place][None]
        keys = [f"{image}/fgsm/fixed/again{i}" for i in range(4)]
        labels = defence.predict(x.expand(4, -1, -1, -1), keys=keys).labels
        assert row.wrong == float((labels != row.label).double().mean())
        assert (row.status is Status.BROKEN) is (row.wrong >= 0.75)
        shares.add(row.wrong)
    assert len(shares) > 1


class Listening(PostAverage):
    """Keeps the names of the draws that attacks ask for, an image's in their order."""

    def named_scores(self, x, keys):
        for key in keys:
            self.asked.setdefault(key.split("/")[1], []).append(key)
        return super().named_scores(x, keys)


def test_shares_under_attack_are_a_count_over_the_last_draws(sample, photos, tmp_path):
    """The last word is said with draws of its own, after the verdict that sent an image out."""
    defence = Listening(sample.module, 6, directions=1, randomness="fresh", seed=3).eval()
    defence.asked = {}
    found = evaluate(
        sample.module,
        defence,
        photos.limited(8, None, 0),
        threat="adaptive",
        adaptive=Adaptive(stages=("transfer",), steps=3, draws=1, redraws=4, broken_share=0.1),
        epsilon=1 / 255,
        out=tmp_path / "run",
        save_adversarial=True,
    )
    saved = read_adversarial(tmp_path / "run" / f"adversarial-cascade-fixed-on-{OURS}.safetensors")
    rows = by_image(found)
    shares = set()
    for image, place in saved._place.items():
        keys = defence.asked[str(image)][-4:]
        # Transfer asks the defence nothing; 1 to 4 were the stage's verdict.
        assert keys == [f"attack/{image}/{n}" for n in range(5, 9)]
        x = saved._images[place].expand(4, -1, -1, -1)
        labels = (
            PostAverage(sample.module, 6, directions=1, randomness="fresh", seed=3)
            .predict(x, keys=keys)
            .labels
        )
        assert rows[image].wrong == float((labels != rows[image].label).double().mean())
        shares.add(rows[image].wrong)
    assert len(shares) > 1


# --- what gradients are followed -----------------------------------------------------------


def test_a_majority_vote_falls_to_the_gradient_of_its_soft_twin(sample, photos):
    defence = PostAverage(sample.module, 6, directions=1, vote="majority").eval()
    found = evaluate(
        sample.module,
        defence,
        photos.limited(6, None, 0),
        threat="adaptive",
        adaptive=Adaptive(stages=("apgd",), steps=9, redraws=0),
    )
    rows = [row for row in by_image(found).values() if row.status is not Status.MISCLASSIFIED]
    assert len(rows) >= 4
    assert sum(row.status is Status.BROKEN for row in rows) >= len(rows) - 1
    assert found.tables["warnings"] == []


def test_a_compiled_copy_is_attacked_through_the_model_that_it_was_made_from(sample, photos):
    """In float32 the copy's answers are the model's up to rounding: the same images fall."""
    copy = accelerate(sample.module, backend="eager", dtype="float32").model
    found = []
    for inside in (copy, sample.module):
        defence = PostAverage(inside, 6, directions=1, scale=sample.module[0].std).eval()
        found.append(
            evaluate(
                sample.module,
                defence,
                photos.limited(6, None, 0),
                threat="adaptive",
                adaptive=Adaptive(stages=("apgd",), steps=4, redraws=0),
                epsilon=SMALL,
            )
        )
    fast, slow = (by_image(each) for each in found)
    assert {i: row.status for i, row in fast.items()} == {i: row.status for i, row in slow.items()}
    assert Status.BROKEN in {row.status for row in fast.values()}


class Mirrored(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        return self.model(x.flip(3))


@pytest.mark.parametrize("vote", ["softmax", "majority"])
def test_another_model_inside_the_average_is_followed_itself(sample, photos, vote):
    """A defence around something else than the plain model is attacked by its own gradient."""
    x, labels = photos.images(0, 2), photos.labels[:2]
    defence = PostAverage(
        Mirrored(sample.module), 6, directions=1, scale=sample.module[0].std, vote=vote
    ).eval()
    under_test = DefenceUnderTest(
        OURS, defence, sample.module, x[:1], random=False, randomness=Randomness()
    )
    _, _, slope = under_test.attacked().ascend(x, labels)
    x = x.clone().requires_grad_()
    soft = defence.variant(vote="softmax")
    expected = torch.autograd.grad(F.cross_entropy(soft(x), labels, reduction="sum"), x)[0]
    torch.testing.assert_close(slope, expected, rtol=1e-4, atol=1e-6)  # float32, other passes
    assert float(expected.abs().max()) > 1e-3


def test_without_a_gradient_only_queries_help(sample, photos):
    blind = WithoutGradient(sample.module).eval()
    few = photos.limited(2, None, 0)

    def run(*stages):
        adaptive = Adaptive(stages=stages, steps=2, queries=20)
        return evaluate(sample.module, blind, few, threat="adaptive", adaptive=adaptive)

    with pytest.raises(InputError, match=r"needs no gradient .* got apgd, apgd-dlr; add square$"):
        run("apgd", "apgd-dlr")
    assert len(by_image(run("apgd", "square"))) == 2
    # Images that fool the plain model need no gradient of the defence.
    assert {row.stage for row in by_image(run("transfer")).values()} <= {"transfer", None}


# --- norms, baselines, smallest budgets --------------------------------------------------------


def test_a_budget_in_l2(sample, defended, photos):
    found = evaluate(
        sample.module,
        defended,
        photos.limited(6, None, 0),
        threat="adaptive",
        adaptive=Adaptive(steps=6, queries=30, norm="l2", redraws=0),
        epsilon=0.3,
    )
    broken = [row for row in found.rows if row.status is Status.BROKEN]
    assert {row.defence for row in broken} == {OURS, NONE}
    for row in found.rows:
        assert (row.norm, row.epsilon) == ("l2", 0.3)
    for row in broken:
        # One unit in the last place of each of 3072 float32 pixels.
        assert row.l2 <= 0.3 + 3072**0.5 * 2**-23
        assert row.l2 > 0.01
    # Far beyond what 0.3 allows if it were spread over all pixels (0.0054).
    assert max(row.linf for row in broken) > 0.01


def test_baselines_are_shown_the_same_images_and_attacked_themselves(sample, defended, photos):
    baselines = ["bit-depth", "one-neighbour", "gaussian"]
    found = evaluate(
        sample.module,
        defended,
        photos.limited(4, None, 0),
        ["fgsm"],
        protocol="fixed",
        baselines=baselines,
        adaptive=Adaptive(stages=("apgd",), steps=2, redraws=0),
    )
    transfer = [row for row in found.rows if row.attack == "fgsm"]
    assert Counter(row.defence for row in transfer) == dict.fromkeys([OURS, *baselines], 4)
    for image in range(4):
        rows = [row for row in transfer if row.image == image]
        seen = {(row.linf, row.l2, row.plain_clean, row.plain_adversarial) for row in rows}
        assert len(seen) == 1
    known = [row for row in found.rows if row.adaptive]
    assert Counter(row.defence for row in known) == dict.fromkeys([OURS, *baselines, NONE], 4)
    assert [line["defence"] for line in found.tables["side_by_side"]] == [OURS, *baselines, NONE]
    assert found.tables["settings"]["baselines"] == baselines
    assert found.tables["settings"]["rivals"] == baselines  # for one version


@pytest.mark.parametrize(
    ("baselines", "message"),
    [(["clown"], "one-neighbour, "), (["ball", "ball"], "got 'ball' twice")],
)
def test_baselines_that_are_refused(sample, defended, photos, baselines, message):
    few = photos.limited(1, None, 0)
    with pytest.raises(ConfigurationError, match=message):
        evaluate(sample.module, defended, few, ["fgsm"], baselines=baselines)
    with pytest.raises(ConfigurationError, match="expected a PostAverage"):
        evaluate(sample.module, sample.module, few, ["fgsm"], baselines=["jpeg"])


def test_baselines_are_taken_by_their_former_name(sample, defended, photos):
    with (
        pytest.raises(ConfigurationError, match="got 'ball' twice"),
        pytest.warns(DeprecationWarning, match="baselines="),
    ):
        evaluate(sample.module, defended, photos, ["fgsm"], rivals=["ball", "ball"])


def test_smallest_budgets_are_lengths_of_rows(convnet):
    """At radius 0 the defended model is the plain one, and needs the same budget."""
    x = torch.rand(12, 3, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    with torch.no_grad():
        labels = convnet(x).argmax(dim=1)
    defence = PostAverage(convnet, 0, directions=1, scale=1.0).eval()
    found = evaluate(
        convnet,
        defence,
        (x, labels),
        threat="adaptive",
        adaptive=Adaptive(stages=("apgd",), steps=5, curve=True),
    )
    budgets = found.tables["smallest_budgets"]
    assert set(budgets) == {OURS, NONE}
    ours, plain = (by_image(found, name, "smallest") for name in (OURS, NONE))
    for name, rows in ((OURS, ours), (NONE, plain)):
        assert all(row.protocol == "minimal" and row.adaptive for row in rows.values())
        lengths = [row.linf for row in rows.values()]
        assert all(row.found and row.linf > 0 for row in rows.values())
        assert budgets[name]["median"] == pytest.approx(median(lengths), rel=1e-12)
        for budget, accuracy in budgets[name]["curve"]:
            assert accuracy == sum(length > budget for length in lengths) / 12
    for image, row in ours.items():
        # Seven bisections of a factor of two, and rounding that may take one the other way.
        assert row.linf == pytest.approx(plain[image].linf, rel=0.05)
    assert budgets[OURS]["median"] == pytest.approx(budgets[NONE]["median"], rel=0.02)
    # What the cascade breaks within epsilon cannot need much more.
    for image, row in by_image(found).items():
        if row.status is Status.BROKEN:
            assert ours[image].linf < 1.5 * row.epsilon


# --- what is refused -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"stages": ("apgdd",)}, "stages of transfer, pgd"),
        ({"stages": ("apgd", "apgd")}, "each once"),
        ({"stages": ()}, "stages of"),
        ({"redraws": -1}, "redraws of 0 or more"),
        ({"draws": 0}, "draws and redraws of at least 1"),
        ({"broken_share": 0}, "broken share in"),
        ({"broken_share": 2}, "broken share in"),
        ({"steps": 0}, "at least one step"),
        ({"restarts": 0}, "at least one step and one start"),
        ({"queries": 0}, "at least one query"),
        ({"norm": "l3"}, "l3"),
        ({"norm": "l2", "curve": True}, "norm linf"),
        ({"norm": "l2", "stages": ("pgd",)}, "norm linf"),
    ],
)
def test_settings_out_of_range_are_refused(arguments, message):
    with pytest.raises(ConfigurationError, match=message):
        Adaptive(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"threat": "nobody"}, "a threat of transfer, adaptive, both; got 'nobody'"),
        ({"adaptive": Adaptive(norm="l2")}, "choose the threat adaptive alone"),
        ({"adaptive": Adaptive(norm="l2"), "threat": "transfer"}, "norm linf for transfer"),
        ({"epsilon": 0}, "epsilon in"),
        ({"epsilon": -0.1}, "epsilon in"),
        ({"epsilon": 1.1}, "epsilon in"),
        ({"epsilon": float("nan")}, "epsilon in"),
        (
            {"adaptive": Adaptive(norm="l2"), "threat": "adaptive", "epsilon": 56},
            r"epsilon in \(0, 55.43\], in pixels and l2",  # sqrt(3072)
        ),
    ],
)
def test_what_does_not_go_together_is_refused_before_the_first_row(
    sample, defended, photos, tmp_path, arguments, message
):
    out = tmp_path / "run"
    with pytest.raises(ConfigurationError, match=message):
        evaluate(
            sample.module, defended, photos.limited(1, None, 0), ["fgsm"], out=out, **arguments
        )
    assert not out.exists()


def test_inputs_that_are_no_images_are_attacked_without_square(mlp):
    x = torch.rand(5, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    with torch.no_grad():
        data = x, mlp(x).argmax(dim=1)
    defence = PostAverage(mlp, 0.1, directions=1, scale=1.0).eval()
    with pytest.raises(ConfigurationError, match=r"for the stage square, got shape \(6,\)"):
        evaluate(mlp, defence, data, ["fgsm"])
    adaptive = Adaptive(stages=("transfer", "pgd", "apgd", "apgd-dlr"), steps=5)
    found = evaluate(mlp, defence, data, threat="adaptive", adaptive=adaptive, epsilon=1)
    assert Status.BROKEN in {row.status for row in found.rows}
