"""Bars as SVG: CPU seconds of each work, a group for each data set."""
from xml.sax.saxutils import escape

COLORS = {
    "Snapferry": "#0b7285",
    "cp": "#adb5bd",
    "pg_basebackup": "#868e96",
    "pgBackRest": "#e8590c",
    "restic": "#5f3dc4",
    "borg": "#a61e4d",
}
WIDTH, LEFT, RIGHT, BAR, GAP, HEAD = 860, 300, 90, 16, 14, 26


def bars(charts, works):
    """A picture of {data: {(work, who): figures}}."""
    parts, y = [], 10
    for kind, middle in charts.items():
        parts.append(_text(10, y + 14, f"{kind}: CPU seconds, less is better", "title"))
        y += HEAD
        for work in works:
            mine = {who: figures["CPU s"] for (which, who), figures in middle.items() if which == work}
            if not mine:
                continue
            most = max(max(mine.values()), 1e-9)
            parts.append(_text(10, y + 12, work, "work"))
            for who, seconds in mine.items():
                width = max(1.0, seconds / most * (WIDTH - LEFT - RIGHT))
                color = COLORS.get(who, "#495057")
                parts.append(
                    f'<rect x="{LEFT}" y="{y}" width="{width:.1f}" height="{BAR - 3}" fill="{color}"/>'
                )
                parts.append(_text(LEFT + width + 6, y + 11, f"{seconds:.2f} {who}", "value"))
                y += BAR
            y += GAP
        y += HEAD
    style = (
        "text{font-family:sans-serif;font-size:12px;fill:#212529}.title{font-size:15px;font-weight:bold}"
        ".value{font-size:11px}"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y}" viewBox="0 0 {WIDTH} {y}" role="img">\n'
        f"<title>CPU seconds of snapshots, copies and restores</title>\n<style>{style}</style>\n"
        f'<rect width="{WIDTH}" height="{y}" fill="#fff"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _text(x, y, text, kind):
    return f'<text x="{x:.1f}" y="{y}" class="{kind}">{escape(text)}</text>'
