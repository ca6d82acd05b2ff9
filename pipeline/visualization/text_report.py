"""Results as a person reads them."""

import textwrap

from tabulate import tabulate

from a2d.taxonomy import Actor, Taxonomy
from pipeline.results import ClipResult


def format_result(result: ClipResult, taxonomy: Taxonomy, label_threshold: float) -> str:
    """Lay out one clip's result: a verdict and its reason per actor, then what the clip shows.

    Args:
        result: Of any status.
        taxonomy: The run's.
        label_threshold: From which score an action is said, for the legend.

    Returns:
        Lines of text, without a line break at the end.
    """
    if result.status == "error":
        return f"{result.video}\n  not tagged: {result.error}"
    head = f"{result.video}\n  {result.frames} frames, {result.duration_seconds:.1f} s, {result.fps:.4g} frames/s"
    if result.error:
        head += f"\n  warning: {result.error}"
    rows = [_row(actor, result) for actor in taxonomy.actors]
    columns = ["actor", "in frames", "gate", "verdict", f"action (said from {label_threshold:.2f})", "runner-up"]
    table = tabulate(rows, headers=columns, disable_numparse=True, colalign=("left", "right", "right"))
    return "\n".join([head, "", textwrap.indent(table, "  "), "", f"  {conclusion(result)}"])


def conclusion(result: ClipResult) -> str:
    """Say in one line what a clip shows and, where an actor was nearly there, which."""
    said = ", ".join(f"{label.label} ({label.score:.2f})" for label in result.labels)
    line = f"who does what: {said or 'no known actor is in enough of the frames'}"
    for label in result.labels:
        spans = ", ".join(f"{start:.1f}–{end:.1f}" for start, end in label.segments)
        line += f"\n    {label.label}: {spans} s" if spans else ""
    missed = result.nearest_miss
    if missed:
        actor = result.actors[missed]
        line += f"\n  nearest miss: {missed}, in {_share(actor.presence)} of the frames, gate {_share(actor.gate)}"
    return line


def _row(actor: Actor, result: ClipResult) -> list[str]:
    evidence = result.actors[actor.name]
    gate = f"{'≥' if evidence.present else '<'} {_share(evidence.gate)}"
    verdict = f"{'present' if evidence.present else 'absent'} ({100 * evidence.margin:+.1f})"
    row = [actor.name, _share(evidence.presence), gate, verdict]
    if not evidence.present:
        return [*row, "", ""]
    said = [entry for entry in result.labels if entry.label in actor.label_names]
    scores = {name: result.scores[name] for name in actor.label_names if name not in {entry.label for entry in said}}
    runner_up = max(scores, key=lambda name: scores[name], default=None)
    return [
        *row,
        ", ".join(f"{entry.label} {entry.score:.2f}" for entry in said),
        f"{runner_up} {scores[runner_up]:.2f}" if runner_up else "",
    ]


def _share(fraction: float) -> str:
    return f"{100 * fraction:.1f} %"
