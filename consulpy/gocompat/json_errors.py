"""Errors of decoding JSON, with the texts of Go's encoding/json."""

from typing import Any, Final


class GoError(Exception):
    """A decoding error with Go's text."""


class UnknownField(GoError):
    """An unknown member."""


class NewerField(UnknownField):
    """A member of a later version, or of Enterprise, with a value that asks for something."""


class Mismatch(GoError):
    """A value of another type than its field's: Go's `UnmarshalTypeError`.

    `value`: the value's description; `struct`: the innermost struct, None outside of any; `path`: the fields that lead
    to it.
    """

    def __init__(self, value: str, go_type: str) -> None:
        super().__init__(value)
        self.value, self.go_type = value, go_type
        self.struct: str | None = None
        self.path: list[str] = []

    def within(self, struct: str, field: str) -> None:
        """Record the struct and field that contain the value."""
        if self.struct is None:
            self.struct = struct
        self.path.insert(0, field)

    def clear_path(self) -> None:
        """Drop the path, as an `UnmarshalJSON` of a struct's own does."""
        self.struct, self.path = None, []

    def __str__(self) -> str:
        where = f"struct field {self.struct or ''}.{'.'.join(self.path)}" if self.path else "value"
        return f"json: cannot unmarshal {self.value} into Go {where} of type {self.go_type}"


def mismatch(value: Any, go_type: str) -> Mismatch:
    """Go's error for a value that is not of `go_type`."""
    return Mismatch("bool" if isinstance(value, bool) else _JSON_KINDS.get(type(value), "number"), go_type)


_JSON_KINDS: Final = {str: "string", list: "array", dict: "object", type(None): "null"}
