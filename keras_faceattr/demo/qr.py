"""A QR code for a terminal, so that nobody types an address into a phone."""

from __future__ import annotations

import segno

DARK, LIGHT = "30", "97"


def qr_code(text: str) -> str:
    """Dark on light whatever the terminal's colours, two rows of modules per line."""
    rows = [list(row) for row in segno.make(text, error="l", micro=False).matrix_iter(border=2)]
    rows += [[0] * len(rows[0])] * (len(rows) % 2)
    return "\n".join(
        "".join(_half_blocks(upper, lower) for upper, lower in zip(*pair, strict=True)) + "\x1b[0m"
        for pair in zip(rows[::2], rows[1::2], strict=True)
    )


def _half_blocks(upper: int, lower: int) -> str:
    """Foreground colours the upper half, background the lower."""
    return f"\x1b[{DARK if upper else LIGHT};{int(DARK if lower else LIGHT) + 10}m▀"
