"""The definitions of the scores, word for word and slow: what the package's fast versions must equal."""

from __future__ import annotations

from collections import Counter

import numpy as np


def overlap_counts(prediction, truth, valid=None):
    """{(prediction id, truth id): voxels}, voxel by voxel."""
    counts = Counter()
    for index in np.ndindex(prediction.shape):
        if valid is None or valid[index]:
            counts[int(prediction[index]), int(truth[index])] += 1
    return dict(counts)


def sizes_of(counts, side):
    sizes = Counter()
    for ids, voxels in counts.items():
        if ids[side] > 0:
            sizes[ids[side]] += voxels
    return sizes


def iou_of_pairs(counts):
    psz, gsz = sizes_of(counts, 0), sizes_of(counts, 1)
    return {(p, g): float(c) / (psz[p] + gsz[g] - c) for (p, g), c in counts.items() if p > 0 and g > 0}


def average_precision(counts, limits, thresholds, scores=None):
    """{range: [AP at each threshold, ..., AP(.50:.95)]}, -1 where undefined."""
    psz, gsz, iou = sizes_of(counts, 0), sizes_of(counts, 1), iou_of_pairs(counts)
    scores = psz if scores is None else scores
    order = sorted(sorted(psz), key=lambda p: -scores.get(p, 0))
    ranges = {
        "all": (0, 1e10),
        "small": (0, limits[0]),
        "medium": (limits[0], limits[1]),
        "large": (limits[1], 1e10),
    }

    def best(p, lo, hi):
        found = None
        for g in sorted(gsz):
            if (p, g) in iou and lo < gsz[g] <= hi and (found is None or iou[p, g] > found[1]):
                found = (g, iou[p, g])
        return found

    result = {}
    for name, (lo, hi) in ranges.items():
        n = sum(lo < gsz[g] <= hi for g in gsz)
        curves = np.full((len(thresholds), 101), -1.0)
        for row, t in enumerate(thresholds):
            if n == 0:
                continue
            tp, fp = [], []
            for p in order:
                match = best(p, lo, hi) or best(p, *ranges["all"])
                hit = match is not None and match[1] >= t
                tp.append(hit and lo < gsz[match[0]] <= hi)
                fp.append(not hit and lo < psz[p] <= hi)
            ctp, cfp = np.cumsum(tp, dtype=float), np.cumsum(fp, dtype=float)
            rc, pr = ctp / n, ctp / (cfp + ctp + np.spacing(1))
            for k in range(len(pr) - 2, -1, -1):
                pr[k] = max(pr[k], pr[k + 1])
            for q, recall in enumerate(np.linspace(0, 1, 101)):
                k = np.searchsorted(rc, recall, side="left")
                curves[row, q] = pr[k] if k < len(pr) else 0
        means = [np.mean(curve[curve > -1]) if n else -1 for curve in curves]
        ten = curves[:10]
        result[name] = [*means, np.mean(ten[ten > -1]) if n else -1]
    return result


def best_matching(iou, threshold):
    """(pairs, sum of IoU) of the best one-to-one matching, by trying all."""
    hits = sorted((pair, value) for pair, value in iou.items() if value >= threshold)

    def best(position, used_predictions, used_truths):
        if position == len(hits):
            return (0, 0.0)
        (p, g), value = hits[position]
        without = best(position + 1, used_predictions, used_truths)
        if p in used_predictions or g in used_truths:
            return without
        count, total = best(position + 1, used_predictions | {p}, used_truths | {g})
        return max(without, (count + 1, total + value))

    return best(0, frozenset(), frozenset())
