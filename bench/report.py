# SPDX-License-Identifier: LGPL-2.1-or-later
"""What was measured, as tables and pictures."""

import datetime
import os
import re
import shutil
import statistics
import subprocess
import sys

HEADINGS = {
    "ns": "CPU ns per message",
    "rate": "messages a second",
    "p50": "p50 ns",
    "p99": "p99 ns",
    "sent": "sent a second",
    "lost": "lost",
}


class Progress:
    """How far the run is: one line that changes on a terminal, else a line for each step."""

    def __init__(self, n_steps):
        self.n_steps = n_steps
        self.n_begun = 0
        self.is_terminal = sys.stderr.isatty()

    def step(self, text):
        share = f"{100 * self.n_begun // self.n_steps:3} %  {text}"
        self.n_begun += 1
        print(f"\r\033[K{share}" if self.is_terminal else share, end="", file=sys.stderr)
        print("", end="" if self.is_terminal else "\n", file=sys.stderr, flush=True)

    def end(self):
        if self.is_terminal:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


def count(n, noun):
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def show(figure):
    """Three digits are as much as such measurements are worth, but none before the point is left out."""
    return f"{figure:.0f}" if abs(figure) >= 100 else f"{figure:.3g}"


def show_spread(figures):
    return f"{show(statistics.median(figures))} ({show(min(figures))} to {show(max(figures))})"


def ratios_of(work, metric, name, rival):
    """The rounds' ratios, or none where one of the two is not there."""
    ours, theirs = work.samples.get(name, []), work.samples.get(rival, [])
    return [a[metric] / b[metric] for a, b in zip(ours, theirs) if b[metric] > 0]


class Bar:
    """What a ratio is to be at most, or at least."""

    def __init__(self, work, key, metric, name, rival, sense, limit, works):
        self.work = work
        self.against = rival
        self.demand = f"{sense} {limit}"
        self.figures = ratios_of(works[key], metric, name, rival) if key in works else []
        self.result = show_spread(self.figures) if self.figures else "not measured"
        self.verdict = self.judge(sense, limit)

    def judge(self, sense, limit):
        if not self.figures:
            return "-"
        median = statistics.median(self.figures)
        return "met" if (median <= limit if sense == "at most" else median >= limit) else "NOT MET"


class MemoryBar:
    def __init__(self, idle, crowded, limit):
        self.work = "memory at 100 000 talkers"
        self.against = "an idle server"
        self.demand = f"at most +{limit} MiB"
        self.result = f"+{(crowded - idle) / 1024:.1f} MiB"
        self.verdict = "met" if crowded - idle <= limit * 1024 else "NOT MET"


class TimerBar:
    """How a timer of 10 ms in the server's context keeps its time under a stream at full speed."""

    def __init__(self, work, name, limit):
        self.work = "a 10 ms timer under the stream, p99"
        self.against = "its worst round"
        self.demand = f"under {limit} ms"
        ticks = [sample["tick"] for sample in work.samples[name]] if work else []
        self.result = f"{max(ticks):.1f} ms" if ticks else "not measured"
        self.verdict = "-" if not ticks else "met" if max(ticks) < limit else "NOT MET"


