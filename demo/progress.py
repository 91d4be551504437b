"""Progress bars and the closing table, for terminals and for logs.

Knows nothing of what is measured.
"""
import sys
import textwrap
import time

WIDTH = 30
# What people read comfortably, and terminals have.
COLUMNS = 100


def say(text, stream=sys.stdout):
    """A paragraph between the steps: what comes, and why."""
    stream.write("\n" + textwrap.fill(" ".join(text.split()), COLUMNS) + "\n")
    stream.flush()


def print_proven(proven, stream=sys.stdout):
    """The closing table of what held, each beside what showed it."""
    wide = max(len(claim) for claim, _ in proven)
    stream.write(f"\n{'what held':<{wide}}  seen\n{'-' * (wide + 2)}{'-' * 48}\n")
    for claim, seen in proven:
        stream.write(f"{claim:<{wide}}  {seen}\n")
    stream.flush()


def show_bytes(count):
    """A byte count for people."""
    if count is None:
        return ""
    amount = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024 or unit == "GiB":
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    raise AssertionError("the last unit always answers")


class Bar:
    """One line that is redrawn on a terminal; a few lines in a log."""

    def __init__(self, label, stream=sys.stdout):
        self.label = label
        self.stream = stream
        self.live = stream.isatty()
        self.begun = time.monotonic()
        self.printed = -1

    def show(self, percent, note=""):
        """Draws the bar at a percentage."""
        if self.live:
            filled = WIDTH * percent // 100
            bar = "#" * filled + "-" * (WIDTH - filled)
            line = f"  {self.label:<41} [{bar}] {percent:>3} %  {note}"
            self.stream.write(f"\r\x1b[K{line}")
        elif note and percent // 25 > self.printed:
            self.printed = percent // 25
            self.stream.write(f"  {self.label:<41} {percent:>3} %  {note}\n")
        self.stream.flush()

    def done(self, note):
        """Closes the line."""
        seconds = time.monotonic() - self.begun
        start = "\r\x1b[K" if self.live else ""
        self.stream.write(f"{start}  {self.label:<41} {note} ({seconds:.1f} s)\n")
        self.stream.flush()


class Step:
    """One row of the table, while it is measured."""

    def __init__(self, name):
        self.name = name
        self.bytes = None
        self.note = "done"
        self.bar = Bar(name)


class Table:
    """Measures steps and prints them in the end."""

    def __init__(self):
        self.rows = []
        self.begun = time.monotonic()

    def step(self, name):
        """A context that measures one step; it closes the step's line when it ends well."""
        return _Measured(self, Step(name))

    def print(self, stream=sys.stdout):
        """Prints step, bytes and seconds, and the totals."""
        total = sum(count or 0 for _, count, _ in self.rows)
        rows = [(name, show_bytes(count), f"{seconds:.1f}") for name, count, seconds in self.rows]
        rows.append(("total", show_bytes(total), f"{time.monotonic() - self.begun:.1f}"))
        wide = max(len(name) for name, _, _ in rows)
        rule = "-" * (wide + 24)
        stream.write(f"\n{'step':<{wide}} {'bytes':>12} {'seconds':>10}\n{rule}\n")
        for at, (name, count, seconds) in enumerate(rows):
            if at == len(rows) - 1:
                stream.write(f"{rule}\n")
            stream.write(f"{name:<{wide}} {count:>12} {seconds:>10}\n")
        stream.flush()


class _Measured:
    def __init__(self, table, step):
        self.table = table
        self.step = step

    def __enter__(self):
        self.step.bar.show(0)
        return self.step

    def __exit__(self, kind, error, trace):
        if kind is None:
            seconds = time.monotonic() - self.step.bar.begun
            self.table.rows.append((self.step.name, self.step.bytes, seconds))
            self.step.bar.done(self.step.note)
        else:
            self.step.bar.done("FAILED")
