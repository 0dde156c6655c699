"""What is certified of an image."""

from datetime import timedelta

from pydantic import BaseModel, ConfigDict

COLUMNS = ("idx", "label", "predict", "radius", "correct", "time")
"""Of the literature's tables; see `CertifiedRow.columns`."""


class CertifiedRow(BaseModel):
    """What is certified of one image."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    image: int
    label: int
    plain: int
    """The plain model's label."""
    certified: int | None
    """The label of the average; None where that is not known (an abstention)."""
    radius: float
    """The largest that is certified, L2 in the units of x, in pixels; 0 where none is."""
    undecided: int
    """At how many radii the samples left it open."""
    share: float
    """Of the samples: the label's votes, or its mean gain over the runner-up."""
    samples: int
    seconds: float
    error: str | None = None
    """Why there is no answer: it counts as an abstention."""

    @property
    def right(self) -> bool:
        """Whether the average's label is known and right."""
        return self.certified == self.label

    def columns(self) -> str:
        """Write it as the literature does, with all digits of the radius."""
        predicted = -1 if self.certified is None else self.certified
        time = timedelta(seconds=self.seconds)
        values = (self.image, self.label, predicted, self.radius, int(self.right), time)
        return "\t".join(map(str, values)) + "\n"
