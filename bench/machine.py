"""What every benchmark shares: CPU seconds and memory of processes, the command line, a line about the machine, the report."""
import argparse
import os
import pathlib
import re
import statistics

TICKS = os.sysconf("SC_CLK_TCK")


def _stat(pid):
    """Fields of /proc/PID/stat from the state on, or None when the process is gone."""
    try:
        text = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return text.rpartition(")")[2].split()


def cpu_seconds(pid):
    """User and system seconds of one process so far, of its waited-for children too."""
    fields = _stat(pid)
    return sum(int(ticks) for ticks in fields[11:15]) / TICKS if fields else 0.0


def own_cpu_seconds(pid):
    """User and system seconds of one process so far, its children left out."""
    fields = _stat(pid)
    return sum(int(ticks) for ticks in fields[11:13]) / TICKS if fields else 0.0


def memory_mib(pid, field="VmRSS"):
    """Resident MiB of one process; VmHWM is the peak."""
    text = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return int(re.search(rf"{field}:\s+(\d+) kB", text).group(1)) / 1024


def forget_peak(pid):
    """Lets VmHWM begin anew at what is resident now."""
    pathlib.Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="utf-8")


def describe():
    """The machine in one line."""
    text = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8")
    model = re.search(r"model name\s*:\s*(.+)", text)
    memory = re.search(r"MemTotal:\s+(\d+) kB", pathlib.Path("/proc/meminfo").read_text(encoding="utf-8"))
    name = model.group(1).strip() if model else os.uname().machine
    load = os.getloadavg()[0]
    return (
        f"{os.cpu_count()} cores ({name}), {int(memory.group(1)) / 2**20:.0f} GiB of memory, "
        f"Linux {os.uname().release}; load average at the start {load:.1f}"
    )


def median(values):
    """The median of what is there, or None."""
    values = [value for value in values if value is not None]
    return statistics.median(values) if values else None


def markdown(columns, rows):
    """A Markdown table, its numbers to the right."""
    lines = ["| " + " | ".join(columns) + " |", "| --- |" + " ---: |" * (len(columns) - 1)]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def parser(about, *more):
    """A command line with what every benchmark takes, and some of what several take."""
    words = argparse.ArgumentParser(description=about.splitlines()[0])
    words.add_argument("--binary", required=True)
    words.add_argument("--report", type=pathlib.Path, help="the Markdown file that is written")
    known = {
        "--generator": {"required": True},
        "--requests": {"type": int, "default": 40_000, "help": "of each run at most"},
        "--rounds": {"type": int, "default": 3},
    }
    for name in more:
        words.add_argument(name, **known[name])
    return words


def publish(lines, report):
    """Prints a report, and writes it to the file when there is one."""
    text = "\n".join(lines).rstrip() + "\n"
    print(text)
    if report:
        report.parent.mkdir(parents=True, exist_ok=True)
        report.write_text(text, encoding="utf-8")
