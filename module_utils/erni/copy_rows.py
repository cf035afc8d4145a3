"""Count the rows of each table in a dump's SQL, as pg_restore writes it, while it flows by."""

from __future__ import annotations

BEGIN, END = b"COPY ", b"\\.\n"
TO_ROWS = b" FROM stdin;\n"


class RowCounter:
    """Give it the text block by block; ``rows`` has then as many as came, by the table's name as PostgreSQL quotes it.

    Within a table's data every line is a row until one that is ``\\.`` alone, since a row's own line breaks are escaped
    (PostgreSQL's manual, COPY, "Text Format").
    """

    def __init__(self) -> None:
        self.rows: dict[str, int] = {}
        self._table = ""
        self._rest = b""
        self.bytes = 0

    def feed(self, block: bytes) -> None:
        self.bytes += len(block)
        text = self._rest + block
        begin = 0
        while begin < len(text):
            end = self._within_table(text, begin) if self._table else self._between_tables(text, begin)
            if end < 0:
                break
            begin = end
        self._rest = text[begin:]

    def complete(self) -> bool:
        """Whether the last table's data came to its end."""
        return not self._table

    def between_tables(self, line: bytes) -> None:
        """For whoever wants to see the lines that are no table's data."""

    def _between_tables(self, text: bytes, begin: int) -> int:
        """Where the next line begins; -1 where this one is not whole yet."""
        end = text.find(b"\n", begin) + 1
        if end == 0:
            return -1
        self.between_tables(text[begin:end])
        if text.startswith(BEGIN, begin) and text.endswith(TO_ROWS, begin, end):
            self._table = table_name(text[begin:end])
            self.rows.setdefault(self._table, 0)
        return end

    def _within_table(self, text: bytes, begin: int) -> int:
        """Behind the table's data, or behind the last whole line of it; -1 where there is no whole line."""
        if text.startswith(END, begin):
            self._table = ""
            return begin + len(END)
        end = text.find(b"\n" + END, begin) + 1
        last = end or text.rfind(b"\n", begin) + 1
        if last == 0:
            return -1
        self.rows[self._table] += text.count(b"\n", begin, last)
        return last


def table_name(line: bytes) -> str:
    """Of ``COPY public.messages (id, body) FROM stdin;``; a quoted name may hold blanks and brackets itself."""
    text, quoted = line.removeprefix(BEGIN).removesuffix(TO_ROWS).decode(), False
    for position, character in enumerate(text):
        if character == '"':
            quoted = not quoted
        elif character == " " and not quoted:
            return text[:position]
    return text
