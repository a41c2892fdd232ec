"""Bounds of networks: ours beside auto_LiRPA's, a test set in one call, peak memory, start-up, and cost curves.

Networks come from ``--shared`` (``vnncomp``, ``data`` and ``peers``), the digits from the checkout.
``PYTHONPATH`` may hold an auto_LiRPA that is not installed.
"""

from __future__ import annotations

import argparse
import csv
import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks import auto_lirpa_peer
from benchmarks.bound_costs import write_curves
from benchmarks.bound_subjects import Subject, mnist_images, noise_pictures, onnx_subject, subjects
from benchmarks.measure import ROOT, Child, Page, Timing, child, paired, ratio
from robust.properties import Box
from verifiers import METHODS, Network, Region, certify, lower_bounds
from verifiers.certify import rival_matrices
from verifiers.lirpa_backend import as_sequential

SIZES = (1, 32, 256)
SLOW, VERY_SLOW = 1.0, 5.0
"""CPU seconds of a call that is repeated twice, or once only."""
PUBLISHED = {"ACAS Xu 1_1": "acasxu", "mnist-net_256x4": "mnist_fc_256x4", "oval21 base": "oval21_base"}
START_UP = """
from robust.graph import trace
from robust.graph.onnx_module import OnnxModule
from robust.properties.vnnlib import read_query
from verifiers import Network, lower_bounds, region_of
import torch
torch.set_num_threads(1)
model = OnnxModule({model!r})
network = Network(trace(model, model.input_shapes[0], device=torch.device("cpu")))
cases = read_query({query!r}).properties(model.input_shapes[0])
matrices = torch.cat([clause.matrix for clause in cases[0].unsafe.clauses])[None]
for method in ("interval", "crown"):
    print(lower_bounds(network, region_of([cases[0].inputs]), matrices, method))
"""


@dataclass(frozen=True)
class Peer:
    """auto_LiRPA and one network in its form."""

    library: Any
    bounded: Any

    def call(self, region: Region, method: str) -> Callable[[], tuple[Tensor, Tensor]]:
        """A call that bounds all outputs from both sides."""
        lower, upper = region.lower.float(), region.upper.float()
        return auto_lirpa_peer.output_bounds(self.library, self.bounded, lower, upper, method)


def both_sides(network: Network, region: Region, method: str) -> tuple[Tensor, Tensor]:
    """Lower and upper bounds ``[n, outputs]`` of all outputs."""
    unit = torch.eye(network.graph.outputs)
    questions = torch.cat([unit, -unit])[None].expand(len(region), -1, -1)
    found = lower_bounds(network, region, questions, method)
    return found[:, : len(unit)], -found[:, len(unit) :]


def sizes_of(subject: Subject, method: str, peer: bool) -> tuple[int, ...]:
    """Batches that end within some seconds: an optimising peer takes one box, of the smallest network 32."""
    if method == "zonotope" and subject.name.startswith("oval21"):
        return SIZES[:2]
    if method != "alpha-crown":
        return SIZES
    if subject.name == "ACAS Xu 1_1":
        return SIZES[:2] if peer else SIZES
    return SIZES[:1] if peer or subject.name.startswith("oval21") else SIZES[:2]


def width(bounds: tuple[Tensor, Tensor]) -> float:
    return float((bounds[1] - bounds[0]).mean())


def seconds(call: Callable[[], object]) -> float:
    clock = time.process_time()
    call()
    return time.process_time() - clock


def published(shared: Path) -> dict[tuple[str, str, int], tuple[float, float]]:
    """Network, method and batch -> CPU seconds and mean width that auto_LiRPA 0.7.1 had elsewhere."""
    path = shared / "peers" / "auto_lirpa_bounds.csv"
    if not path.is_file():
        return {}
    names = {"IBP": "interval", "CROWN": "crown", "alpha-CROWN": "alpha-crown"}
    networks = {theirs: ours for ours, theirs in PUBLISHED.items()}
    with path.open(encoding="utf-8") as file:
        return {
            (networks[row["net"]], names[row["method"]], int(row["batch"])): (
                float(row["best_call_cpu_s"]),
                float(row["mean_width_batch"]),
            )
            for row in csv.DictReader(file)
            if row["net"] in networks
        }


