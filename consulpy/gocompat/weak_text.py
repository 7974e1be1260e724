"""Settings of any type as the text that Go's decoder makes of them (mapstructure's weak decoding)."""

import math
from decimal import Decimal
from typing import Any


def weak_text(value: Any) -> str | None:
    """1 and 0 for booleans, numbers without an exponent; None for what no text is made of."""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float) and math.isfinite(value):
        text = format(Decimal(repr(value)), "f")
        return text.rstrip("0").rstrip(".") if "." in text else text
    return str(value) if isinstance(value, str | int) else None
