"""The kinds of rows that a run may have, by name."""

from pydantic import BaseModel

from bandlimiter.results.certified_rows import CertifiedRow
from bandlimiter.results.robust_rows import RobustRow
from bandlimiter.results.rows import Row
from bandlimiter.results.tuned_rows import TunedRow

ROW_TYPES: dict[str, type[BaseModel]] = {
    kind.__name__: kind for kind in (Row, CertifiedRow, RobustRow, TunedRow)
}
