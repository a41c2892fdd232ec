"""Bounds operator by operator: ours beside auto_LiRPA's, and both against samples.

Each network is affine, operator, affine; operands lie in about [-3, 3], or in [0.25, 2.75] where the operator wants
positive ones. ``PYTHONPATH`` may hold an auto_LiRPA that is not installed.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import io
import statistics
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks import auto_lirpa_peer
from benchmarks.bounds import both_sides
from benchmarks.measure import Page, paired, ratio
from benchmarks.operator_subjects import INPUTS, OPERATORS, Operator, Sandwich, region
from robust.graph import trace
from verifiers import Network, Region

BATCH, SAMPLES = 16, 4096
TOLERANCE = 1e-5
"""What float32 may be off by, in units of the largest sampled output."""
LOOSER = 1.02
Bounds = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Tool:
    """One tool and one network: a call that gives bounds, or why there is none."""

    call: Callable[[], Bounds] | None
    remark: str = ""

    def bounds(self) -> Bounds | None:
        return None if self.call is None else self.call()


def ours(module: nn.Module, where: Region) -> Tool:
    """Our CROWN."""
    network = Network(trace(module, (INPUTS,), device=torch.device("cpu")))
    return _tried(lambda: both_sides(network, where, "crown"))


def theirs(library: Any | None, module: nn.Module, where: Region) -> Tool:
    """Their CROWN."""
    if library is None:
        return Tool(None, "not importable")
    lower, upper = where.lower.float(), where.upper.float()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        try:
            bounded = auto_lirpa_peer.prepare(library, module, lower)
        except Exception as error:  # what it does not support ends in errors of any kind
            return Tool(None, _said(error))
        return _tried(auto_lirpa_peer.output_bounds(library, bounded, lower, upper, "crown"))


def _tried(call: Callable[[], Bounds]) -> Tool:
    try:
        call()
    except Exception as error:
        return Tool(None, _said(error))
    return Tool(call)


def _said(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    word = "not supported" if isinstance(error, NotImplementedError) or "nsupported" in str(error) else "error"
    return f"{word}: {type(error).__name__} {(lines or [''])[0][:90]}".replace("|", "/").strip()


def sampled(module: nn.Module, where: Region) -> Bounds:
    """Smallest and largest float64 outputs ``[n, outputs]`` at drawn points, half of them corners."""
    generator = torch.Generator().manual_seed(2)
    share = torch.rand(SAMPLES, len(where.lower), INPUTS, generator=generator, dtype=torch.float64)
    share[::2] = share[::2].round()
    points = where.lower + share * (where.upper - where.lower)
    with torch.no_grad():
        answers = copy.deepcopy(module).double()(points.flatten(0, 1)).reshape(SAMPLES, len(where.lower), -1)
    return answers.amin(0), answers.amax(0)


def fault(bounds: Bounds | None, reached: Bounds) -> str:
    """``unsound``, by how much, where an output was seen outside of bounds."""
    if bounds is None:
        return ""
    low, high = (side.double() for side in bounds)
    if bool((low.isnan() | high.isnan()).any()):
        return "NaN"
    outside = float(torch.maximum(low - reached[0], reached[1] - high).max())
    largest = max(1.0, float(reached[0].abs().max()), float(reached[1].abs().max()))
    return f"unsound by {outside:.2g}" if outside > TOLERANCE * largest else ""


def row(operator: Operator, library: Any | None, repeats: int) -> tuple[object, ...]:
    """One line of the table."""
    module, where = Sandwich(operator), region(BATCH)
    reached = sampled(module, where)
    tools = {"ours": ours(module, where), "theirs": theirs(library, module, where)}
    found = {name: tool.bounds() for name, tool in tools.items()}
    faults = {name: fault(bounds, reached) for name, bounds in found.items()}
    times = paired({name: tool.call for name, tool in tools.items() if tool.call is not None}, repeats)
    cells = [operator.name]
    for name in tools:
        bounds = found[name]
        cells.append(tools[name].remark if bounds is None else f"{_width(bounds):.4g}")
    both = found["ours"] is not None and found["theirs"] is not None
    cells.append(_compared(found["ours"], found["theirs"]))
    cells.append("-" if found["ours"] is None else f"{1e3 * times['ours'].median:.3g}")
    cells.append(ratio(times["ours"], times["theirs"]) if both else "-")
    cells += [faults[name] or ("-" if found[name] is None else "holds") for name in tools]
    print(*cells, sep=" | ", flush=True)
    return tuple(cells)


def _width(bounds: Bounds) -> float:
    return float((bounds[1] - bounds[0]).double().mean())


def _compared(one: Bounds | None, other: Bounds | None) -> str:
    """Mean over boxes and outputs of our width over theirs; bold where ours is looser."""
    if one is None or other is None:
        return "-"
    share = float(((one[1] - one[0]).double() / (other[1] - other[0]).double()).mean())
    return f"**{share:.3f}**" if share > LOOSER else f"{share:.3f}"


def summary(rows: list[tuple[object, ...]]) -> str:
    """The counts below the table."""
    shares = [float(str(cells[3]).strip("*")) for cells in rows if cells[3] != "-"]
    if not shares:
        return "auto_LiRPA bounded none of them."
    times = [float(str(cells[5]).split()[0]) for cells in rows if cells[5] != "-"]
    faults = {place: [str(cells[0]) for cells in rows if cells[place] not in ("-", "holds")] for place in (6, 7)}
    return (
        f"{len(rows)} operators; both bound {len(shares)}. Of these ours are tighter (ratio below {1 / LOOSER:.2f}) on "
        f"{sum(share < 1 / LOOSER for share in shares)}, looser (above {LOOSER}) on "
        f"{sum(share > LOOSER for share in shares)}; median ratio {statistics.median(shares):.3f}, of times "
        f"{statistics.median(times):.2f}. Width ratios where the peer's bounds do not hold are no sign of looseness. "
        f"Outputs outside of bounds: ours {', '.join(faults[6]) or 'none'}; auto_LiRPA {', '.join(faults[7]) or 'none'}."
    )


def main() -> None:
    """Run and write ``results/operators.md``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--operator", nargs="+", help="only operators whose name starts so; nothing is written then")
    settings = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    library = auto_lirpa_peer.load()
    page = Page("operators", "Bounds operator by operator: ours, and auto_LiRPA beside")
    version = "not importable here" if library is None else auto_lirpa_peer.version()
    page.say(
        f"Affine, operator, affine; {BATCH} boxes; lower and upper bounds of all 3 outputs by CROWN, float32. "
        f"auto_LiRPA: {version}. Width: mean of upper less lower bound. Ratio: mean over boxes and outputs of our width "
        f"over theirs, below 1 ours is tighter, bold above {LOOSER}. Time ratio: our CPU seconds over theirs, median "
        f"[range] of {settings.repeats} paired rounds, below 1 ours is faster; tracing excluded. Samples: bounds of "
        f"either against float64 outputs at {SAMPLES} points of every box, half of them corners, up to {TOLERANCE:g} of "
        "the largest output. An error is the first line of what the peer raised. Version 0.3 of 2022 meets a torch of "
        "today here, put right where its import fails and nowhere else, so its errors say nothing of newer versions."
    )
    wanted = tuple(settings.operator or ("",))
    rows = [row(item, library, settings.repeats) for item in OPERATORS if item.name.startswith(wanted)]
    columns = ("operator", "width, ours", "width, auto_LiRPA", "ratio", "ms, ours", "time ratio", "samples, ours", "samples, auto_LiRPA")  # fmt: skip
    page.table(columns, rows)
    page.say(summary(rows))
    if not settings.operator:
        page.write()


if __name__ == "__main__":
    main()
