"""One row per image and attack: all that tables and figures are made from."""

from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict

OURS = "post-averaging"
"""The name of the defence that a run is about; baselines have names of their own."""

NONE = "none"
"""The plain model's name where it faces what defences face."""

CASCADE = "cascade"
"""The name of an attack that is several, each on the images that the earlier ones left."""

SMALLEST = "smallest"
"""The name of the search for smallest budgets."""


class Status(StrEnum):
    """What became of one image under one attack, seen from the defence.

    The paper's defence rate is ``DEFENDED / (DEFENDED + BROKEN)``.
    """

    MISCLASSIFIED = "misclassified"  # clean, by the attacked model: not attacked
    NO_TARGET = "no target"  # its label is the target: not attacked
    NOT_FOUND = "not found"  # the attack found nothing: the original stays in the set
    BEYOND_BUDGET = "beyond the budget"  # found, but farther than epsilon: the original stays
    DEFENDED = "defended"  # within the budget, and the defended model is right
    BROKEN = "broken"  # within the budget, and the defended model is wrong
    FAILED = "failed"  # no answer: the work on it ended in an error


class Row(BaseModel):
    """One image under one attack.

    Lengths are of the perturbation that the attack found; 0 where it found none. A targeted
    attack finds an image only where the attacked model gives it the target class; the defended
    model may then be right, at the target, or wrong elsewhere. An attack of
    threat ``adaptive`` was on the defended model, any other on the plain one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    image: int
    label: int
    attack: str
    protocol: Literal["minimal", "fixed", "saved"]
    threat: Literal["transfer", "adaptive", "unknown"]
    quick: bool
    epsilon: float
    plain_clean: int
    defended_clean: int
    found: bool
    within_budget: bool
    plain_adversarial: int | None
    """The plain model's label for the found image; None where nothing was found."""
    defended_adversarial: int | None
    linf: float
    """L-inf, pixels."""
    l2: float
    """L2, pixels."""
    l2_normalised: float | None
    """L2 in the network's input space; None where nothing was found or the scale is unknown."""
    defence: str = OURS
    """Which defence was judged."""
    norm: Literal["linf", "l2"] = "linf"
    """The norm that epsilon is meant in."""
    stage: str | None = None
    """Which attack of a `CASCADE` broke the image; None for none, and for other attacks."""
    queries: int | None = None
    gradients: int | None = None
    """Answers of the attacked model that went to this image; None where nobody counted."""
    evaluations: int | None = None
    """Evaluations of the network that these took: one for each point of an average."""
    wrong: float | None = None
    """Share of repeated predictions of the found image that are wrong (random answers only)."""
    broken_share: float | None = None
    """From which ``wrong`` on the image counts as broken."""
    other_seeds_clean: tuple[int, ...] = ()
    other_seeds_adversarial: tuple[int, ...] = ()
    """Labels under other direction seeds, of the clean and of the found image (fixed draws)."""
    target: int | None = None
    """The class that a targeted attack was to reach; None where any wrong one would do."""
    reached: float | None = None
    """Share of repeated predictions of the found image that are the target (random answers)."""
    precision: str = "float32"
    """What the run's fast copies compute in, if any; float32 judges what they find."""
    error: str | None = None
    """Why there is no answer; labels are then -1, and the row counts in no rate."""

    @property
    def status(self) -> Status:
        """What became of the image."""
        if self.error is not None:
            return Status.FAILED
        attacked = self.defended_clean if self.adaptive else self.plain_clean
        if attacked != self.label:
            return Status.MISCLASSIFIED
        if self.target == self.label:
            return Status.NO_TARGET
        if not self.found:
            return Status.NOT_FOUND
        if not self.within_budget:
            return Status.BEYOND_BUDGET
        return Status.BROKEN if self.adaptive or self._wrong_there else Status.DEFENDED

    @property
    def adaptive(self) -> bool:
        """Whether the defended model itself was attacked."""
        return self.threat == "adaptive"

    @property
    def adversarial(self) -> bool:
        """Whether the Attacked set holds the attack's image in place of the original."""
        return self.status in (Status.DEFENDED, Status.BROKEN)

    @property
    def plain_right(self) -> bool:
        """Whether the plain model is right on the Attacked set's image."""
        shown = self.plain_adversarial if self.adversarial else self.plain_clean
        return shown == self.label

    @property
    def defended_right(self) -> bool:
        """Whether the defended model is right on the Attacked set's image."""
        if self.adversarial:
            return self.status is Status.DEFENDED
        return self.defended_clean == self.label

    @property
    def attacked(self) -> bool:
        """Whether there was something to attack: an image that is right, and not at its target."""
        return self.status not in (Status.FAILED, Status.MISCLASSIFIED, Status.NO_TARGET)

    @property
    def plain_at_target(self) -> bool:
        """Whether the plain model gives the attack's image its target class."""
        known = self.adversarial and self.target is not None
        return known and self.plain_adversarial == self.target

    @property
    def defended_at_target(self) -> bool:
        """Whether the defended model does; where answers are random, in the stated share."""
        if not self.adversarial or self.target is None:
            return False
        if self.reached is not None and self.broken_share is not None:
            return self.reached >= self.broken_share
        return self.defended_adversarial == self.target

    def right_under_seed(self, number: int) -> bool:
        """Whether it would be right there with another direction seed, one of ``other_seeds_*``."""
        labels = self.other_seeds_adversarial if self.adversarial else self.other_seeds_clean
        return labels[number] == self.label

    @property
    def _wrong_there(self) -> bool:
        if self.wrong is not None and self.broken_share is not None:
            return self.wrong >= self.broken_share
        return self.defended_adversarial != self.label
