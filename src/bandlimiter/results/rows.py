"""One row an image and attack: all that tables and figures are made from."""

from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict


class Status(StrEnum):
    """What became of one image under one attack, seen from the defence.

    The paper's defence rate is ``DEFENDED / (DEFENDED + BROKEN)``.
    """

    MISCLASSIFIED = "misclassified"  # by the plain model on the clean image: not attacked
    NOT_FOUND = "not found"  # the attack found nothing: the original stays in the set
    BEYOND_BUDGET = "beyond the budget"  # found, but farther than epsilon: the original stays
    DEFENDED = "defended"  # within the budget, and the defended model is right
    BROKEN = "broken"  # within the budget, and the defended model is wrong too


class Row(BaseModel):
    """One image under one attack.

    Lengths are of the perturbation that the attack found; 0 where it found none.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    image: int
    label: int
    attack: str
    protocol: Literal["minimal", "fixed", "saved"]
    threat: Literal["transfer", "unknown"]
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

    @property
    def status(self) -> Status:
        """What became of the image."""
        if self.plain_clean != self.label:
            return Status.MISCLASSIFIED
        if not self.found:
            return Status.NOT_FOUND
        if not self.within_budget:
            return Status.BEYOND_BUDGET
        return Status.DEFENDED if self.defended_adversarial == self.label else Status.BROKEN

    @property
    def adversarial(self) -> bool:
        """Whether the Attacked set holds the attack's image in place of the original."""
        return self.status in (Status.DEFENDED, Status.BROKEN)

    @property
    def plain_right(self) -> bool:
        """Whether the plain model is right on the Attacked set's image."""
        return self.plain_clean == self.label and not self.adversarial

    @property
    def defended_right(self) -> bool:
        """Whether the defended model is right on the Attacked set's image."""
        if self.adversarial:
            return self.defended_adversarial == self.label
        return self.defended_clean == self.label
