"""Tables in Consul's format: columns two blanks apart, no trailing blanks."""

from collections.abc import Sequence

from consulpy.codec.printable import printable


def table(rows: Sequence[Sequence[str]], headings: Sequence[str] = ()) -> str:
    """The rows as text, without a last newline. Control characters in cells are escaped (`printable`)."""
    from tabulate import tabulate

    whole = [[printable(cell) for cell in row] for row in ([headings, *rows] if headings else rows)]
    text = tabulate(whole, tablefmt="plain", disable_numparse=True, stralign="left")
    return "\n".join(line.rstrip() for line in text.splitlines())