def peer_call(
    library: Any | None, subject: Subject, method: str, size: int
) -> tuple[Callable[[], Any] | None, str, float]:
    """A call that makes auto_LiRPA's bounds, on a module of its own, and its seconds; or None and why not.

    ``" *"`` beside a call: its sparse slopes had to be switched off.
    """
    if library is None:
        return None, "not importable", 0.0
    if method not in auto_lirpa_peer.NAMES:
        return None, "has none", 0.0
    if size not in sizes_of(subject, method, True):
        return None, "not run: slow", 0.0
    region = subject.region(size)
    module: nn.Module = as_sequential(subject.network.graph) or subject.module
    why = ""
    for sparse in (True, False) if method == "alpha-crown" else (True,):
        try:
            bounded = auto_lirpa_peer.prepare(library, module, region.lower.float(), sparse=sparse)
            call = Peer(library, bounded).call(region, method)
            trial = seconds(call)
        except Exception as error:  # what it does not support ends in errors of any kind
            why = f"stops: {type(error).__name__}"
        else:
            return call, "" if sparse else " *", trial
    return None, why, 0.0


def comparison(subject: Subject, library: Any | None, known: Any, repeats: int) -> list[tuple[object, ...]]:
    """A row for each method and batch."""
    rows = []
    for method in METHODS:
        for size in sizes_of(subject, method, False):
            region = subject.region(size)
            theirs, remark, trial = peer_call(library, subject, method, size)
            calls: dict[str, Callable[[], Any]] = {
                "ours": lambda r=region, m=method: both_sides(subject.network, r, m)  # type: ignore[misc]
            }
            if theirs is not None:
                calls["theirs"] = theirs
            longest = max(seconds(calls["ours"]), trial)
            times = paired(calls, 1 if longest > VERY_SLOW else 2 if longest > SLOW else repeats)
            cells = _cells(calls, times, remark)
            rows.append((subject.name, method, size, *cells, *_known(known, subject, method, size)))
            print(*rows[-1], sep=" | ", flush=True)
    return rows


def _cells(calls: dict[str, Callable[[], Any]], times: dict[str, Timing], remark: str) -> list[str]:
    ours = f"{width(calls['ours']()):.4g}"
    if "theirs" not in calls:
        return [str(times["ours"]), remark, "-", f"{ours} / -"]
    theirs = f"{width(calls['theirs']()):.4g}"
    return [
        str(times["ours"]),
        f"{times['theirs']}{remark}",
        ratio(times["theirs"], times["ours"]),
        f"{ours} / {theirs}",
    ]


def _known(
    known: dict[tuple[str, str, int], tuple[float, float]], subject: Subject, method: str, size: int
) -> list[str]:
    found = known.get((subject.name, method, size))
    return ["-", "-"] if found is None else [f"{found[0]:.3g}", f"{found[1]:.4g}"]


def peer_loop(library: Any, module: nn.Module, network: Network, x: Tensor, labels: Tensor) -> tuple[float, Tensor]:
    """CPU seconds that auto_LiRPA takes for images one by one, and which it proves (float32, no allowance)."""
    proved = []
    matrices, x = rival_matrices(labels, network.graph.outputs).float(), x.float()
    bounded = auto_lirpa_peer.prepare(library, as_sequential(network.graph) or module, x)
    clock = time.process_time()
    for image, matrix in zip(x, matrices, strict=True):
        region = ((image - 0.02).clamp_min(0)[None], (image + 0.02).clamp_max(1)[None])
        bounds = auto_lirpa_peer.margins(library, bounded, *region, matrix[None])
        proved.append(bool((bounds > 0).all()))
    return time.process_time() - clock, torch.tensor(proved)


