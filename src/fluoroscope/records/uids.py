"""Unique identifiers of records: random, or the same again for the same seed."""

import hashlib
import uuid

__all__ = ["IMPLEMENTATION_UID", "derived_uid", "new_uid"]

# A UUID-derived UID (PS3.5 B.2) that says which program wrote a file.
IMPLEMENTATION_UID = "2.25.288733316103407286409637160215617434361"


def derived_uid(*parts: str) -> str:
    """Return the UID that belongs to `parts`: the same parts always give the same UID.

    Parameters
    ----------
    parts
        Words that name the thing: a seed or a parent's UID, and what it is.

    Returns
    -------
    str
        A UUID-derived UID (``2.25.`` and a 128-bit number, PS3.5 B.2), at most 44 characters.
    """
    if not parts:
        raise ValueError("a derived UID needs at least one part")
    digest = bytearray(hashlib.sha256("\x1f".join(parts).encode()).digest()[:16])
    # Version 8 (custom) and the RFC 9562 variant, so that it is a well-formed UUID.
    digest[6] = (digest[6] & 0x0F) | 0x80
    digest[8] = (digest[8] & 0x3F) | 0x80
    return f"2.25.{int.from_bytes(digest, 'big')}"


def new_uid() -> str:
    """Return a UID nobody else has (random)."""
    return f"2.25.{uuid.uuid4().int}"
