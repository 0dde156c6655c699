"""Names of runs, and what is said where two differ."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bandlimiter.errors import ConfigurationError
from bandlimiter.results.runs import run_name
from bandlimiter.results.runs.identity import canonical, differences, plain_name

_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
_OBJECT = st.dictionaries(st.text(), _JSON, max_size=4)


@settings(deadline=None)
@given(_OBJECT, st.randoms())
def test_order_of_keys_does_not_matter(identity: dict[str, object], dice: object) -> None:
    keys = list(identity)
    dice.shuffle(keys)  # type: ignore[attr-defined]
    assert run_name("a", {key: identity[key] for key in keys}) == run_name("a", identity)


@settings(deadline=None)
@given(_OBJECT, _OBJECT)
def test_names_differ_just_where_identities_do(
    one: dict[str, object], two: dict[str, object]
) -> None:
    """With JSON's own idea of equality: 1 and 1.0 are two texts, and two identities."""
    assert (canonical(one) == canonical(two)) == (run_name("a", one) == run_name("a", two))


def test_a_name_is_what_it_was() -> None:
    """A change here orphans every run on disk: sha256sum of the text gives these digits."""
    identity = {"seed": 0, "radius": 6.0}
    assert canonical(identity) == '{"radius":6.0,"seed":0}'
    assert run_name("attacks", identity) == "attacks-2489771eead3"


def test_tuples_are_lists() -> None:
    assert run_name("a", {"k": (6, 15)}) == run_name("a", {"k": [6, 15]})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), {1, 2}])
def test_what_json_cannot_hold_is_refused(value: object) -> None:
    with pytest.raises(ConfigurationError, match="JSON"):
        run_name("a", {"value": value})


NAMES = ["../../x", "..", ".", "", ".hidden", "a/b", "a\\b", "a\0b", "a\nb", "-rf", "é", "a" * 201]


@pytest.mark.parametrize("name", NAMES)
def test_names_that_lead_elsewhere_are_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="letters, digits"):
        plain_name(name, "name")
    with pytest.raises(ConfigurationError, match="letters, digits") as refused:
        run_name(name, {})
    assert "\n" not in str(refused.value)


def test_differences_are_named_by_their_path() -> None:
    old = {"defence": {"radius": 6.0, "seed": 0}, "gone": 1, "same": [1]}
    new = {"defence": {"radius": 4.0, "seed": 0}, "same": [1], "late": "x" * 99}
    said = differences(old, new)
    assert said.startswith('defence.radius: 6.0 -> 4.0, late: nothing -> "xxx')
    assert said.endswith("gone: 1 -> nothing")
    assert "same" not in said
    assert len(said) < 200


def test_many_differences_are_counted() -> None:
    said = differences(dict.fromkeys("abcdef", 0), dict.fromkeys("abcdef", 1))
    assert said == "a: 0 -> 1, b: 0 -> 1, c: 0 -> 1, and 3 more"
