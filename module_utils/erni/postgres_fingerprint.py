"""By what a database is known again: as long as it is the same, nobody has changed its rows, sequences or schema.

From PostgreSQL's own counters (manual, section 28.2), so that asking costs nothing, however large the database is. They
begin anew after a crash; a restore is done once more then, which costs time and nothing else.
"""

from __future__ import annotations

import hashlib
from typing import Any

FIRST_OWN_OID = 16384  # below are the system's (transam.h, FirstNormalObjectId)
OBSERVED = (
    # Rows that were written, truncated tables (another file), and large objects.
    """select relid::text, n_tup_ins, n_tup_upd, n_tup_del, pg_relation_filenode(relid)
         from pg_stat_all_tables
        where schemaname !~ '^pg_' and schemaname <> 'information_schema' or relname like 'pg_largeobject%'
        order by 1""",
    "select schemaname, sequencename, last_value::text from pg_sequences order by 1, 2",
    # A row of the catalogue that was changed is another row.
    *(
        f"select count(*), md5(string_agg({key}::text || ':' || xmin::text, ',' order by {key})) "  # noqa: S608 (of this file)
        f"from {catalogue} where {owner} >= {FIRST_OWN_OID}"
        for catalogue, key, owner in (
            ("pg_class", "oid", "oid"),
            ("pg_attribute", "(attrelid, attnum)", "attrelid"),
            ("pg_attrdef", "oid", "oid"),
            ("pg_constraint", "oid", "oid"),
            ("pg_index", "indexrelid", "indexrelid"),
            ("pg_proc", "oid", "oid"),
            ("pg_trigger", "oid", "oid"),
            ("pg_type", "oid", "oid"),
        )
    ),
    "select stats_reset::text from pg_stat_database where datname = current_database()",
)


def fingerprint(cursor: Any) -> str:
    """Of the database that the cursor's session is in."""
    digest = hashlib.sha256()
    for statement in OBSERVED:
        cursor.execute(statement)
        digest.update(repr(cursor.fetchall()).encode())
    return digest.hexdigest()[:32]
