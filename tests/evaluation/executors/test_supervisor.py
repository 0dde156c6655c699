"""The policy, with workers whose fate is written down: no process is needed."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from bandlimiter.errors import (
    ConfigurationError,
    LoadError,
    MissingExtraError,
    NoGradientError,
)
from bandlimiter.evaluation.executors.outcomes import Died, Outcome, Raised, Stopped, attempt
from bandlimiter.evaluation.executors.supervisor import Supervisor
from bandlimiter.evaluation.executors.worker_pool import Place, Task
from bandlimiter.results.runs import RunStore
from tests.evaluation.executors.toy import OddError, Toy, plan


class Written:
    """One worker. ``fates``: image -> outcomes in turn, then it is well."""

    isolates = True

    def __init__(self, toy: Toy, fates: dict[int, list[Outcome]], *, idle: Sequence[Died] = ()):
        self.worker, self.fates, self.idle = toy, fates, list(idle)
        self.handed: list[Task] = []
        self.asked: list[tuple[str, Place]] = []

    @property
    def free(self) -> bool:
        return not self.handed

    def submit(self, task: Task) -> None:
        self.handed.append(task)
        self.asked.append((task.shard.name, task.place))

    def wait(self) -> Sequence[tuple[Task | None, Outcome]]:
        if self.idle:
            return [(None, self.idle.pop())]
        task = self.handed.pop()
        for image in task.shard.images:
            if self.fates.get(image):
                return [(task, self.fates[image].pop(0))]
        return [(task, attempt(self.worker, task.shard))]


def supervised(pool: Written, toy: Toy, shards: int, *, size: int = 2, begun: int = 0) -> RunStore:
    store = RunStore(None, {}, plan(shards, size), settings={})
    for _ in range(begun):
        store.begin(plan(shards, size)[0])
    Supervisor(store, toy, pool).run(store.missing())
    return store


DEATH = Died("was ended by SIGKILL")
ALONE, ANY, OUTSIDE = Place.ALONE, Place.ANY, Place.OUTSIDE


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
    tmp_path: Path, fates: list[Outcome], asked: list[tuple[str, Place]], failed: list[int]
) -> None:
    toy = Toy(tmp_path)
    pool = Written(toy, {1: list(fates)})
    rows = supervised(pool, toy, 2).rows()
    assert pool.asked == [*asked, ("01", ANY)]  # in the order of the plan
    assert [row.image for row in rows] == [0, 1, 2, 3]
    assert [row.image for row in rows if row.error] == failed
    well = supervised(Written(toy, {}), toy, 2).rows()
    assert [r for r in rows if not r.error] == [r for r in well if r.image not in failed]


def test_a_shard_that_a_driver_died_on_is_kept_from_the_driver(tmp_path: Path) -> None:
    toy = Toy(tmp_path)
    pool = Written(toy, {0: [Raised("no")]})
    supervised(pool, toy, 2, begun=1)
    assert pool.asked == [("00", OUTSIDE), ("00.0", OUTSIDE), ("00.1", OUTSIDE), ("01", ANY)]


@pytest.mark.parametrize(
    ("fates", "idle", "message"),
    [
        ([Died("fell", building=True)] * 3, [], "3 deaths in a row before that"),
        ([], [Died("fell", building=True)] * 3, "3 deaths in a row before that"),
        ([Died("fell")] * 20, [], "20 deaths in a row with nothing done between"),
    ],
)
def test_deaths_without_end_end_the_run(
    tmp_path: Path, fates: list[Outcome], idle: list[Died], message: str
) -> None:
    toy = Toy(tmp_path)
    fate: dict[int, list[Outcome]] = {image: list(fates) for image in range(6)}
    with pytest.raises(ConfigurationError, match=f"{message}.*the process fell"):
        supervised(Written(toy, fate, idle=idle), toy, 6, size=1)


def test_a_death_before_any_work_is_not_held_against_an_image(tmp_path: Path) -> None:
    toy = Toy(tmp_path)
    early = Died("fell", building=True)
    pool = Written(toy, {0: [early, early, DEATH, early, early]})
    assert not [row for row in supervised(pool, toy, 1).rows() if row.error]
    assert pool.asked == [("00", ANY)] * 6  # never taken apart: it died on the work once


def test_an_end_blames_nobody(tmp_path: Path) -> None:
    toy = Toy(tmp_path)
    released: Counter[str] = Counter()

    class Store(RunStore):
        def release(self, shard):
            released[shard.name] += 1
            super().release(shard)

    store = Store(None, {}, plan(3), settings={})
    pool = Written(toy, {2: [Stopped.of(KeyboardInterrupt())]})
    with pytest.raises(KeyboardInterrupt):
        Supervisor(store, toy, pool).run(store.missing())
    assert released == {"01": 1}
    assert [shard.name for shard in store.missing()] == ["01", "02"]
    assert store.begin(store.missing()[0]) == 0


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (NoGradientError("expected a gradient"), NoGradientError, "expected a gradient"),
        (LoadError("expected a file"), LoadError, "expected a file"),
        (MissingExtraError("expected ray"), MissingExtraError, "expected ray"),
        (FileNotFoundError(2, "No such file"), OSError, "[Errno 2] No such file"),
        (
            OddError("two\nlines"),
            ConfigurationError,
            "expected models and images that a worker can load, got OddError: two lines; "
            "one worker in this process may do",
        ),
    ],
)
def test_an_error_arrives_as_its_kind_in_one_line(
    error: Exception, kind: type[Exception], text: str
) -> None:
    arrived = Stopped.of(error).exception()
    assert type(arrived) is kind
    assert str(arrived) == text
    assert "In the worker" in arrived.__notes__[0]
