"""Model YAMLs of unknown origin: what Ultralytics would evaluate, download or allocate is checked before."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from common.errors import DetectorError
from common.files import read_yaml, shorten

MAX_LAYERS = 500
MAX_REPEATS = 100
MAX_NUMBER = 4096  # channels, kernel sizes
MAX_UPSAMPLING = 8
MAX_PARAMETERS = 1 << 28
MAX_SCALE = 10  # of depths and widths
MAX_CHANNELS = 1 << 20
MAX_STEM_CHANNELS, MAX_STEM_STRIDE = 512, 2
WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")  # any other string would be evaluated


def read_architecture(path: Path) -> dict[str, Any]:
    """Read a model YAML.

    Args:
        path: The file.

    Returns:
        Its content, checked: layers are rows of words and numbers within limits, and none loads weights.

    Raises:
        DetectorError: If it is not such a file.
    """
    content = read_yaml(path, DetectorError)
    for part in ("backbone", "head"):
        if not isinstance(content.get(part), list):
            raise DetectorError(f"{path}: not an Ultralytics detection model: {part}: a list of layers was expected")
    rows = [*content["backbone"], *content["head"]]
    if not 0 < len(rows) <= MAX_LAYERS:
        raise DetectorError(f"{path}: {len(rows)} layers were found, 1 to {MAX_LAYERS} are allowed")
    for number, row in enumerate(rows):
        _check_row(row, f"{path}: layer {number}")
    for name in ("depth_multiple", "width_multiple"):
        _check_number(content.get(name, 1), MAX_SCALE, f"{path}: {name}")
    _check_number(content.get("reg_max", 1), MAX_NUMBER, f"{path}: reg_max")
    _check_scales(content.get("scales") or {}, path)
    if "stem" in content:
        _check_stem(content["stem"], path)
    return content


def _check_row(row: object, where: str) -> None:
    match row:
        case [sources, int(repeats), str(module), list(arguments)] if 1 <= repeats <= MAX_REPEATS:
            pass
        case _:
            raise DetectorError(
                f"{where}: [from, 1 to {MAX_REPEATS}, module, arguments] was expected, found {shorten(row)}"
            )
    for value in (*_flatten(sources), *_flatten(arguments)):
        if isinstance(value, str):
            if not WORD.fullmatch(value):
                raise DetectorError(f"{where}: a word or a number was expected, found {shorten(value)}")
        elif value is not None:
            _check_number(value, MAX_UPSAMPLING if module == "nn.Upsample" else MAX_NUMBER, where)
    if module == "TorchVision" and (len(arguments) < 3 or arguments[2] not in (None, "None")):
        raise DetectorError(f"{where}: TorchVision downloads weights unless its third argument is null")


def _flatten(value: object) -> Iterator[object]:
    if isinstance(value, list):
        for item in value:
            yield from _flatten(item)
    else:
        yield value


def _check_number(value: object, limit: float, where: str) -> None:
    if not isinstance(value, bool | int | float) or not abs(value) <= limit:
        raise DetectorError(f"{where}: a number up to {limit} was expected, found {shorten(value)}")


def _check_scales(scales: object, path: Path) -> None:
    is_valid = isinstance(scales, dict) and all(
        isinstance(scale, list) and len(scale) == 3 for scale in scales.values()
    )
    if not isinstance(scales, dict) or not is_valid:
        raise DetectorError(f"{path}: scales: [depth, width, maximum channels] by name was expected")
    for name, (depth, width, channels) in scales.items():
        where = f"{path}: scales: {shorten(name)}"
        _check_number(depth, MAX_SCALE, where)
        _check_number(width, MAX_SCALE, where)
        _check_number(channels, MAX_CHANNELS, where)


def _check_stem(stem: object, path: Path) -> None:
    """Check the key `stem`, which is this project's own, see `actor_detector.dense_stem`."""
    match stem:
        case {"children": int(children), "first": int(first), "blocks": [_, *_] as blocks, **rest} if not rest:
            numbers = [(children, MAX_REPEATS), (first, MAX_STEM_CHANNELS)]
            for block in blocks:
                match block:
                    case [int(hidden), int(outputs), int(stride)]:
                        numbers += [(hidden, MAX_STEM_CHANNELS), (outputs, MAX_STEM_CHANNELS)]
                        numbers.append((stride, MAX_STEM_STRIDE))
                    case _:
                        raise DetectorError(
                            f"{path}: stem: blocks: [hidden channels, channels, stride] was expected, found "
                            f"{shorten(block)}"
                        )
            if len(blocks) <= MAX_REPEATS and all(1 <= number <= limit for number, limit in numbers):
                return
            raise DetectorError(
                f"{path}: stem: 1 to {MAX_STEM_CHANNELS} channels and strides of 1 or {MAX_STEM_STRIDE} were expected, "
                f"found {shorten(stem)}"
            )
        case _:
            raise DetectorError(f"{path}: stem: children, first and blocks were expected, found {shorten(stem)}")
