"""A limit of log lines about peers that misbehave: one a while for each address."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

#: Seconds between two lines about one address.
INTERVAL_S: Final = 10.0
#: Addresses whose last line is remembered; above it the oldest is dropped.
ADDRESSES_MAX: Final = 256


class OncePerAddress:
    """Allows one line per address in `INTERVAL_S` seconds. `seconds()`: a monotonic clock."""

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._logged_s: OrderedDict[str, float] = OrderedDict()

    def allows(self, address: str) -> bool:
        """Whether a line about `address` may be logged now; then it is counted as logged."""
        now_s = self._seconds()
        last_s = self._logged_s.get(address)
        if last_s is not None and now_s - last_s < INTERVAL_S:
            return False
        self._logged_s[address] = now_s
        self._logged_s.move_to_end(address)
        if len(self._logged_s) > ADDRESSES_MAX:
            self._logged_s.popitem(last=False)
        return True
