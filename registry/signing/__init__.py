"""Who vouches for a version.

``statements`` says what is signed and when it counts; ``dsse`` is the envelope; ``keys`` are files.
"""

from registry.signing.statements import (
    Trust,
    Verify,
    Voucher,
    check,
    keys_missing,
    sign,
    sign_version,
    signer,
    stricter,
    vouch,
    vouchers,
)

__all__ = [
    "Trust",
    "Verify",
    "Voucher",
    "check",
    "keys_missing",
    "sign",
    "sign_version",
    "signer",
    "stricter",
    "vouch",
    "vouchers",
]
