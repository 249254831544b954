"""The icons: our own, on a grid of 24, drawn in the colour of the text beside them. A word always stands with one."""

from __future__ import annotations

from markupsafe import Markup

_RING = "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18z"
PATHS = {
    "alert": "M12 4l9.5 16.5h-19zM12 10v5M12 17.6v.2",
    "back": "M20 12H5M11 6l-6 6 6 6",
    "check": "M5 12.5l4.5 4.5L19 7",
    "cine": "M7 4l13 8-13 8z",
    "clock": f"{_RING}M12 7v5l3.5 2",
    "critical": "M8 3h8l5 5v8l-5 5H8l-5-5V8zM12 7.5v5.5M12 16.4v.2",
    "cross": "M5 5l14 14M19 5L5 19",
    "download": "M12 4v11M7.5 11l4.5 4.5L16.5 11M4 20h16",
    "down": "M3 6h6.5v12H3zM14.5 6H21v12h-6.5zM12 8.5v.1M12 12v.1M12 15.5v.1",
    "edit": "M4 20l1-4L16.5 4.5l3 3L8 19zM14 7l3 3",
    "eye": "M2.5 12C5 7.5 8.3 5.5 12 5.5s7 2 9.5 6.5c-2.5 4.5-5.8 6.5-9.5 6.5S5 16.5 2.5 12zM12 9.5a2.5 2.5 0 1 0 0 5 2.5 2.5 0 0 0 0-5z",
    "fine": f"{_RING}M8 12.3l2.8 2.8L16 9.5",
    "forward": "M4 12h15M13 6l6 6-6 6",
    "history": "M4 12a8 8 0 1 0 2.5-5.8M4 4v4.5h4.5",
    "hospital": "M4 21V8l8-5 8 5v13zM12 9.5v6M9 12.5h6",
    "house": "M5 21V4h9v17M14 9h5v12M3 21h18M8 8h3M8 12h3M8 16h3",
    "images": "M4 8h12v12H4zM8 8V4h12v12h-4",
    "info": f"{_RING}M12 11v5.5M12 7.6v.2",
    "invert": "M4 4h16v16H4zM4 20L20 4v16z",
    "keys": "M3 6h18v12H3zM6.5 10h.1M10 10h.1M13.5 10h.1M17 10h.1M8 14h8",
    "language": f"{_RING}M3 12h18M12 3c3 3 3.5 6 3.5 9S15 18 12 21M12 3c-3 3-3.5 6-3.5 9S9 18 12 21",
    "length": "M3 16L16 3l5 5L8 21zM7 12l2 2M10 9l2 2M13 6l2 2",
    "move": "M12 3v18M3 12h18M9 6l3-3 3 3M9 18l3 3 3-3M6 9l-3 3 3 3M18 9l3 3-3 3",
    "phone": "M5 4h4l1.5 4.5L8 10.5a12 12 0 0 0 5.5 5.5l2-2.5L20 15v4c0 1-.8 1.5-1.5 1.5C11 20 4 13 3.5 5.5 3.5 4.7 4 4 5 4z",
    "report": "M6 3h9l4 4v14H6zM9 11h7M9 15h7M9 7h3",
    "panel": "M4 4h16v16H4zM14 4v16M16.5 9h1.5M16.5 12h1.5",
    "scroll": "M5 5h14v4H5zM5 11h14M5 15h14M5 19h14",
    "search": "M10.5 4a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13zM15.5 15.5L20 20",
    "shield": "M12 3l7.5 3v6c0 5-3.5 7.8-7.5 9-4-1.2-7.5-4-7.5-9V6zM8.5 12l2.5 2.5 4.5-5",
    "siren": "M6 18v-6a6 6 0 0 1 12 0v6M4 18h16v3H4zM12 2v1.5M4 5l1.2 1.2M20 5l-1.2 1.2",
    "star": "M12 4l2.4 5 5.6.7-4.1 3.8 1.1 5.5L12 16.3 7 19l1.1-5.5L4 9.7 9.6 9z",
    "theme": "M12 3a9 9 0 1 0 0 18zM12 3a9 9 0 0 1 0 18",
    "window": f"{_RING}M12 3v18M12 8h6M12 12h8.5M12 16h7",
    "zoom": "M10.5 4a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13zM15.5 15.5L20 20M10.5 7.5v6M7.5 10.5h6",
}


def icon(name: str, more: str = "") -> Markup:
    """The icon as SVG, hidden from screen readers. `more`: further classes."""
    classes = f"icon {more}".strip()
    return Markup('<svg class="{}" viewBox="0 0 24 24" aria-hidden="true"><path d="{}"/></svg>').format(
        classes, PATHS[name]
    )


def mark(classes: str = "mark") -> Markup:
    """The mark: two seas cut out of a square."""
    seas = "M5 3H27a3 3 0 0 1 3 3V10A6.8 6.8 0 1 0 30 22V26a3 3 0 0 1-3 3H5a3 3 0 0 1-3-3V22A6.8 6.8 0 1 0 2 10V6a3 3 0 0 1 3-3Z"
    return Markup('<svg class="{}" viewBox="0 0 32 32" aria-hidden="true"><path d="{}"/></svg>').format(classes, seas)
