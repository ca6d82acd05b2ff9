"""The conversion of images to tensors gives the same bits, in the same memory layout, for every caller."""

import numpy as np
import pytest
import torch
from torchvision.transforms import v2

from inference.image_tensors import bgr_to_rgb_tensor, normalize_rgb

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
AS_TENSORS = tuple(torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))


def random_images(*shape):
    return np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)


def assert_identical(found, expected):
    assert found.dtype == expected.dtype
    assert found.stride() == expected.stride(), "convolutions choose their kernels by memory layout"
    assert torch.equal(found, expected)


@pytest.mark.parametrize("shape", [(4, 16, 24, 3), (1, 16, 24, 3), (16, 24, 3)], ids=str)
def test_bgr_to_rgb_tensor_takes_arrays_and_tensors(shape):
    images = random_images(*shape)
    expected = torch.from_numpy(np.ascontiguousarray(np.moveaxis(images[..., ::-1], -1, -3)))
    for converted in (bgr_to_rgb_tensor(images), bgr_to_rgb_tensor(torch.from_numpy(images))):
        assert torch.equal(converted, expected)
        assert converted.movedim(-3, -1).is_contiguous()


def test_bgr_to_rgb_tensor_copies():
    images = random_images(2, 8, 8, 3)
    before = images.copy()
    bgr_to_rgb_tensor(images).zero_()
    bgr_to_rgb_tensor(torch.from_numpy(images)).zero_()
    np.testing.assert_array_equal(images, before)


def test_bgr_to_rgb_tensor_of_one_image_equals_reversing_in_numpy():
    image = random_images(16, 24, 3)
    assert_identical(
        bgr_to_rgb_tensor(image), torch.from_numpy(np.ascontiguousarray(image[..., ::-1])).permute(2, 0, 1)
    )


@pytest.mark.parametrize("batch_size", [1, 4])
def test_normalize_rgb_equals_scaling_and_standardizing(batch_size):
    images = torch.from_numpy(random_images(batch_size, 16, 24, 3))
    mean, std = AS_TENSORS
    inputs = images.permute(0, 3, 1, 2).flip(1).to(torch.float32) / 255
    for parameters in ((MEAN, STD), AS_TENSORS):
        assert_identical(normalize_rgb(bgr_to_rgb_tensor(images), *parameters), (inputs - mean) / std)


def test_normalize_rgb_without_statistics_only_scales():
    images = random_images(4, 16, 16, 3)
    rgb = torch.from_numpy(np.ascontiguousarray(images[..., ::-1])).permute(0, 3, 1, 2)
    expected = rgb.to("cpu", memory_format=torch.channels_last).float() / 255
    assert_identical(normalize_rgb(bgr_to_rgb_tensor(images), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)), expected)


def test_normalize_rgb_keeps_the_layout_of_contiguous_tensors():
    rgb = torch.from_numpy(random_images(4, 3, 16, 24))
    mean, std = AS_TENSORS
    assert_identical(normalize_rgb(rgb, MEAN, STD), (rgb.float() / 255 - mean) / std)


def test_normalize_rgb_agrees_with_torchvision_up_to_rounding():
    rgb = torch.from_numpy(random_images(4, 3, 16, 24))
    torchvision = v2.Compose([v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)])
    torch.testing.assert_close(normalize_rgb(rgb, MEAN, STD), torchvision(rgb), rtol=1e-5, atol=1e-6)
