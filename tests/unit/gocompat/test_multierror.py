"""Several errors as one text, as real Consul prints them."""

from consulpy.gocompat.multierror import format_errors


def test_errors_are_listed_below_their_count() -> None:
    assert format_errors(["a"]) == "1 error occurred:\n\t* a\n\n"
    assert format_errors(["a", "b"]) == "2 errors occurred:\n\t* a\n\t* b\n\n"
