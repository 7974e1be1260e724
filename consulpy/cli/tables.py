"""Tables as Consul prints them: columns two blanks apart, nothing at the end of a line."""

from collections.abc import Sequence


def table(rows: Sequence[Sequence[str]], headings: Sequence[str] = ()) -> str:
    """The rows as text, without a last newline."""
    from tabulate import tabulate

    whole = [list(headings), *map(list, rows)] if headings else [list(row) for row in rows]
    text = tabulate(whole, tablefmt="plain", disable_numparse=True, stralign="left")
    return "\n".join(line.rstrip() for line in text.splitlines())
