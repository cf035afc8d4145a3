"""What a database holds, by which a backup and a restore of it are judged: rows by table, settings, identity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from .dump_files import StoredTable, TableCopy

# Tables whose rows a dump carries: partitions, not what they are parts of; none of the system's or an extension's.
TABLES = """
    select format('%I.%I', n.nspname, c.relname)
      from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where c.relkind = 'r' and c.relpersistence <> 't'
       and n.nspname not in ('pg_catalog', 'information_schema') and n.nspname !~ '^pg_'
       and not exists (select from pg_depend d
                        where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
     order by 1
"""
# Columns whose values a dump carries, and what each is of: for a domain and for an array that is another type.
STORED_TABLES = """
    select name, pg_table_size(a.attrelid), array_agg(format('%%I', a.attname) order by a.attnum),
           array_agg(case when base.typtype = 'e' then 'enum'
                          when kind.typnamespace = 'pg_catalog'::regnamespace then kind.typname::text else '' end)
      from unnest(%s::text[]) name
      join pg_attribute a on a.attrelid = to_regclass(name) and a.attnum > 0 and not a.attisdropped
                         and a.attgenerated = ''
      join pg_type t on t.oid = a.atttypid
      join pg_type base on base.oid = coalesce(nullif(t.typbasetype, 0), t.oid)
      join pg_type kind on kind.oid = case when base.typcategory = 'A' then base.typelem else base.oid end
     group by name, a.attrelid
     order by name
"""
DATABASE = """
    select pg_database_size(oid), pg_encoding_to_char(encoding), datcollate, datctype, pg_get_userbyid(datdba),
           datconnlimit, coalesce(datacl::text[], '{}'::text[]),
           (select count(*) from pg_largeobject_metadata),
           array(select format('%s=%s', extname, extversion) from pg_extension order by 1)
      from pg_database where datname = current_database()
"""
# ALTER DATABASE … SET and ALTER ROLE … IN DATABASE … SET: pg_dump leaves them out unless it also creates the database.
SETTINGS = """
    select coalesce(r.rolname, ''), s.setconfig
      from pg_db_role_setting s left join pg_roles r on r.oid = s.setrole
     where s.setdatabase = (select oid from pg_database where datname = current_database())
     order by 1
"""
SERVER = """
    select current_setting('server_version_num')::int, current_setting('server_version'), system_identifier::text
      from pg_control_system()
"""


@dataclass(frozen=True)
class DatabaseFacts:
    """``size`` in bytes, as the server stores it. ``settings`` by role, '' for all; ``grants`` as PostgreSQL writes
    them (manual, section 5.7); ``system`` is the cluster's own identifier, made when it was. ``dumped`` is about how
    many bytes a dump of it is before it is compressed; 0 where nobody has measured. ``copies`` are the dump's files
    beside its archive, by their names before they are packed."""

    name: str
    version_number: int
    version: str
    system: str
    size: int
    encoding: str
    collate: str
    ctype: str
    owner: str
    connection_limit: int
    grants: tuple[str, ...]
    large_objects: int
    extensions: tuple[str, ...]
    settings: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    rows: Mapping[str, int] = field(default_factory=dict)
    dumped: int = 0
    copies: Mapping[str, TableCopy] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> DatabaseFacts:
        lists = {name: tuple(told[name]) for name in ("grants", "extensions")}
        settings = {role: tuple(entries) for role, entries in told["settings"].items()}
        copies = {
            file: TableCopy(copy["table"], tuple(copy["columns"])) for file, copy in told.get("copies", {}).items()
        }
        return cls(**{**told, **lists, "settings": settings, "copies": copies})


def database_facts(cursor: Any, name: str) -> DatabaseFacts:
    """Of the database that the cursor's session is in, rows left out."""
    version_number, version, system = _row(cursor, SERVER)
    size, encoding, collate, ctype, owner, limit, grants, large_objects, extensions = _row(cursor, DATABASE)
    cursor.execute(SETTINGS)
    settings = {role: tuple(entries) for role, entries in cursor.fetchall()}
    return DatabaseFacts(
        name=name,
        version_number=version_number,
        version=version,
        system=system,
        size=size,
        encoding=encoding,
        collate=collate,
        ctype=ctype,
        owner=owner,
        connection_limit=limit,
        grants=tuple(grants),
        large_objects=large_objects,
        extensions=tuple(extensions),
        settings=settings,
    )


def tables(cursor: Any) -> list[str]:
    """Their names, as PostgreSQL quotes them."""
    cursor.execute(TABLES)
    return [name for (name,) in cursor.fetchall()]


def count_rows(cursor: Any) -> dict[str, int]:
    """Of every table, as the cursor's transaction sees it. Reads all of them."""
    return {name: int(_row(cursor, f"select count(*) from only {name}")[0]) for name in tables(cursor)}  # noqa: S608 (quoted)


def stored_tables(cursor: Any) -> list[StoredTable]:
    """Every table with its size, values that lie beside it included, indexes not."""
    cursor.execute(STORED_TABLES, (tables(cursor),))
    return [
        StoredTable(name, int(size), tuple(columns), frozenset(types))
        for name, size, columns, types in cursor.fetchall()
    ]


def differences(expected: Mapping[str, int], found: Mapping[str, int]) -> list[str]:
    """Sentences about the tables whose rows are not as many as they should be."""
    return [
        f"{name} should have {_told(expected.get(name))} and has {_told(found.get(name))}"
        for name in sorted(expected.keys() | found.keys())
        if expected.get(name) != found.get(name)
    ]


def _told(rows: int | None) -> str:
    return "no such table" if rows is None else f"{rows} row{'' if rows == 1 else 's'}"


def _row(cursor: Any, statement: str) -> tuple[Any, ...]:
    cursor.execute(statement)
    row: tuple[Any, ...] = cursor.fetchone()
    return row
