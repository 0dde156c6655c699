"""What goes into a store comes out again: in the plan's order, under its own identity only."""

import itertools
import json
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from bandlimiter.errors import ConfigurationError, InputError, LoadError
from bandlimiter.results.runs import RunStore, Shard, ShardResult, StoredRun
from tests.results.runs.material import IDENTITY, PLAN, SETTINGS, harvest_of, row
from tests.results.runs.strategies import rows


def opened(folder: Path | None, **changes: object) -> RunStore:
    return RunStore(folder, IDENTITY | changes, PLAN, settings=SETTINGS)


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[RunStore]:
    """A store on disk, where not everything can be written."""
    with opened(tmp_path / "run") as store:
        yield store


@pytest.fixture(params=["disk", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RunStore]:
    with opened(tmp_path / "run" if request.param == "disk" else None) as store:
        yield store


def same(one: ShardResult, two: ShardResult) -> bool:
    """Whether two results are equal, types and bits of their arrays included."""
    return (
        list(one.rows) == list(two.rows)
        and one.facts == two.facts
        and list(one.timings) == list(two.timings)
        and one.arrays.keys() == two.arrays.keys()
        and all(
            a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
            for a, b in ((one.arrays[name], two.arrays[name]) for name in one.arrays)
        )
    )


_FACTS = st.dictionaries(
    st.text(), st.none() | st.integers() | st.text() | st.lists(st.floats(allow_nan=False))
)
_ARRAYS = st.dictionaries(
    st.text(min_size=1),
    arrays.arrays(
        st.sampled_from([np.float32, np.float64, np.int64, np.uint8, np.bool_]),
        arrays.array_shapes(min_dims=0, min_side=0),
    ),
    max_size=3,
)


@settings(max_examples=40, deadline=None)
@given(
    st.builds(
        ShardResult, st.lists(rows(), max_size=3), _ARRAYS, _FACTS, st.lists(_FACTS, max_size=2)
    )
)
def test_a_result_comes_back_as_it_was(result: ShardResult) -> None:
    with tempfile.TemporaryDirectory() as folder:
        with opened(Path(folder) / "run") as store:
            store.put(PLAN[1], result)
            assert same(store.result(PLAN[1]), result)
        with opened(Path(folder) / "run") as store:
            assert not store.redone
            assert same(store.result(PLAN[1]), result)


def test_both_kinds_of_store_give_it_back(store: RunStore) -> None:
    given_ = harvest_of(PLAN[1])
    assert store.missing() == PLAN
    store.put(PLAN[1], given_)
    assert store.missing() == [PLAN[0], PLAN[2]]
    assert same(store.result(PLAN[1]), given_)
    assert store.facts(PLAN[1]) == given_.facts
    assert store.arrays(PLAN[1])["ids"].tolist() == [2, 3]
    assert store.rows() == given_.rows


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_order_of_putting_does_not_matter(order: tuple[int, ...], tmp_path: Path) -> None:
    expected = [row for shard in PLAN for row in harvest_of(shard).rows]
    with opened(tmp_path / "run") as store:
        for i in order:
            store.put(PLAN[i], harvest_of(PLAN[i]))
        assert store.rows() == expected
    with opened(tmp_path / "run") as store:
        assert not store.missing()
        assert not store.redone
        assert store.rows() == expected


def test_a_shard_without_arrays_has_no_file(tmp_path: Path) -> None:
    with opened(tmp_path / "run") as store:
        store.put(PLAN[0], ShardResult(rows=[row(0)]))
        store.put(PLAN[1], ShardResult())
    assert not list((tmp_path / "run" / "shards").iterdir())
    with opened(tmp_path / "run") as store:
        assert store.rows() == [row(0)]
        assert store.missing() == [PLAN[2]]


def test_two_stores_hold_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        with opened(tmp_path / name) as store:
            for shard in PLAN:
                store.put(shard, harvest_of(shard))
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*"))
    assert [str(file) for file in files] == [
        *("lock", "run.sqlite", "shards"),
        *(f"shards/{shard.name}.safetensors" for shard in PLAN),
    ]
    for file in files:
        if (tmp_path / "one" / file).is_file():
            assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_other_programs_read_the_rows_by_column(tmp_path: Path) -> None:
    """With SQLite alone: a column per field, shards by number, findings as a view."""
    finding = {"kind": "masked gradients", "about": "pgd", "images": 3}
    with opened(tmp_path / "run") as store:
        store.put(PLAN[0], harvest_of(PLAN[0]))
        store.put(PLAN[2], ShardResult(facts={"findings": [finding]}))
    with sqlite3.connect(tmp_path / "run" / "run.sqlite") as other:
        found = other.execute(
            "SELECT shards.name, image, linf, found, stage, other_seeds_clean FROM rows"
            " JOIN shards ON shards.number = rows.shard WHERE error IS NULL"
        ).fetchall()
        assert found == [(PLAN[0].name, 0, 1 / 255, 1, None, "[]")]
        assert other.execute("SELECT shard, kind, about FROM findings").fetchall() == [
            (PLAN[2].name, "masked gradients", "pgd")
        ]
    other.close()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"weights": "77aa"}, 'weights: "3f9a" -> "77aa"'),
        ({"defence": {"radius": 4.0, "directions": 15}}, "defence.radius: 6.0 -> 4.0"),
        ({"seed": 1}, "others: seed: nothing -> 1; repeat"),
        ({"shard": {}}, "shard: nothing -> {}"),
    ],
)
def test_another_identity_is_refused_by_name(
    changes: dict[str, object], said: str, tmp_path: Path
) -> None:
    with opened(tmp_path / "run") as store:
        store.put(PLAN[0], harvest_of(PLAN[0]))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(ConfigurationError) as refused:
        opened(tmp_path / "run", **changes)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    opened(tmp_path / "run").close()  # and the refusal let go of the lock


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        (PLAN[:2], 'shard.0002-fgsm.item: "fgsm" -> nothing'),
        (
            [*PLAN[:2], Shard("0002-fgsm", "fgsm", (4, 6))],
            "shard.0002-fgsm.images: [4, 5] -> [4, 6]",
        ),
        (PLAN[::-1], "order of shards"),
    ],
)
def test_another_plan_is_another_run(plan: list[Shard], said: str, tmp_path: Path) -> None:
    opened(tmp_path / "run").close()
    with pytest.raises(ConfigurationError) as refused:
        RunStore(tmp_path / "run", IDENTITY, plan, settings=SETTINGS)
    assert said in str(refused.value)