def draw_table(rows):
    """A table that reads well as it is, too."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |" for row in rows]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([lines[0], rule] + lines[1:])


def draw_bars(bars):
    rows = [("work", "against", "bar", "median of ratios (lowest to highest)", "")]
    rows += [(bar.work, bar.against, bar.demand, bar.result, bar.verdict) for bar in bars]
    return draw_table(rows)


def draw_row(work, name, metrics):
    samples = work.samples.get(name)
    if samples is None:
        return [name] + ["not there"] + [""] * len(metrics)
    first = work.rows[0][0]
    figures = [show_spread([sample[metric] for sample in samples]) for metric in metrics]
    ratios = ratios_of(work, metrics[0], name, first)
    return [name] + figures + ["1" if name == first else show_spread(ratios) if ratios else "-"]


def draw_work(work):
    """The metrics are those that the first row has; the first one is compared."""
    metrics = [key for key in HEADINGS if any(key in rows[0] for rows in work.samples.values())]
    heading = ["", *(HEADINGS[metric] for metric in metrics), f"{HEADINGS[metrics[0]]}, to the first row's"]
    rows = [heading] + [draw_row(work, name, metrics) for name, _, _ in work.rows]
    return f"## {work.title}\n\n{draw_table(rows)}\n"


def draw_rounds(works):
    lines = []
    for work in works.values():
        for name, samples in work.samples.items():
            metric = next(key for key in HEADINGS if key in samples[0])
            figures = " ".join(f"{sample[metric]:.0f}" for sample in samples)
            lines.append(f"{work.title}; {name}; {HEADINGS[metric]}: {figures}")
    return "\n".join(lines)


def read_processor():
    with open("/proc/cpuinfo") as info:
        found = re.search(r"^model name\s*: (.*)$", info.read(), re.MULTILINE)
    return found.group(1) if found else os.uname().machine


def describe_version(sources, fallback):
    command = ["git", "-C", str(sources), "describe", "--always", "--dirty", "--exclude=*"]
    if shutil.which("git") is None:
        return fallback
    done = subprocess.run(command, capture_output=True, text=True)
    return f"commit {done.stdout.strip()}" if done.returncode == 0 else fallback


def draw_conditions(sources, arguments):
    n_cores = len(os.sched_getaffinity(0))
    placing = "on different ones" if n_cores > 1 else "on the same one"
    return (
        f"{read_processor()}, {count(n_cores, 'core')}, server and load {placing}; "
        f"Linux {os.uname().release}; {describe_version(sources, arguments.version)}; "
        f"{datetime.date.today().isoformat()}; "
        f"{count(arguments.rounds, 'round')} of {arguments.seconds} s each."
    )


def write(sources, arguments, bars, works, memory):
    tables = "\n".join(draw_work(work) for work in works.values())
    return f"""# What it costs

{draw_conditions(sources, arguments)}

All that stands in one table was measured in turn: one round each, then the next round, every other
one backwards. A figure is the median of its rounds, with the lowest and the highest. CPU time is
the server's own, kernel and all, by the scheduler's clock. `make bench` measures anew.

All servers listen on 127.0.0.1, but for the row "any address": there the library has the kernel say
of each message to which of the host's addresses it was sent, and answers from that one, which none of
the others does.

{draw_bars(bars)}

{tables}
## Memory

A server that nobody has spoken to: {memory[0]} KiB. After 100 000 talkers: {memory[1]} KiB.

## Every round

```
{draw_rounds(works)}
```

<!-- SPDX-License-Identifier: LGPL-2.1-or-later -->
"""


PLOT_HEAD = """
set terminal svg size 800,{height} dynamic background rgb 'white' font 'sans-serif,13'
set output '{file}'
set title '{title}'
set grid linecolor rgb '#dddddd'
set border 3
set tics nomirror
set rmargin 5
"""


# The library's own line comes first.
COLOURS = ("#c0392b", "#2471a3", "#7fb3d5", "#8e8e8e", "#d4ac0d", "#1e8449")


def run_gnuplot(directory, file, script):
    if shutil.which("gnuplot") is None:
        print(f"{file} is left as it is: gnuplot is not there", file=sys.stderr)
        return
    subprocess.run(["gnuplot"], input=script, text=True, cwd=directory, check=True)
    with open(os.path.join(directory, file), "a") as picture:
        picture.write("<!-- SPDX-License-Identifier: LGPL-2.1-or-later -->\n")


def median_of(work, name, metric="ns"):
    samples = work.samples.get(name)
    return statistics.median(sample[metric] for sample in samples) if samples else None


def block(name, rows):
    """Data as gnuplot takes it in a script."""
    lines = [" ".join(str(cell) for cell in row) for row in rows if None not in row]
    return f"${name} << EOD\n" + "\n".join(lines) + "\nEOD\n"


def plot_echo(plain, coalesced):
    names = [name for name, _, _ in plain.rows if name in plain.samples]
    names.sort(key=lambda name: -median_of(plain, name))
    head = PLOT_HEAD.format(
        file="echo.svg", height=460, title="CPU time to echo a message of 64 bytes, 16 talkers x 16 under way"
    )
    tics = ", ".join(f"'{name}' {i}" for i, name in enumerate(names))
    return (
        block("plain", [(median_of(plain, name), i) for i, name in enumerate(names)])
        + block("coalesced", [(median_of(coalesced, name), i) for i, name in enumerate(names)])
        + head
        + f"""
