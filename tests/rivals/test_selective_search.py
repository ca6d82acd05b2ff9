"""The segmentation and the grouping of `rivals.selective_search`, and the proposals of `object_proposal`."""

import cv2
import numpy as np
import pytest

from rivals.graph_segmentation import segment, touching
from rivals.selective_search import box_areas, group, overlaps, propose_boxes, suppress
from rivals.systems.object_proposal import CROPS, MIN_AREA, MOST_OVERLAP, draw_proposals, find_proposals

RECTANGLES = {(20, 30, 90, 100): (0, 0, 220), (150, 40, 250, 80): (0, 200, 0), (110, 120, 190, 180): (220, 40, 0)}
SEEDS = pytest.mark.parametrize("seed", range(6))


def coloured_rectangles(height=200, width=300):
    frame = np.full((height, width, 3), 128, np.uint8)
    for (left, top, right, bottom), colour in RECTANGLES.items():
        frame[top:bottom, left:right] = colour
    return frame


def random_frame(seed):
    """A frame of a random size: soft stains, with noise."""
    numbers = np.random.default_rng(seed)
    height, width = numbers.integers(8, 400, 2)
    stains = numbers.integers(0, 256, (5, 7, 3)).astype(np.uint8)
    soft = cv2.resize(stains, (int(width), int(height)), interpolation=cv2.INTER_CUBIC)
    return np.clip(soft + numbers.normal(0, 12, soft.shape), 0, 255).astype(np.uint8)


def segment_plainly(picture, scale, min_size):
    """The published algorithm, edge by edge, as slow as it is."""
    height, width = picture.shape[:2]
    regions = np.arange(height * width).reshape(height, width)
    edges = []
    for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
        for row in range(height - down):
            for column in range(max(0, -right), width - max(0, right)):
                start, end = (row, column), (row + down, column + right)
                edges.append((float(np.linalg.norm(picture[start] - picture[end])), len(edges), start, end))
    edges.sort()
    strongest = np.zeros(height * width)
    for weight, _, start, end in edges:
        one, other = regions[start], regions[end]
        limits = [strongest[name] + scale / (regions == name).sum() for name in (one, other)]
        if one != other and weight <= min(limits):
            regions[regions == other] = one
            strongest[one] = weight
    for _, _, start, end in edges:
        one, other = regions[start], regions[end]
        if one != other and min((regions == one).sum(), (regions == other).sum()) < min_size:
            regions[regions == other] = one
    return regions


def same_partition(one, other):
    pairs = np.unique(np.stack([one.ravel(), other.ravel()]), axis=1).shape[1]
    return len(np.unique(one)) == len(np.unique(other)) == pairs


@SEEDS
@pytest.mark.parametrize(("scale", "min_size"), [(3.0, 1), (40.0, 4), (400.0, 9)])
def test_the_segmentation_is_the_published_one(seed, scale, min_size):
    picture = np.random.default_rng(seed).integers(0, 30, (11, 13, 3)).astype(np.float32)
    picture += cv2.resize(picture[:2, :2] * 5, (13, 11), interpolation=cv2.INTER_NEAREST)
    found = segment(picture, scale, min_size)
    assert same_partition(found, segment_plainly(picture, scale, min_size))
    sizes = np.bincount(found.ravel())
    assert sizes.min() >= min(min_size, found.size)  # numbered without gaps, and none too small


def test_regions_touch_at_sides_and_corners():
    found = touching(np.array([[0, 0, 3], [1, 2, 2]]))
    assert [set(np.flatnonzero(row)) for row in found] == [{1, 2, 3}, {0, 2}, {0, 1, 3}, {0, 2}]


def test_the_most_similar_regions_are_joined_first():
    regions = np.repeat(np.arange(4), 5)[None].repeat(10, axis=0)
    picture = np.array([10, 200, 203, 90], np.float32)[regions][..., None].repeat(3, axis=2)
    boxes = group(regions, picture).tolist()
    assert boxes[:4] == [[0, 0, 5, 10], [5, 0, 10, 10], [10, 0, 15, 10], [15, 0, 20, 10]]
    assert boxes[4] == [5, 0, 15, 10]
    assert boxes[6] == [0, 0, 20, 10]
    assert len(boxes) == 7


def test_rectangles_of_their_own_colour_are_found():
    found = propose_boxes(coloured_rectangles())
    for rectangle in RECTANGLES:
        assert overlaps(np.array(rectangle), found).max() > 0.85
    assert found[0].tolist() == [0, 0, 300, 200]
    proposals = find_proposals(coloured_rectangles())
    for rectangle in RECTANGLES:
        assert overlaps(np.array(rectangle), proposals).max() > 0.7


@SEEDS
def test_proposals_lie_in_the_frame_and_are_filtered_as_published(seed):
    frame = random_frame(seed)
    found = find_proposals(frame)
    assert (MIN_AREA, MOST_OVERLAP) == (50, 0.7)
    assert (found[:, :2] >= 0).all()
    assert (found[:, :2] < found[:, 2:]).all()
    assert (found[:, 2:] <= [frame.shape[1], frame.shape[0]]).all()
    assert (box_areas(found) >= 50).all()
    for number, box in enumerate(found):
        assert (overlaps(box, found[number + 1 :]) <= 0.7).all()
    dropped = [box for box in propose_boxes(frame) if not (found == box).all(axis=1).any()]
    assert all(box_areas(box) < 50 or overlaps(box, found).max() > 0.7 for box in dropped)
    np.testing.assert_array_equal(find_proposals(frame.copy()), found)


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (1, 300), (7, 7), (40, 60)])
@pytest.mark.parametrize("value", [0, 90, 255])
def test_where_there_is_nothing_to_find_it_is_the_whole_frame(shape, value):
    frame = np.full((*shape, 3), value, np.uint8)
    assert find_proposals(frame).tolist() == [[0, 0, shape[1], shape[0]]]
    crops = draw_proposals([frame])
    assert len(crops) == CROPS
    assert all(np.array_equal(crop, frame) for crop in crops)


def test_a_grey_frame_has_proposals_too():
    grey = cv2.cvtColor(random_frame(1), cv2.COLOR_BGR2GRAY)
    assert len(find_proposals(np.stack([grey] * 3, axis=-1))) > 1


def test_of_two_boxes_that_overlap_the_first_stays():
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 8], [0, 0, 10, 6], [20, 0, 30, 10]])
    assert suppress(boxes, 0.7).tolist() == boxes[[0, 2, 3]].tolist()
    assert suppress(boxes[::-1], 0.7).tolist() == boxes[[3, 2, 0]].tolist()
    assert suppress(boxes, 1.0).tolist() == boxes.tolist()
    assert suppress(boxes[:0], 0.7).shape == (0, 4)


def test_crops_are_cut_from_the_frame_and_repeated():
    many = coloured_rectangles()
    few = many[:60, 100:]
    for frame, enough in ((many, True), (few, False)):
        crops, boxes = draw_proposals([frame]), find_proposals(frame)
        assert len(crops) == CROPS
        assert (len(boxes) >= CROPS) == enough
        assert len(boxes) > 1
        for number, crop in enumerate(crops):
            left, top, right, bottom = boxes[number % len(boxes)]
            np.testing.assert_array_equal(crop, frame[top:bottom, left:right])
