"""What is known of an image under one budget: proven, broken, or neither."""

from pydantic import BaseModel, ConfigDict


class RobustRow(BaseModel):
    """One image, one classifier, one budget in one norm."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    image: int
    label: int
    defence: str
    """Who is attacked: ``post-averaging``, ``none`` (the network without noise), or another."""
    norm: str
    """``"l2"`` or ``"linf"``, of the budget; both in pixels."""
    budget: float | None
    """0 for the image as it is; None for the smallest budget that a search found."""
    answer: int
    """The label of the image as it is; of an average the one with most of the votes."""
    broken: bool
    """An attack found a point within the budget with another label, where the answer is right."""
    adversarial: int | None = None
    """That label."""
    stage: str | None = None
    """The attack that found the point."""
    linf: float = 0.0
    l2: float = 0.0
    """Lengths of the perturbation in pixels; 0 where nothing was found."""
    wrong: float | None = None
    """Of the votes at the point: the share for other classes than the label."""
    certified: bool | None = None
    """Right at all points within this L2 budget, proven; None where there is no certificate, or the
    samples cannot reach it."""
    samples: int | None = None
    """Evaluations that the certificate took, of all radii together."""
    gradients: int = 0
    evaluations: int = 0
    """What the attack took, of all budgets up to this one; see `attacks.Costs`."""
    precision: str = "float32"
    """Of the gradients; verdicts are the classifier's own."""
    error: str | None = None
    """Why there is no answer."""

    @property
    def clean_right(self) -> bool:
        """Whether the image as it is was right."""
        return self.answer == self.label

    @property
    def right(self) -> bool:
        """Whether the image was right, and no attack has changed that."""
        return self.clean_right and not self.broken
