"""Results as text for people."""

import textwrap

from tabulate import tabulate

from a2d.taxonomy import Actor, Taxonomy
from common.styles import Paint, no_paint
from pipeline.clip_windows import MAX_WINDOW_SECONDS
from pipeline.results import ClipResult


def format_result(result: ClipResult, taxonomy: Taxonomy, label_threshold: float, paint: Paint = no_paint) -> str:
    """Format one clip's result: a verdict with its reason per actor, then what the clip shows.

    Args:
        result: Of any status.
        taxonomy: The run's.
        label_threshold: Minimum score of a predicted action, for the column header.
        paint: How its parts look.

    Returns:
        Lines of text, without a trailing line break.
    """
    if result.status == "error":
        return f"{paint(result.video, 'heading')}\n  {paint(f'not tagged: {result.error}', 'bad')}"
    head = paint(result.video, "heading")
    head += f"\n  {result.frames} frames, {result.duration_seconds:.1f} s, {result.fps:.4g} frames/s"
    if result.looks:
        head += (
            f"; {result.looks.frames} looked at, until sure ({100 * result.looks.error:g} % of decisions may differ)"
        )
    if any(evidence.windows for evidence in result.actors.values()):
        head += f"; shares are those in the windows of at most {MAX_WINDOW_SECONDS:g} s that show each actor most"
    if result.error:
        head += f"\n  {paint(f'warning: {result.error}', 'warning')}"
    if not result.actors:  # of a system that has no gates
        return "\n".join([head, "", f"  {conclusion(result, paint)}"])
    rows = [_row(actor, result, paint) for actor in taxonomy.actors]
    columns = ["actor", "in frames", "gate", "verdict", f"action (from {label_threshold:.2f})", "runner-up"]
    table = tabulate(rows, headers=columns, disable_numparse=True, colalign=("left", "right", "right"))
    return "\n".join([head, "", textwrap.indent(table, "  "), "", f"  {conclusion(result, paint)}"])


def conclusion(result: ClipResult, paint: Paint = no_paint) -> str:
    """Summarize what a clip shows, which actor was nearly present, and which boxes did not count."""
    labels = ", ".join(f"{paint(label.label, 'heading')} ({label.score:.2f})" for label in result.labels)
    nothing = "no known actor is in enough of the frames" if result.actors else "no label is probable enough"
    line = f"who does what: {labels or nothing}"
    for label in result.labels:
        spans = ", ".join(f"{start:.1f}–{end:.1f}" for start, end in label.segments)
        line += f"\n    {paint(label.label)}: {spans} s" if spans else ""
    missed = result.nearest_miss
    if missed:
        actor = result.actors[missed]
        miss = f"nearest miss: {missed}, in {_share(actor.presence)} of the frames, gate {_share(actor.gate)}"
        line += f"\n  {paint(miss, 'faint')}"
    for name, share in result.unconfirmed.items():
        actor = result.actors[name]
        kept = f", confirmed in {_share(actor.presence)}" if actor.presence else ""
        line += f"\n  {paint(f'not confirmed: {name}, detected in {_share(share)} of the frames{kept}', 'faint')}"
    return line


def _row(actor: Actor, result: ClipResult, paint: Paint) -> list[str]:
    evidence = result.actors[actor.name]
    gate = f"{'≥' if evidence.present else '<'} {_share(evidence.gate)}"
    verdict = f"{'present' if evidence.present else 'absent'} ({100 * evidence.margin:+.1f})"
    share = _share(evidence.presence)
    if evidence.interval:
        share += " ({:.0f}–{:.0f})".format(*(100 * end for end in evidence.interval))
    row = [actor.name, share, gate, verdict]
    if not evidence.present:
        return [*(paint(cell, "faint") for cell in row), "", ""]
    labels = [label for label in result.labels if label.label in actor.label_names]
    predicted = {label.label for label in labels}
    scores = {name: result.scores[name] for name in actor.label_names if name not in predicted}
    runner_up = max(scores, key=lambda name: scores[name], default=None)
    return [
        *(paint(cell, "good") for cell in row),
        ", ".join(f"{paint(label.label, 'heading')} {label.score:.2f}" for label in labels),
        paint(f"{runner_up} {scores[runner_up]:.2f}", "faint") if runner_up else "",
    ]


def _share(fraction: float) -> str:
    return f"{100 * fraction:.1f} %"
