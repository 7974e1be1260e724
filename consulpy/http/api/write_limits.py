"""Limits of writes (`limits` of the configuration)."""

from consulpy.codec.lazy_dataclass import dataclass
from consulpy.structs.kv import VALUE_MAX_BYTES
from consulpy.structs.txn import OPERATIONS_MAX


@dataclass(frozen=True, slots=True)
class WriteLimits:
    """Maximum size of a value and of the body of a transaction in bytes, and of its operations in number."""

    value_bytes: int = VALUE_MAX_BYTES
    txn_bytes: int = VALUE_MAX_BYTES
    txn_operations: int = OPERATIONS_MAX
