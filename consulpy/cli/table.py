"""Tables as Consul prints them: columns two blanks apart, nothing at the end of a line."""

from collections.abc import Sequence

from consulpy.codec.printable import printable


def table(rows: Sequence[Sequence[str]], headings: Sequence[str] = ()) -> str:
    """The rows as text, without a last newline. What is in a cell stays in its cell (`printable`)."""
    from tabulate import tabulate

    whole = [[printable(cell) for cell in row] for row in ([headings, *rows] if headings else rows)]
    text = tabulate(whole, tablefmt="plain", disable_numparse=True, stralign="left")
    return "\n".join(line.rstrip() for line in text.splitlines())
