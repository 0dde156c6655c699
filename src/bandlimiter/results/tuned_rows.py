"""What an average answers on a clean image at one setting that ``tune`` tried."""

from pydantic import BaseModel, ConfigDict


class TunedRow(BaseModel):
    """One image at one radius and K."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    image: int
    label: int
    radius: float
    """In the network's input space."""
    directions: int
    averaged: int
    """The average's label."""