def whole_test_set(shared: Path, page: Page, library: Any | None, count: int = 1000, looped: int = 50) -> None:
    """Certify images in one call, one by one, and one by one with the peer."""
    path, images = shared / "data" / "models" / "mnist_wk17a.onnx", shared / "data" / "mnist" / "test.npz"
    if not path.is_file() or not images.is_file():
        page.say("The MNIST network is not here, so no test set was certified.")
        return
    module, network = onnx_subject(path)
    x, labels = mnist_images(images)
    x, labels = x[:count].reshape(count, *network.graph.input_shape), labels[:count]
    box = Box(torch.zeros(network.graph.input_shape).double(), torch.ones(network.graph.input_shape).double())

    def proved(rows: slice) -> Tensor:
        return certify(network, x[rows], labels[rows], [0.02], norm="linf", box=box, method="crown")[0]

    proved(slice(0, 2))
    clock = time.process_time()
    together = proved(slice(None))
    one_call = time.process_time() - clock
    clock = time.process_time()
    alone = torch.cat([proved(slice(i, i + 1)) for i in range(looped)])
    loop = (time.process_time() - clock) * count / looped
    page.say(
        f"MNIST wk17a, eps 0.02, CROWN confirmed in float64: {count} test images in one call {one_call:.2f} CPU s "
        f"({int(together.sum())} certified); one image after the other {loop:.2f} CPU s, measured on {looped} images "
        f"and scaled: {loop / one_call:.1f} times as long. On those {looped} the two differ for "
        f"{int((alone != together[:looped]).sum())} images."
    )
    if library is None:
        return
    peer_loop(library, module, network, x[:2], labels[:2])
    theirs, peers = peer_loop(library, module, network, x[:looped], labels[:looped])
    page.say(
        f"A loop over the same images with auto_LiRPA {auto_lirpa_peer.version()} (CROWN in float32, lower bounds of "
        f"the rival margins alone): {theirs * count / looped:.2f} CPU s, {theirs * count / looped / one_call:.1f} times "
        f"as long as our one call; it proves {int(peers.sum())} of the {looped}, ours {int(together[:looped].sum())}."
    )


def wide_once(shared: Path, who: str, count: int) -> None:
    """What a child does whose memory is watched: CROWN on oval21 wide."""
    module, network = onnx_subject(shared / "vnncomp" / "oval21" / "onnx" / "cifar_wide_kw.onnx.gz")
    region = noise_pictures(count, network.graph.input_shape)
    if who == "theirs":
        library = auto_lirpa_peer.load()
        Peer(library, auto_lirpa_peer.prepare(library, module, region.lower.float())).call(region, "crown")()
    elif count:
        lower_bounds(network, region, rival_matrices(torch.zeros(count).long(), network.graph.outputs), "crown")


def memory(shared: Path, peer: bool) -> list[tuple[object, ...]]:
    """Peak memory of children. To be asked first: a child counts at least what its parent had when it was started."""
    if not (shared / "vnncomp" / "oval21" / "onnx" / "cifar_wide_kw.onnx.gz").is_file():
        return []
    rows: list[tuple[object, ...]] = []
    for who, count in (("ours", 0), ("ours", 32), ("ours", 256), *((("theirs", 32),) if peer else ())):
        run = _child(["-m", "benchmarks.bounds", "--child", who, str(count), "--shared", str(shared)])
        questions = "9 rival margins" if who == "ours" else "10 outputs, both sides"
        cells = (questions if count else "the network only", f"{run.peak:.0f}", f"{run.cpu:.1f}", run.status)
        rows.append((who, count, *cells))
    return rows


def say_memory(rows: list[tuple[object, ...]], page: Page) -> None:
    """The table of ``memory``."""
    if not rows:
        page.say("oval21 is not here, so no memory was measured.")
        return
    page.say("Peak resident memory of a process, CROWN on oval21 wide, eps 0.02, start-up included:")
    page.table(("whose", "batch", "questions", "peak MiB", "CPU s", "exit status"), rows)