def test_settings_are_no_part_of_the_identity(tmp_path: Path) -> None:
    opened(tmp_path / "run").close()
    RunStore(tmp_path / "run", IDENTITY, PLAN, settings={"workers": 2}).close()
    assert StoredRun.open(tmp_path / "run").settings == {"workers": 2}


def test_a_shard_is_put_once_and_must_be_planned(store: RunStore) -> None:
    store.put(PLAN[0], harvest_of(PLAN[0]))
    with pytest.raises(ConfigurationError, match="is finished"):
        store.put(PLAN[0], harvest_of(PLAN[0]))
    with pytest.raises(ConfigurationError, match="plan"):
        store.put(Shard("0000-fgsm", "pgd", (0, 1)), ShardResult())
    with pytest.raises(ConfigurationError, match="plan"):
        store.begin(Shard("late", "fgsm", (0,)))
    with pytest.raises(ConfigurationError, match="still missing"):
        store.result(PLAN[1])
    assert store.rows() == harvest_of(PLAN[0]).rows


@pytest.mark.parametrize(
    "result",
    [
        ShardResult(facts={"when": object()}),
        ShardResult(timings=[{"seconds": np.float32(1)}]),
        ShardResult(arrays={"names": np.array(["cat"])}),
        ShardResult(arrays={"__metadata__": np.zeros(1)}),
        ShardResult(rows=[row(2**64)]),
        ShardResult(rows=[row(0, linf=float("nan"))]),
        ShardResult(rows=[row(0, error="\udce9")]),
    ],
)
def test_what_cannot_be_kept_is_refused_before_anything_is_written(
    result: ShardResult, kept: RunStore
) -> None:
    with pytest.raises(InputError) as refused:
        kept.put(PLAN[0], result)
    assert "\n" not in str(refused.value)
    assert kept.missing() == PLAN
    assert kept.folder is not None
    assert not list((kept.folder / "shards").iterdir())
    kept.put(PLAN[0], harvest_of(PLAN[0]))


