"""Heads: what is made of all output channels of a pixel at the end."""

from __future__ import annotations

from typing import Any, get_args

from .typing import Head

__all__ = ["HEADS", "parse_head"]

HEADS: tuple[str, ...] = get_args(Head)


def parse_head(head: Any) -> str | None:
    """`head` as a user passes it, checked.

    Raises
    ------
    TypeError, ValueError
        If it is no name, or none of `HEADS`.
    """
    if head is None:
        return None
    if not isinstance(head, str):
        raise TypeError(f"head must be None or a name; got {head!r}")
    if head not in HEADS:
        raise ValueError(f"head {head!r} is unknown; choose from {', '.join(HEADS)}")
    return head