def start_up(shared: Path, page: Page, repeats: int) -> None:
    """From the shell to the first bounds of a query."""
    folder = shared / "vnncomp" / "acasxu"
    model, query = folder / "onnx" / "ACASXU_run2a_1_1_batch_2000.onnx.gz", folder / "vnnlib" / "prop_2.vnnlib.gz"
    if not model.is_file():
        page.say("ACAS Xu is not here, so start-up was not measured.")
        return
    program = START_UP.format(model=str(model), query=str(query))
    runs: dict[str, list[Child]] = {"import torch": [], "first bounds of an ACAS Xu query": []}
    for _ in range(repeats + 1):
        runs["import torch"].append(_child(["-c", "import torch"]))
        runs["first bounds of an ACAS Xu query"].append(_child(["-c", program]))
    cpu = {name: Timing(tuple(run.cpu for run in found[1:])) for name, found in runs.items()}
    page.say(
        "From the shell to interval and CROWN bounds of an ACAS Xu query, fresh processes: reading ONNX and VNN-LIB, "
        "tracing, bounding."
    )
    page.table(
        ("process", "CPU s", "wall s", "CPU s over `import torch`", "exit status"),
        [
            (
                name,
                cpu[name],
                f"{statistics.median(run.wall for run in found[1:]):.2f}",
                ratio(cpu[name], cpu["import torch"]),
                ", ".join(sorted({str(run.status) for run in found})),
            )
            for name, found in runs.items()
        ],
    )


def _child(arguments: list[str]) -> Child:
    with tempfile.TemporaryDirectory() as folder:
        return child(arguments, Path(folder))


def compare(found: list[Subject], library: Any | None, shared: Path, page: Page, repeats: int) -> None:
    """The table of ours and theirs."""
    known, rows = published(shared), []
    for subject in found:
        rows += comparison(subject, library, known, repeats)
    theirs = "is not importable here" if library is None else f"{auto_lirpa_peer.version()} in the same rounds"
    page.say(
        f"Lower and upper bounds of all outputs, float32; auto_LiRPA {theirs}. CPU seconds: median [range] of {repeats} "
        f"paired rounds (2 where a call takes over {SLOW:g} s, 1 where over {VERY_SLOW:g} s), tracing excluded. Speed: their seconds over ours, above 1 "
        "we are faster. Width: mean of upper less lower bound, smaller is tighter. alpha-crown: 20 steps. "
        "*: it stops with an error unless its sparse slopes are switched off, so they were. It is given "
        "chains of linear layers, convolutions and ReLU as `nn.Sequential` (version 0.3 cannot read our module of the ACAS Xu "
        "file), other networks as our module. The last two columns were measured with version 0.7.1 **on another machine**; "
        "its seconds do not compare with the others, and its boxes are of the same kind but not the same."
    )
    page.say("Boxes: " + "; ".join(f"{subject.name}: {subject.boxes}" for subject in found) + ".")
    page.table(
        (
            "network", "method", "batch", "s, ours", "s, auto_LiRPA", "speed", "width, ours / theirs",
            "0.7.1 elsewhere: s", "width",
        ),
        rows,
    )  # fmt: skip


def main() -> None:
    """Run and write ``results/bounds.md`` and ``results/bounds.html``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared", help="holds vnncomp/, data/ and peers/")
    parser.add_argument("--network", nargs="+", help="only networks whose name starts so")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    settings = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    if settings.child:
        wide_once(settings.shared, settings.child[0], int(settings.child[1]))
        return
    page = Page("bounds", "Bounds: ours, and auto_LiRPA beside")
    library = auto_lirpa_peer.load()
    peaks = memory(settings.shared, library is not None)
    found = subjects(settings.shared)
    if len(found) == 1:
        page.say(f"Networks of the verification competition are not here (wanted `vnncomp` in `{os.pardir}/shared`).")
    if settings.network:
        found = [subject for subject in found if subject.name.startswith(tuple(settings.network))]
    compare(found, library, settings.shared, page, settings.repeats)
    whole_test_set(settings.shared, page, library)
    say_memory(peaks, page)
    start_up(settings.shared, page, min(settings.repeats, 3))
    write_curves()
    page.say("What bounds cost against depth, width, batch and questions: [curves](bounds.html), without a peer.")
    page.say("Noise: other processes shared the cores; trust a ratio to about its range.")
    page.write()


if __name__ == "__main__":
    main()
