"""Results as text for people."""

import textwrap

from tabulate import tabulate

from a2d.taxonomy import Actor, Taxonomy
from pipeline.clip_windows import MAX_WINDOW_SECONDS
from pipeline.results import ClipResult


def format_result(result: ClipResult, taxonomy: Taxonomy, label_threshold: float) -> str:
    """Format one clip's result: a verdict with its reason per actor, then what the clip shows.

    Args:
        result: Of any status.
        taxonomy: The run's.
        label_threshold: Minimum score of a predicted action, for the column header.

    Returns:
        Lines of text, without a trailing line break.
    """
    if result.status == "error":
        return f"{result.video}\n  not tagged: {result.error}"
    head = f"{result.video}\n  {result.frames} frames, {result.duration_seconds:.1f} s, {result.fps:.4g} frames/s"
    if any(evidence.windows for evidence in result.actors.values()):
        head += f"; shares are those in the windows of at most {MAX_WINDOW_SECONDS:g} s that show each actor most"
    if result.error:
        head += f"\n  warning: {result.error}"
    rows = [_row(actor, result) for actor in taxonomy.actors]
    columns = ["actor", "in frames", "gate", "verdict", f"action (from {label_threshold:.2f})", "runner-up"]
    table = tabulate(rows, headers=columns, disable_numparse=True, colalign=("left", "right", "right"))
    return "\n".join([head, "", textwrap.indent(table, "  "), "", f"  {conclusion(result)}"])


def conclusion(result: ClipResult) -> str:
    """Summarize what a clip shows, which actor was nearly present, and which boxes did not count."""
    labels = ", ".join(f"{label.label} ({label.score:.2f})" for label in result.labels)
    line = f"who does what: {labels or 'no known actor is in enough of the frames'}"
    for label in result.labels:
        spans = ", ".join(f"{start:.1f}–{end:.1f}" for start, end in label.segments)
        line += f"\n    {label.label}: {spans} s" if spans else ""
    missed = result.nearest_miss
    if missed:
        actor = result.actors[missed]
        line += f"\n  nearest miss: {missed}, in {_share(actor.presence)} of the frames, gate {_share(actor.gate)}"
    for name, share in result.unconfirmed.items():
        actor = result.actors[name]
        kept = f", confirmed in {_share(actor.presence)}" if actor.presence else ""
        line += f"\n  not confirmed: {name}, detected in {_share(share)} of the frames{kept}"
    return line


def _row(actor: Actor, result: ClipResult) -> list[str]:
    evidence = result.actors[actor.name]
    gate = f"{'≥' if evidence.present else '<'} {_share(evidence.gate)}"
    verdict = f"{'present' if evidence.present else 'absent'} ({100 * evidence.margin:+.1f})"
    row = [actor.name, _share(evidence.presence), gate, verdict]
    if not evidence.present:
        return [*row, "", ""]
    labels = [label for label in result.labels if label.label in actor.label_names]
    predicted = {label.label for label in labels}
    scores = {name: result.scores[name] for name in actor.label_names if name not in predicted}
    runner_up = max(scores, key=lambda name: scores[name], default=None)
    return [
        *row,
        ", ".join(f"{label.label} {label.score:.2f}" for label in labels),
        f"{runner_up} {scores[runner_up]:.2f}" if runner_up else "",
    ]


def _share(fraction: float) -> str:
    return f"{100 * fraction:.1f} %"
