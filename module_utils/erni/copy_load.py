"""Load a dump's data, pg_restore's SQL and binary copies, into a database: each table in a transaction that freezes it.

pg_restore itself could write to the server. What it cannot is ``COPY … WITH (FREEZE)`` (PostgreSQL's manual, COPY):
rows that are written as seen by everybody need not be marked by whoever reads them first, which would write the whole
table once more, and with data checksums its log, too (manual, ``wal_log_hints``); nor by a later vacuum.
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection
from typing import IO, Any

from .copy_rows import BEGIN, END, TO_ROWS, table_name
from .dump_files import TableCopy
from .scratch_container import POLL_SECONDS, Watch, unwatched

# Bytes that are read and sent at once: what is larger does not fit the processor's caches, and takes longer.
BLOCK = 1 << 16
# Bytes of statements between tables' data (large objects are such) that are sent at once.
STATEMENTS = 1 << 20
# Comments, and what pg_restore writes for psql since 15.14, to take rights away from it.
NO_STATEMENTS = (b"--", b"\\restrict ", b"\\unrestrict ")
END_OF_ROWS = b"\n" + END
END_OF_STATEMENT = b";\n"
FREEZING = b" WITH (FREEZE);\n"
# What pg_restore begins with, too, as far as it matters to a copy: nothing ends it before its own end, and functions
# of checks find what they use by its whole name. The encoding is the database's, which is the dump's.
SESSION = """
    set statement_timeout = 0; set lock_timeout = 0; set idle_in_transaction_session_timeout = 0;
    set row_security = off;
    select pg_catalog.set_config('search_path', '', false),
           pg_catalog.set_config('client_encoding', pg_catalog.current_setting('server_encoding'), false)
"""


class SqlText:
    """pg_restore's text from a descriptor: lines, and after a line that announces a table's data, its rows."""

    def __init__(self, source: int) -> None:
        self._source = source
        self._rest = b""

    def line(self) -> bytes:
        """The next line with its end; empty after the last one."""
        while (end := self._rest.find(b"\n") + 1) == 0:
            if not self.more():
                end = len(self._rest)
                break
        line, self._rest = self._rest[:end], self._rest[end:]
        return line

    def rows(self, watch: Watch) -> Rows:
        return Rows(self, watch)

    def more(self) -> bool:
        """Whether there was any more to read."""
        block = os.read(self._source, BLOCK)
        self._rest += block
        return bool(block)

    def take_rows(self, *, at_begin: bool) -> tuple[bytes, bool]:
        """What is read by now of a table's rows, and whether these are the last ones.

        :param at_begin: that the text is at the begin of a line: what ends the rows is a line of its own.
        :raises EOFError: when the text breaks off.
        """
        while True:
            if at_begin and self._rest.startswith(END):
                self._rest = self._rest[len(END) :]
                return b"", True
            if (end := self._rest.find(END_OF_ROWS) + 1) > 0:
                rows, self._rest = self._rest[:end], self._rest[end + len(END) :]
                return rows, True
            # What ends the rows may have come in part.
            if (whole := len(self._rest) - len(END_OF_ROWS) + 1) > 0:
                rows, self._rest = self._rest[:whole], self._rest[whole:]
                return rows, False
            if not self.more():
                raise EOFError("it breaks off within a table's data")


class _Watched:
    """A file that psycopg2 reads from, while somebody watches.

    ``failure`` is why it could not be read: psycopg2 tells of it as a refusal of the server's.
    """

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._watched = time.monotonic()
        self.failure: BaseException | None = None

    def read(self, _size: int) -> bytes:
        """Some of it; empty at its end."""
        try:
            if time.monotonic() - self._watched > POLL_SECONDS:
                self._watch()
                self._watched = time.monotonic()
            return self._block()
        except BaseException as failure:
            self.failure = failure
            raise

    def _block(self) -> bytes:
        raise NotImplementedError


class Rows(_Watched):
    """One table's in a text."""

    def __init__(self, text: SqlText, watch: Watch) -> None:
        super().__init__(watch)
        self._text = text
        self._began = self._ended = False

    def _block(self) -> bytes:
        if self._ended:
            return b""
        rows, self._ended = self._text.take_rows(at_begin=not self._began)
        self._began = True
        return rows


class _Copied(_Watched):
    """One table's in a file of their own."""

    def __init__(self, source: IO[bytes], watch: Watch) -> None:
        super().__init__(watch)
        self._source = source

    def _block(self) -> bytes:
        return self._source.read(BLOCK)


def load_copy(source: IO[bytes], cursor: Any, copy: TableCopy, watch: Watch = unwatched) -> None:
    """All rows of a table, in binary form. The table is always the restore's own: an extension's is never copied.

    :param source: is read without a buffer of its own.
    :param cursor: and ``watch`` as for :func:`load_sql`.
    """
    cursor.execute(SESSION)
    statement = f"copy {copy.what} from stdin with (format binary, freeze)"
    _copy(cursor, copy.table, statement, _Copied(source, watch))


def load_sql(source: int, cursor: Any, own_tables: Collection[str], watch: Watch = unwatched) -> None:
    """Everything that the descriptor gives.

    :param cursor: of a session that begins no transactions by itself.
    :param own_tables: that were made empty by this restore, by their names as PostgreSQL quotes them; of others, which
        an extension made and filled, nothing is taken away.
    :param watch: is asked all the while, and ends it by what it raises.
    :raises EOFError: when the text breaks off within a table's data, which stays empty then.
    """
    text, statements = SqlText(source), _Statements(cursor, watch)
    while line := text.line():
        if line.startswith(BEGIN) and line.endswith(TO_ROWS):
            statements.send()
            _copy_of_text(cursor, line, text.rows(watch), own_tables)
        else:
            statements.add(line)
    statements.send()


class _Statements:
    """Lines that are gathered until there are enough to be worth a message to the server."""

    def __init__(self, cursor: Any, watch: Watch) -> None:
        self._cursor, self._watch = cursor, watch
        self._lines: list[bytes] = []
        self._size = 0

    def add(self, line: bytes) -> None:
        between = not self._lines or self._lines[-1].endswith(END_OF_STATEMENT)
        if between and (line == b"\n" or line.startswith(NO_STATEMENTS)):
            return
        self._lines.append(line)
        self._size += len(line)
        if self._size >= STATEMENTS and line.endswith(END_OF_STATEMENT):
            self.send()

    def send(self) -> None:
        self._watch()
        if self._lines:
            self._cursor.execute(b"".join(self._lines))
        self._lines, self._size = [], 0


def _copy_of_text(cursor: Any, line: bytes, rows: Rows, own_tables: Collection[str]) -> None:
    name = table_name(line)
    frozen = name in own_tables
    statement = line.removesuffix(END_OF_STATEMENT) + FREEZING if frozen else line
    _copy(cursor, name if frozen else "", statement, rows)


def _copy(cursor: Any, to_truncate: str, statement: str | bytes, rows: _Watched) -> None:
    """:param to_truncate: the table's name where it is to be frozen, which has to be new in this very transaction."""
    try:
        cursor.execute("begin")
        if to_truncate:
            cursor.execute(f"truncate only {to_truncate}")
        cursor.copy_expert(statement, rows, BLOCK)
        cursor.execute("commit")
    except Exception as error:
        if rows.failure is None:
            raise
        raise rows.failure from error
