"""Private keys: made, read and written in PEM, as Consul does. A key never appears in an error."""

import re
from typing import Any, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from consulpy.errors import RPCError

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey

EC, RSA = "ec", "rsa"
_CURVES: Final[dict[int, type[ec.EllipticCurve]]] = {
    224: ec.SECP224R1,
    256: ec.SECP256R1,
    384: ec.SECP384R1,
    521: ec.SECP521R1,
}
#: Sizes of keys in bits, by type.
SIZES: Final = {EC: tuple(_CURVES), RSA: (2048, 4096)}
_BEGIN: Final = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----")
_KEY_BLOCKS: Final = ("EC PRIVATE KEY", "RSA PRIVATE KEY", "PRIVATE KEY")
NO_PEM: Final = "no PEM-encoded data found"


class BadKey(RPCError):
    """Not a private key that signs certificates."""


def make_key(kind: str = EC, bits: int = 256) -> PrivateKey:
    """A new key. RSA takes up to seconds: run it in a thread."""
    if kind == RSA:
        return rsa.generate_private_key(public_exponent=65537, key_size=bits)
    return ec.generate_private_key(_CURVES[bits]())


def key_pem(key: PrivateKey) -> str:
    """The key as `EC PRIVATE KEY` (SEC 1) or `RSA PRIVATE KEY` (PKCS 1)."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()


def read_key(pem: str) -> PrivateKey:
    """Parse a private key: SEC 1, PKCS 1 or PKCS 8. Raises `BadKey`."""
    begin = _BEGIN.search(pem)
    if begin is None:
        raise BadKey(NO_PEM)
    if begin[1] not in _KEY_BLOCKS:
        raise BadKey(f"unknown PEM block type for signing key: {begin[1]}")
    try:
        key: Any = load_pem_private_key(pem[begin.start() :].encode("utf-8", "replace"), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise BadKey("it is no private key, or damaged, or encrypted") from None
    if not isinstance(key, PrivateKey):
        raise BadKey(f"a key for {type(key).__name__.strip('_')} can't sign certificates of Connect")
    check_curve(key.public_key())
    return key


def check_curve(key: Any) -> None:
    """Raises `BadKey` for a public key that is neither RSA nor on a curve that Go knows: real servers can't read it."""
    if isinstance(key, rsa.RSAPublicKey):
        return
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise BadKey("only EC and RSA keys are for Connect")
    if not isinstance(key.curve, tuple(_CURVES.values())):
        raise BadKey(f"the curve {key.curve.name} is not one of P-224, P-256, P-384, P-521")


def kind_and_bits(key: PublicKey) -> tuple[str, int]:
    """`ec` or `rsa`, and the size in bits. Raises `BadKey` for another kind or curve."""
    check_curve(key)
    return (RSA if isinstance(key, rsa.RSAPublicKey) else EC), key.key_size


def own_hash(key: PrivateKey) -> SHA256 | SHA384 | SHA512:
    """The hash with which a key signs its own root: it follows the curve, as Go does it."""
    size = key.key_size if isinstance(key, ec.EllipticCurvePrivateKey) else 0
    return SHA384() if size == 384 else SHA512() if size == 521 else SHA256()


def public_der(key: Any) -> bytes:
    """The SubjectPublicKeyInfo in DER."""
    der: bytes = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return der
