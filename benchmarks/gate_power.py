"""How often the gate lets a student pass, and how much better that is in truth.

Versions of simulated projects are evaluated on other images than those they were made
from. Then each meets each other version of its data set in the gate, and the base, on
the objects of few of these images, drawn many times. What passes is counted by the gain
on all.

Run: ``python benchmarks/gate_power.py --data DIR --keep FILE SIMULATION...``, where the
simulations are folders that ``infosam simulate --data DIR`` has written; again with the
same file for other data, with another one for another ``--per-image``. A minute a
version on two cores.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator
from itertools import permutations
from pathlib import Path
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from napari_infosam.bench.data import read_data_set
from napari_infosam.models import EmbeddingCache, Predictor, load_model, load_version
from napari_infosam.models.threads import set_fastest_threads
from napari_infosam.project import Project
from napari_infosam.training.dataset import limit_objects
from napari_infosam.training.evaluate import Evaluation, evaluate
from napari_infosam.training.gate import judge
from napari_infosam.training.held_out import HeldOut
from napari_infosam.training.run import GATE_CLICKS

IMAGES, RESULTS = 40, 160
"""Images that each model is measured on at most, and objects times views in them."""
SEED = 0
BINS = {
    "worse by 0.01 or more": (-np.inf, -0.01),
    "worse by less": (-0.01, 0.0),
    "better by less than 0.01": (0.0, 0.01),
    "by 0.01 to 0.03": (0.01, 0.03),
    "by 0.03 or more": (0.03, np.inf),
}
"""Mean gain in IoU after 1, 3 and 5 clicks and of boxes, on all objects and views."""

Results = dict[str, dict[str, Evaluation]]
"""By data set, with a hash of the objects that are looked at, and version."""
FILE = TypeAdapter(Results)


def measure(
    data: Path, simulations: list[Path], n_images: int, per_image: int, found: Results
) -> None:
    """Add the evaluations that are missing of the versions of simulated projects."""
    pairs = read_data_set(data)
    rest = pairs.read(pairs.split(n_images, None, SEED)[1])
    most = min(IMAGES, RESULTS // per_image)
    few = [sample for sample in rest if len(sample.rles) >= per_image][:most]
    test = limit_objects(few, len(few) * per_image, SEED)
    held_out = HeldOut.of(test, RESULTS)
    base = load_model("vit_t", "cpu")
    drawn = crc32(b"".join(rle for sample in test for rle in sample.rles))
    known = found.setdefault(f"{data.name} {drawn:08x}", {})
    if "base" not in known:
        known["base"] = _evaluate(held_out, Predictor(base))
    for path in (p for s in simulations for p in sorted(s.glob("projects/*.infosam"))):
        with Project.open(path, lock=False) as project:
            for version in project.versions():
                name = f"{path.parents[1].name}/{path.stem}/{version.id}"
                if name not in known:
                    model = load_version(project, version.id, base=base)
                    known[name] = _evaluate(
                        held_out, Predictor(model, EmbeddingCache())
                    )
                    print(name, flush=True)


def _evaluate(held_out: HeldOut, predictor: Predictor) -> Evaluation:
    found = evaluate(predictor, held_out.samples, max_clicks=GATE_CLICKS, threads=2)
    return found.of_views(held_out.n_views)


def draw(
    n: int, per_image: int, n_views: int, of: Evaluation, rng: np.random.Generator
) -> list[int]:
    """Return which results to look at: objects of some images, in some views."""
    names = np.array([one.image for one in of.objects[: of.n_objects]])
    images = rng.choice(np.unique(names), n, replace=False)
    here = [rng.permutation(np.flatnonzero(names == name)) for name in images]
    objects = np.concatenate([of_image[:per_image] for of_image in here])
    views = rng.choice(of.n_views, n_views, replace=False)
    return [int(view * of.n_objects + i) for view in views for i in objects]


def passes(
    candidate: Evaluation, rival: Evaluation, chosen: list[int], n_views: int
) -> bool:
    """Return whether a candidate passes the gate on some results."""

    def some(of: Evaluation) -> Evaluation:
        objects = tuple(of.objects[i] for i in chosen)
        return Evaluation(objects, of.n_images, of.max_clicks, 0.0, n_views)

    return judge(some(candidate), {"rival": some(rival)}).accepted


def mean_ious(of: Evaluation) -> NDArray[np.float64]:
    """Return the mean IoU of each object after 1, 3 and 5 clicks and of its box."""
    each = [[*map(o.iou_after, (1, 3, 5)), o.iou_box] for o in of.objects]
    shape = (of.n_views, of.n_objects, 4)
    means: NDArray[np.float64] = np.array(each).reshape(shape).mean(axis=(0, 2))
    return means


def spreads(found: Results) -> NDArray[np.float64]:
    """Return ``(students, 2)`` variances of the gain over the base.

    Of images, and of the objects of one image (one-way analysis of variance), where
    images have more than one.
    """
    parts = []
    for known in found.values():
        base = known["base"]
        names = [one.image for one in base.objects[: base.n_objects]]
        index, counts = np.unique(names, return_inverse=True, return_counts=True)[1:]
        n, k = len(index), len(counts)
        students = (known[name] for name in known if name != "base" and n > k)
        for student in students:
            gains = mean_ious(student) - mean_ious(base)
            means = np.bincount(index, gains) / counts
            between = float(counts @ (means - gains.mean()) ** 2) / (k - 1)
            within = float(((gains - means[index]) ** 2).sum()) / (n - k)
            each = (n - counts @ counts / n) / (k - 1)
            parts.append(((between - within) / each, within))
    return np.array(parts).reshape(-1, 2)


def rows(
    found: Results, sizes: list[int], per_image: int, trials: int
) -> Iterator[str]:
    """Yield the lines of the table: shares that pass, by size and true gain."""
    pairs = [
        (known[a], known[b])
        for known in found.values()
        for a, b in permutations(known, 2)
    ]
    results = [one for known in found.values() for one in known.values()]
    views = sorted({1, min(one.n_views for one in results)})
    n_images = min(one.n_images for one in results)
    shares: dict[tuple[int, int], defaultdict[str, list[float]]] = {}
    sizes = [n for n in sizes if n <= n_images]
    for n in sizes:
        for n_views in views:
            rng = np.random.default_rng(SEED)
            here = shares[n, n_views] = defaultdict(list)
            for candidate, rival in pairs:
                true = float(np.mean(mean_ious(candidate) - mean_ious(rival)))
                bin_ = next(b for b, (low, high) in BINS.items() if low <= true < high)
                passed = [
                    passes(
                        candidate,
                        rival,
                        draw(n, per_image, n_views, rival, rng),
                        n_views,
                    )
                    for _ in range(trials)
                ]
                here[bin_].append(float(np.mean(passed)))
    yield f"| images | views | {' | '.join(BINS)} |"
    yield "|---" * (len(BINS) + 2) + "|"
    for (n, n_views), here in shares.items():
        cells = [f"{np.mean(here[b]):.0%}" if here[b] else "" for b in BINS]
        yield f"| {n} | {n_views} | {' | '.join(cells)} |"
    pairs_of = shares[sizes[0], 1]
    yield f"| pairs | | {' | '.join(str(len(pairs_of[b])) for b in BINS)} |"


def main() -> None:
    """Measure what is missing, and print the table of all that is known."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("simulations", type=Path, nargs="*")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--keep", type=Path, required=True)
    parser.add_argument("--images", type=int, default=10, help="that were annotated")
    parser.add_argument("--per-image", type=int, default=1, help="objects of each")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1, 2, 3, 6, 12, 24])
    parser.add_argument("--trials", type=int, default=60)
    chosen = parser.parse_args()
    found: Results = {}
    if chosen.keep.exists():
        found = FILE.validate_json(chosen.keep.read_bytes())
    if chosen.data is not None:
        set_fastest_threads(2)
        try:
            measure(
                chosen.data, chosen.simulations, chosen.images, chosen.per_image, found
            )
        finally:
            chosen.keep.write_bytes(FILE.dump_json(found))
    for line in rows(found, chosen.sizes, chosen.per_image, chosen.trials):
        print(line)
    apart = spreads(found)
    if len(apart):
        between, within = np.sqrt(np.maximum(apart.mean(axis=0), 0))
        print(
            f"Standard deviation of the gain of {len(apart)} students over their base: "
            f"{between:.3f} between images, {within:.3f} between objects of one"
        )


if __name__ == "__main__":
    main()
