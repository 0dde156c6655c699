"""The policy, with workers whose fate is written down: no process is needed."""

import pickle
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path

import pytest

from bandlimiter.errors import ConfigurationError
from bandlimiter.evaluation.executors.outcomes import (
    Died,
    Outcome,
    Raised,
    attempt,
    unpack_and_start,
)
from bandlimiter.evaluation.executors.supervisor import Supervisor
from bandlimiter.results.runs import RunStore, Shard
from tests.evaluation.executors.toy import Toy, plan


class Written:
    """A pool of one. ``fates``: image -> outcomes in turn, then it is well.

    ``starts``: what becomes of workers as they start, in turn, then they are well.
    """

    size = 1

    def __init__(self, toy: Toy, fates: dict[int, list[Outcome]], starts: Sequence[Died] = ()):
        self.worker, self.fates, self.starts = toy, fates, list(starts)
        self.asked: list[tuple[str, bool]] = []
        self.living = 0

    def start(self, alone: bool = False) -> "WrittenMember":
        return WrittenMember(self, alone)

    def start_alone(self) -> "WrittenMember":
        return self.start(alone=True)


class WrittenMember:
    def __init__(self, pool: Written, alone: bool) -> None:
        self.pool, self.alone, self.open = pool, alone, True
        pool.living += 1
        self.ready: Future[Outcome | None] = Future()
        self.ready.set_result(pool.starts.pop(0) if pool.starts else None)

    def submit(self, shard: Shard) -> "Future[Outcome]":
        self.pool.asked.append((shard.name, self.alone))
        done: Future[Outcome] = Future()
        fates = (self.pool.fates.get(image) for image in shard.images)
        fate = next((fate for fate in fates if fate), None)
        done.set_result(fate.pop(0) if fate else attempt(self.pool.worker, shard))
        return done

    def outcome(self, future: "Future[Outcome]") -> Outcome | None:
        return future.result()

    def close(self) -> None:
        self.pool.living -= self.open
        self.open = False


def supervised(pool: Written, toy: Toy, shards: int, *, size: int = 2) -> RunStore:
    store = RunStore(None, {}, plan(shards, size), settings={})
    try:
        Supervisor(store, toy, pool).run(store.missing())
    finally:
        assert pool.living == 0
    return store


DEATH = Died("was ended by SIGKILL")
ALONE, ANY = True, False


@pytest.mark.parametrize(
    ("fates", "asked", "failed"),
    [
        ([], [("00", ANY)], []),
        ([DEATH], [("00", ANY)] * 2, []),
        (
            [DEATH] * 2,
            [("00", ANY)] * 2 + [("00.0", ALONE), ("00.1", ALONE)],
            [],
        ),
        (
            [DEATH] * 3,  # one death alone may be bad luck
            [("00", ANY)] * 2 + [("00.0", ALONE)] + [("00.1", ALONE)] * 2,
            [],
        ),
        (
            [DEATH] * 4,
            [("00", ANY)] * 2 + [("00.0", ALONE)] + [("00.1", ALONE)] * 2,
            [1],
        ),
        ([Raised("no")], [("00", ANY), ("00.0", ANY), ("00.1", ANY)], []),
        ([Raised("no")] * 2, [("00", ANY), ("00.0", ANY), ("00.1", ANY)], [1]),
    ],
)
def test_who_is_asked_for_what(
    tmp_path: Path, fates: list[Outcome], asked: list[tuple[str, bool]], failed: list[int]
) -> None:
    toy = Toy(tmp_path)
    pool = Written(toy, {1: list(fates)})
    rows = supervised(pool, toy, 2).rows()
    assert pool.asked == [*asked, ("01", ANY)]  # in the order of the plan
    assert [row.image for row in rows] == [0, 1, 2, 3]
    assert [row.image for row in rows if row.error] == failed
    well = supervised(Written(toy, {}), toy, 2).rows()
    assert [r for r in rows if not r.error] == [r for r in well if r.image not in failed]


@pytest.mark.parametrize(
    ("fates", "starts", "message"),
    [
        ([], [Died("fell")] * 3, "3 deaths in a row before that"),
        ([Died("fell")] * 20, [], "20 deaths in a row with nothing done between"),
        ([Died("fell", blameless=True)] * 20, [], "20 deaths in a row with nothing done between"),
    ],
)
def test_deaths_without_end_end_the_run(
    tmp_path: Path, fates: list[Outcome], starts: list[Died], message: str
) -> None:
    toy = Toy(tmp_path)
    fate: dict[int, list[Outcome]] = {image: list(fates) for image in range(6)}
    with pytest.raises(ConfigurationError, match=f"{message}.*the process fell"):
        supervised(Written(toy, fate, starts), toy, 6, size=1)


def test_a_death_before_any_work_is_not_held_against_an_image(tmp_path: Path) -> None:
    toy = Toy(tmp_path)
    early = Died("fell")
    pool = Written(toy, {0: [DEATH]}, [early, early])
    assert not [row for row in supervised(pool, toy, 1).rows() if row.error]
    assert pool.asked == [("00", ANY)] * 2  # never taken apart: it died on the work once


def test_memory_that_others_took_is_not_held_against_an_image(tmp_path: Path) -> None:
    toy = Toy(tmp_path)
    pool = Written(toy, {0: [Died("was lost", blameless=True)] * 5})
    assert not [row for row in supervised(pool, toy, 1).rows() if row.error]
    assert pool.asked == [("00", ANY)] * 6


def test_an_end_blames_nobody(tmp_path: Path) -> None:
    toy = Toy(tmp_path, {2: "configuration"})
    released: Counter[str] = Counter()

    class Store(RunStore):
        def release(self, shard):
            released[shard.name] += 1
            super().release(shard)

    store = Store(None, {}, plan(3), settings={})
    pool = Written(toy, {})
    with pytest.raises(ConfigurationError):
        Supervisor(store, toy, pool).run(store.missing())
    assert released == {"01": 1}
    assert [shard.name for shard in store.missing()] == ["01", "02"]
    assert store.begin(store.missing()[0]) == 0


@pytest.mark.parametrize(
    ("building", "kind", "text"),
    [
        ("configuration", ConfigurationError, "expected sense, got none"),
        ("memory", MemoryError, "full"),
        ("no file", OSError, "[Errno 2] No such file"),
        ("leave", ConfigurationError, "expected models and images that a worker can load, got "
         "SystemExit: 3; one worker in this process may do"),
        ("unpicklable", ConfigurationError, "expected models and images that a worker can load, "
         "got OddError: odd; one worker in this process may do"),
    ],
)  # fmt: skip
def test_what_a_start_raises_travels_between_processes(
    tmp_path: Path, building: str, kind: type[Exception], text: str
) -> None:
    with pytest.raises(kind) as raised:
        unpack_and_start(pickle.dumps(Toy(tmp_path, building=building)))
    assert str(raised.value) == text
    assert str(pickle.loads(pickle.dumps(raised.value))) == text