set ytics ({tics})
set yrange [-0.5:{len(names) - 0.5}]
set logscale x
set xlabel 'nanoseconds, logarithmic'
set key top right reverse Left
plot $plain with points pt 7 ps 1.2 lc rgb '#c0392b' title 'each message by itself', \\
  $plain using 1:2:(sprintf('%.0f', $1)) with labels left offset 1,0 font ',10' notitle, \\
  $coalesced with points pt 7 ps 1.2 lc rgb '#2471a3' title 'messages in trains', \\
  $coalesced using 1:2:(sprintf('%.0f', $1)) with labels right offset -1,0 font ',10' notitle
"""
    )


def plot_lines(file, title, xlabel, points, names, tics):
    """@points: (x, work) for each place on the x axis."""
    data = [block(f"line{i}", [(x, median_of(work, name)) for x, work in points]) for i, name in enumerate(names)]
    lines = [
        f"$line{i} with linespoints pt 7 lw {4 if i == 0 else 2} lc rgb '{COLOURS[i]}' title '{name}'"
        for i, name in enumerate(names)
    ]
    return "".join(data) + PLOT_HEAD.format(file=file, height=420, title=title) + f"""
set logscale x
set xtics ({tics})
set xrange [{points[0][0] * 0.8}:{points[-1][0] * 1.25}]
set xlabel '{xlabel}'
set ylabel 'CPU nanoseconds per message'
set yrange [0:*]
set key below
plot {", ".join(lines)}
"""


def plot_talkers(works):
    names = [name for name, _, _ in works["1"].rows if name in works["1"].samples]
    points = [(1, works["1"]), (16, works["plain"]), (256, works["256"])]
    points += [(10000, works["10000"]), (100000, works["100000"])]
    return plot_lines(
        "talkers.svg",
        "Echo, 256 messages of 64 bytes under way, each by itself",
        "talkers, logarithmic",
        points,
        names,
        "'1' 1, '16' 16, '256' 256, '10 000' 10000, '100 000' 100000",
    )


def plot_sizes(works):
    names = [name for name, _, _ in works["1200 coalesced"].rows if name in works["1200 coalesced"].samples]
    points = [(64, works["coalesced"]), (1200, works["1200 coalesced"]), (8000, works["8000 coalesced"])]
    return plot_lines(
        "sizes.svg",
        "Echo, 16 talkers x 16 under way, messages in trains that the kernel keeps together",
        "bytes in a message, logarithmic",
        points,
        names,
        "64, 1200, 8000",
    )


def plot(directory, works):
    """Draws what was measured completely."""
    if {"plain", "coalesced"} <= works.keys():
        run_gnuplot(directory, "echo.svg", plot_echo(works["plain"], works["coalesced"]))
    if {"1", "plain", "256", "10000", "100000"} <= works.keys():
        run_gnuplot(directory, "talkers.svg", plot_talkers(works))
    if {"coalesced", "1200 coalesced", "8000 coalesced"} <= works.keys():
        run_gnuplot(directory, "sizes.svg", plot_sizes(works))
