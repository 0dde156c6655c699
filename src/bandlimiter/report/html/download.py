"""Rows to download: CSV, compressed inside the page, unpacked by the reader's own browser."""

import base64
import gzip
from dataclasses import dataclass

from bandlimiter.report.tables import Study, rows_csv


@dataclass(frozen=True)
class Download:
    """A file within the page."""

    name: str
    content: str
    """Base64 of its gzip."""
    count: int
    size: int
    """Unpacked, in bytes."""


def rows_download(study: Study, name: str) -> Download:
    """Return all rows of a run, failed ones too; the same rows give the same bytes."""
    data = rows_csv(study.records).encode()
    packed = base64.b64encode(gzip.compress(data, mtime=0)).decode()
    return Download(f"{name}-rows.csv", packed, len(study.records), len(data))