def test_starts_that_ended_in_nothing_are_counted(store: RunStore) -> None:
    assert [store.begin(PLAN[0]) for _ in range(3)] == [0, 1, 2]
    store.release(PLAN[0])
    assert store.begin(PLAN[0]) == 2
    assert store.begin(PLAN[1]) == 0
    store.release(PLAN[1])
    store.release(PLAN[1])  # once more than it was begun
    assert store.begin(PLAN[1]) == 0


def test_starts_are_remembered_and_ended_by_putting(tmp_path: Path) -> None:
    with opened(tmp_path / "run") as store:
        store.begin(PLAN[0])
        store.begin(PLAN[1])
        store.put(PLAN[1], harvest_of(PLAN[1]))
        store.begin(PLAN[2])
        store.release(PLAN[2])
    (tmp_path / "run" / "shards" / "0001-fgsm.safetensors").unlink()
    with opened(tmp_path / "run") as store:
        assert list(store.redone) == ["0001-fgsm"]
        assert [store.begin(shard) for shard in PLAN] == [1, 0, 0]


def test_documents_are_in_the_database_and_beside_it_and_only_there(
    kept: RunStore, tmp_path: Path
) -> None:
    kept.write_document("result.json", {"accuracy": 0.5})
    for name in ("holder.json", "result.txt", "../x.json", "shards/x.json", ".x.json"):
        with pytest.raises(ConfigurationError):
            kept.write_document(name, {})
    with pytest.raises(InputError, match="JSON"):
        kept.write_document("other.json", {"x": object()})
    assert kept.folder is not None
    assert json.loads((kept.folder / "result.json").read_text()) == {"accuracy": 0.5}
    assert StoredRun.open(kept.folder).documents == {"result.json": {"accuracy": 0.5}}
    assert sorted(tmp_path.iterdir()) == [kept.folder]
    assert not list(tmp_path.rglob("x.json"))


@pytest.mark.parametrize("name", ["../../x", "a/b", "", ".x", "a\0"])
def test_shards_stay_inside(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="letters, digits"):
        RunStore(tmp_path / "deep" / "run", {}, [Shard(name, "t", (0,))], settings={})
    assert not list(tmp_path.iterdir())


def test_shards_must_have_names_of_their_own(tmp_path: Path) -> None:
    plan = [Shard("a", "t", (0,)), Shard("A", "t", (1,))]
    with pytest.raises(ConfigurationError, match="'A' twice"):
        RunStore(tmp_path / "run", {}, plan, settings={})


def test_a_closed_store_writes_nothing(tmp_path: Path) -> None:
    store = opened(tmp_path / "run")
    store.close()
    store.close()
    for write in (
        lambda: store.put(PLAN[0], harvest_of(PLAN[0])),
        lambda: store.begin(PLAN[0]),
        lambda: store.release(PLAN[0]),
        lambda: store.write_document("result.json", {}),
    ):
        with pytest.raises(ConfigurationError, match="closed"):
            write()
    assert not list((tmp_path / "run" / "shards").iterdir())


def test_another_format_is_refused(tmp_path: Path) -> None:
    opened(tmp_path / "run").close()
    with sqlite3.connect(tmp_path / "run" / "run.sqlite") as other:
        other.execute("PRAGMA user_version = 3")
    other.close()
    with pytest.raises(LoadError, match="format 2 .* got 3; read it with the version"):
        opened(tmp_path / "run")


def test_in_memory_settings_must_be_json_too() -> None:
    with pytest.raises(ConfigurationError, match="settings that JSON can hold"):
        RunStore(None, {}, PLAN, settings={"x": object()})
