"""All tables of a run, in the order that they are read."""

from bandlimiter.report.tables.accuracy import class_tables, difference_table, side_by_side_table
from bandlimiter.report.tables.attacks import adaptive_table, attack_tables, budget_table
from bandlimiter.report.tables.certified import certified_tables, tuning_tables
from bandlimiter.report.tables.robust import robust_tables
from bandlimiter.report.tables.run_details import (
    failure_table,
    phase_table,
    settings_table,
    timing_table,
)
from bandlimiter.report.tables.study import Study
from bandlimiter.report.tables.table import Table
from bandlimiter.report.tables.targeted import target_table


def tables_of(study: Study) -> list[Table]:
    """Return every table that a run has rows for."""
    found = [
        *certified_tables(study),
        *tuning_tables(study),
        *robust_tables(study),
        side_by_side_table(study),
        difference_table(study),
        *attack_tables(study),
        adaptive_table(study),
        target_table(study),
        budget_table(study),
        *class_tables(study),
        failure_table(study),
        settings_table(study),
        phase_table(study),
        timing_table(study),
    ]
    return [table for table in found if table.rows]
