"""How large writes may be, as the configuration's `limits` say."""

from dataclasses import dataclass

from consulpy.structs.kv import VALUE_MAX_BYTES
from consulpy.structs.txn import OPERATIONS_MAX


@dataclass(frozen=True, slots=True)
class WriteLimits:
    """Sizes in bytes of one value and of the body of a transaction; how many operations one has at most."""

    value_bytes: int = VALUE_MAX_BYTES
    txn_bytes: int = VALUE_MAX_BYTES
    txn_operations: int = OPERATIONS_MAX
