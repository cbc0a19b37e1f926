"""Who vouches for a version.

``policy`` says whether anybody has to, ``statements`` what is signed and when it counts; ``dsse`` is the
envelope; ``keys`` are files. All but the first need cryptography, which takes a while to import.
"""

from typing import TYPE_CHECKING

from registry import lazy
from registry.signing.policy import Trust, Verify, keys_missing, signer, stricter, vouch

if TYPE_CHECKING:
    from registry.signing.statements import Voucher, check, sign, sign_version, vouchers

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

__getattr__, __dir__ = lazy.names(
    __name__, dict.fromkeys(("Voucher", "check", "sign", "sign_version", "vouchers"), "statements")
)
