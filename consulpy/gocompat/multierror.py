"""Several errors as one text, as Go's hashicorp/go-multierror prints them (`ListFormatFunc`)."""

from collections.abc import Sequence


def format_errors(errors: Sequence[object]) -> str:
    """`errors`, one a line, below a line that counts them; two line ends close the text."""
    count = "1 error" if len(errors) == 1 else f"{len(errors)} errors"
    return f"{count} occurred:\n" + "".join(f"\t* {error}\n" for error in errors) + "\n"
