"""Random changes of training pictures, the same for all frames of a clip."""

import math
from collections.abc import Callable

import torch
from torch.nn import functional
from torchvision.transforms.v2 import functional as v2

from rivals.recipes import Augmentation

BLUR_SIGMA = (0.5, 2.0)
MEDIAN_PIXELS = 3
MOTION_PIXELS = 7


class RandomNumbers:
    """Draws numbers from a generator of its own, so that a seed determines an augmentation, whatever the device."""

    def __init__(self, seed: int) -> None:
        self._generator = torch.Generator().manual_seed(seed)

    def uniform(self, low: float, high: float) -> float:
        """Draw a number between two."""
        return low + (high - low) * float(torch.rand((), generator=self._generator))

    def below(self, count: int) -> int:
        """Draw a whole number from 0 to below another."""
        return int(torch.randint(count, (), generator=self._generator))

    def happens(self, probability: float) -> bool:
        """Draw whether something happens."""
        return self.uniform(0, 1) < probability


def augment(pictures: torch.Tensor, settings: Augmentation, numbers: RandomNumbers) -> torch.Tensor:
    """Change the pictures of one sample at random.

    Args:
        pictures: Shape (N, 3, S, S), uint8, RGB: the frames of one clip.
        settings: How far.
        numbers: Where the random numbers are drawn.

    Returns:
        The changed pictures, of the same shape and type.
    """
    if settings.flip and numbers.happens(settings.flip):
        pictures = v2.horizontal_flip(pictures)
    pictures = _move(pictures, settings, numbers)
    pictures = _recolor(pictures, settings, numbers)
    if settings.blurs and numbers.happens(settings.blur):
        pictures = BLURS[settings.blurs[numbers.below(len(settings.blurs))]](pictures, numbers)
    return _cover(pictures, settings, numbers)


def _move(pictures: torch.Tensor, settings: Augmentation, numbers: RandomNumbers) -> torch.Tensor:
    """Rotate and magnify; what lies outside of the pictures is black."""
    smallest, largest = settings.scale
    if not settings.rotation_degrees and (smallest, largest) == (1.0, 1.0):
        return pictures
    angle = numbers.uniform(-settings.rotation_degrees, settings.rotation_degrees)
    scale = numbers.uniform(smallest, largest)
    room = abs(scale - 1) * pictures.shape[-1] / 2
    translate = [numbers.uniform(-room, room), numbers.uniform(-room, room)]
    moved: torch.Tensor = v2.affine(
        pictures, angle, translate, scale, shear=[0.0, 0.0], interpolation=v2.InterpolationMode.BILINEAR
    )
    return moved


def _recolor(pictures: torch.Tensor, settings: Augmentation, numbers: RandomNumbers) -> torch.Tensor:
    changes: dict[str, Callable[[torch.Tensor, float], torch.Tensor]] = {
        "gamma": v2.adjust_gamma,
        "brightness": v2.adjust_brightness,
        "contrast": v2.adjust_contrast,
        "saturation": v2.adjust_saturation,
    }
    for name, change in changes.items():
        if width := getattr(settings, name):
            pictures = change(pictures, numbers.uniform(max(0.0, 1 - width), 1 + width))
    if settings.hue:
        pictures = v2.adjust_hue(pictures, numbers.uniform(-settings.hue, settings.hue))
    return pictures


def _cover(pictures: torch.Tensor, settings: Augmentation, numbers: RandomNumbers) -> torch.Tensor:
    """Draw black squares, up to so many, at the same places in all frames."""
    if not settings.squares:
        return pictures
    pictures = pictures.clone()
    size, side = settings.square_pixels, pictures.shape[-1]
    for _ in range(numbers.below(settings.squares + 1)):
        top, left = (numbers.below(max(1, side - size + 1)) for _ in range(2))
        pictures[..., top : top + size, left : left + size] = 0
    return pictures


def gaussian_blur(pictures: torch.Tensor, numbers: RandomNumbers) -> torch.Tensor:
    """Blur with a Gaussian of a random width."""
    sigma = numbers.uniform(*BLUR_SIGMA)
    size = 2 * math.ceil(2 * sigma) + 1
    blurred: torch.Tensor = v2.gaussian_blur(pictures, [size, size], [sigma, sigma])
    return blurred


def median_blur(pictures: torch.Tensor, numbers: RandomNumbers) -> torch.Tensor:
    """Replace each pixel by the median of its neighbourhood."""
    margin = MEDIAN_PIXELS // 2
    padded = functional.pad(pictures.float(), [margin] * 4, mode="replicate")
    patches = padded.unfold(2, MEDIAN_PIXELS, 1).unfold(3, MEDIAN_PIXELS, 1)
    return patches.flatten(-2).median(dim=-1).values.to(torch.uint8)


def motion_blur(pictures: torch.Tensor, numbers: RandomNumbers) -> torch.Tensor:
    """Blur along a line of a random direction, as a moving camera does."""
    angle = numbers.uniform(0, math.pi)
    margin = MOTION_PIXELS // 2
    kernel = torch.zeros(MOTION_PIXELS, MOTION_PIXELS)
    for step in range(-margin, margin + 1):
        kernel[margin + round(step * math.sin(angle)), margin + round(step * math.cos(angle))] = 1
    weight = (kernel / kernel.sum()).to(pictures.device).expand(3, 1, -1, -1)
    padded = functional.pad(pictures.float(), [margin] * 4, mode="replicate")
    return functional.conv2d(padded, weight, groups=3).round().clamp(0, 255).to(torch.uint8)


BLURS: dict[str, Callable[[torch.Tensor, RandomNumbers], torch.Tensor]] = {
    "gaussian": gaussian_blur,
    "median": median_blur,
    "motion": motion_blur,
}
